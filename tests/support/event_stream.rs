//! A client of Server-Sent Events that reads only when it is asked.

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::io::{BufRead, BufReader, Error, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A block of a stream: an event, or only an id or a comment.
#[derive(Debug, Default, PartialEq)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub data: String,
    pub comment: String,
}

impl Event {
    /// The data of a change.
    #[track_caller]
    pub fn change(&self) -> Value {
        assert_eq!(self.name, "change", "{self:?}");
        serde_json::from_str(&self.data).unwrap()
    }
}

pub struct EventStream {
    reader: BufReader<TcpStream>,
    /// The part of the answer that was received and not read.
    received: Vec<u8>,
}

impl EventStream {
    /// Opens a stream at an address. A small buffer makes the client slow. `timeout` is for each read.
    pub fn open(address: &str, path: &str, headers: &str, buffer: Option<usize>, timeout: Duration) -> Result<Self> {
        let address: SocketAddr = address.parse().unwrap();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        if let Some(bytes) = buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.connect_timeout(&address.into(), timeout)?;
        let mut socket: TcpStream = socket.into();
        socket.set_read_timeout(Some(timeout))?;
        write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{headers}\r\n")?;
        let mut stream = Self { reader: BufReader::new(socket), received: Vec::new() };
        let head = stream.head()?;
        let is_stream = head.starts_with("http/1.1 200") && head.contains("content-type: text/event-stream");
        if is_stream && !head.contains("content-encoding") { Ok(stream) } else { Err(Error::other(head)) }
    }

    /// The head of the answer, in lower case.
    fn head(&mut self) -> Result<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.reader.read_line(&mut head)? == 0 {
                return Err(Error::other(head));
            }
        }
        Ok(head.to_ascii_lowercase())
    }

    /// The next line, or `None` at the end of the answer.
    fn line(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Ok(Some(String::from_utf8(line).unwrap().trim_end().to_owned()));
            }
            // The next chunk: its size in hexadecimal digits, its bytes, an empty line.
            let mut size = String::new();
            if self.reader.read_line(&mut size)? == 0 {
                return Err(Error::other("the answer was cut off"));
            }
            let size = usize::from_str_radix(size.trim(), 16).map_err(Error::other)?;
            let mut bytes = vec![0; size + 2];
            self.reader.read_exact(&mut bytes)?;
            if size == 0 {
                return Ok(None);
            }
            self.received.extend_from_slice(&bytes[..size]);
        }
    }

    /// The next block, or `None` at the end of the stream.
    pub fn block(&mut self) -> Result<Option<Event>> {
        let mut event = Event::default();
        loop {
            let Some(line) = self.line()? else { return Ok(None) };
            match line.split_once(':') {
                Some(("", comment)) => event.comment = comment.trim().to_owned(),
                Some(("id", id)) => event.id = id.trim().to_owned(),
                Some(("event", name)) => event.name = name.trim().to_owned(),
                Some(("data", data)) => event.data = data.trim().to_owned(),
                Some(("retry", _)) => {}
                _ => {
                    assert_eq!(line, "");
                    return Ok(Some(event));
                }
            }
        }
    }
}
