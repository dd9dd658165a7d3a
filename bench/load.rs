//! Load generators for the HTTP API: the maximum rate with wrk, or a steady rate that measures the latency of each
//! request.

use super::setup::Environment;
use contacts::domain::{Action, Command, ContactId, Details, Email, Name, OperationId, Phone, Stamp, Timestamp};
use contacts::message::Message;
use serde::Deserialize;
use std::fs;
use std::io::ErrorKind;
use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use uuid::Uuid;

/// Connections of every load. Each connection has one request at a time.
pub const CONNECTIONS: usize = 256;
/// The number of different request bodies.
const BODIES: usize = 2_000;
/// The maximum number of operations per second that are polled until they are applied.
const MAX_FOLLOWED: f64 = 40.0;

const NAMES: [&str; 8] = ["Ana", "Bruno", "Carla", "Davi", "Elisa", "Fábio", "Joana", "Otávio"];
const AREAS: [u8; 12] = [11, 21, 31, 41, 47, 51, 61, 71, 81, 85, 91, 98];

/// Generated contact data: name, phone number, e-mail address.
pub fn person(number: usize) -> (String, String, String) {
    let (name, area) = (NAMES[number % NAMES.len()], AREAS[number % AREAS.len()]);
    let digits = number * 7_919 % 100_000_000;
    (format!("{name} Example {number}"), format!("+55{area}9{digits:08}"), format!("person{number}@example.com"))
}

/// Commands that create contacts.
pub fn commands(count: usize) -> Vec<Command> {
    let command = |number| {
        let (name, phone, email) = person(number);
        let now = chrono::Utc::now();
        Command {
            operation_id: OperationId::new(Uuid::now_v7()),
            contact_id: ContactId::new(Uuid::now_v7()),
            stamp: Stamp::at_millis(now.timestamp_millis()),
            expects: None,
            accepted_at: Timestamp::from_timestamp_micros(now.timestamp_micros()).unwrap(),
            fingerprint: None,
            action: Action::Create(Details {
                name: Name::parse(&name).unwrap(),
                phone: Phone::parse(&phone).unwrap(),
                email: Some(Email::parse(&email).unwrap()),
            }),
        }
    };
    (0..count).map(command).collect()
}

/// Messages that create contacts.
pub fn messages(count: usize) -> Vec<Message> {
    commands(count).iter().map(Message::new).collect()
}

fn body(number: usize) -> String {
    let (name, phone, email) = person(number);
    format!(r#"{{"name":"{name}","phone":"{phone}","email":"{email}"}}"#)
}

/// Creates answered with 202: the rate per second, and the number.
pub struct Accepted {
    pub rate: f64,
    pub count: usize,
}

/// Sends creates at the maximum rate for `seconds`.
pub fn wrk(environment: &Environment, url: &str, seconds: u32) -> Accepted {
    let script = environment.folder.join("create.lua");
    let bodies: Vec<String> = (0..BODIES).map(|number| format!("[==[{}]==]", body(number))).collect();
    // The script formats all requests at its start, so that wrk only sends them.
    let lua = format!(
        "local bodies = {{{}}}\nwrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/json\"\n\
         local requests, next = {{}}, 0\n\
         init = function() for i, body in ipairs(bodies) do requests[i] = wrk.format(nil, \"/contacts\", nil, body) end end\n\
         request = function() next = next % #requests + 1; return requests[next] end\n",
        bodies.join(",")
    );
    fs::write(&script, lua).unwrap();
    let output = process::Command::new("wrk")
        .args(["-t2", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s"), "--timeout", "10s", "-s"])
        .arg(&script)
        .arg(url)
        .output()
        .expect("wrk: install the package `wrk`");
    let text = String::from_utf8_lossy(&output.stdout);
    let number = |name: &str, index: usize| {
        let line = text.lines().find(|line| line.contains(name))?;
        line.split_whitespace().nth(index)?.parse::<f64>().ok()
    };
    assert!(output.status.success() && !text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
    Accepted { rate: number("Requests/sec", 1).unwrap(), count: number("requests in", 0).unwrap() as usize }
}

/// The result of a load at a steady rate.
#[derive(Default)]
pub struct SteadyResult {
    /// The latency of each accepted request, from its due time to its answer.
    pub accepted: Vec<Duration>,
    /// For some requests, the time from the due time until the operation is applied.
    pub applied: Vec<Duration>,
    /// Requests that were not answered with 202.
    pub refused: usize,
}

#[derive(Deserialize)]
struct Answer {
    operation_id: Uuid,
}

/// Sends `rate` creates per second for `time`. Requests do not wait for earlier answers while a connection is free. If
/// none is free, the waiting time counts as latency.
pub fn steady(url: &str, rate: f64, time: Duration, follow: bool) -> SteadyResult {
    let (next, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let count = (rate * time.as_secs_f64()) as usize;
    let result = Arc::new(Mutex::new(SteadyResult::default()));
    let followed: Arc<Mutex<Vec<(Uuid, Instant)>>> = Arc::default();
    let interval = (rate / MAX_FOLLOWED).ceil().max(1.0) as usize;
    let address = url.strip_prefix("http://").unwrap().to_owned();

    let follower = follow.then(|| {
        let (url, followed, result, done) = (url.to_owned(), followed.clone(), result.clone(), done.clone());
        thread::spawn(move || poll_operations(&url, &followed, &result, &done))
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let started = Instant::now();
        let tasks: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let (next, result, followed, address) =
                    (next.clone(), result.clone(), followed.clone(), address.clone());
                tokio::spawn(async move {
                    let mut connection = Client::connect(&address).await;
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return;
                        }
                        let due = started + Duration::from_secs_f64(number as f64 / rate);
                        let early = due > Instant::now();
                        if early {
                            tokio::time::sleep_until(due.into()).await;
                        }
                        // Do not count the inaccuracy of this timer as latency.
                        let since = if early { Instant::now() } else { due };
                        let (status, answer) = connection.create(number).await;
                        let latency = since.elapsed();
                        let mut result = result.lock().unwrap();
                        if status == 202 {
                            result.accepted.push(latency);
                            if follow && number % interval == 0 {
                                let answer: Answer = serde_json::from_slice(&answer).unwrap();
                                followed.lock().unwrap().push((answer.operation_id, since));
                            }
                        } else {
                            result.refused += 1;
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    done.store(true, Ordering::Relaxed);
    if let Some(follower) = follower {
        follower.join().unwrap();
    }
    Arc::into_inner(result).unwrap().into_inner().unwrap()
}

/// Sends creates one after the other on one connection.
pub fn one_by_one(url: &str, count: usize) {
    let address = url.strip_prefix("http://").unwrap();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let mut connection = Client::connect(address).await;
        for number in 0..count {
            assert_eq!(connection.create(number).await.0, 202);
        }
    });
}

/// Polls each operation until it is applied.
fn poll_operations(url: &str, followed: &Mutex<Vec<(Uuid, Instant)>>, result: &Mutex<SteadyResult>, done: &AtomicBool) {
    let agent = ureq::Agent::new_with_defaults();
    let deadline = Instant::now() + super::broker::MAX_WAIT;
    loop {
        let pending = std::mem::take(&mut *followed.lock().unwrap());
        if pending.is_empty() && done.load(Ordering::Relaxed) {
            return;
        }
        assert!(Instant::now() < deadline, "{} operations are still pending", pending.len());
        for (id, since) in pending {
            let text = agent.get(format!("{url}/operations/{id}")).call().unwrap().body_mut().read_to_string().unwrap();
            if text.contains("\"status\":\"applied\"") {
                result.lock().unwrap().applied.push(since.elapsed());
            } else {
                followed.lock().unwrap().push((id, since));
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// A minimal HTTP client with one connection. It adds as little work as possible to the measurement.
struct Client {
    stream: TcpStream,
    host: String,
    buffer: Vec<u8>,
}

impl Client {
    async fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, host: address.to_owned(), buffer: Vec::with_capacity(2_048) }
    }

    async fn create(&mut self, number: usize) -> (u16, Vec<u8>) {
        let body = body(number % BODIES);
        let request = format!(
            "POST /contacts HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        let mut remaining = request.as_bytes();
        while !remaining.is_empty() {
            self.stream.writable().await.unwrap();
            match self.stream.try_write(remaining) {
                Ok(count) => remaining = &remaining[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
        self.buffer.clear();
        loop {
            if let Some(answer) = self.parse_answer() {
                return answer;
            }
            self.stream.readable().await.unwrap();
            match self.stream.try_read_buf(&mut self.buffer) {
                Ok(0) => panic!("the connection was closed"),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Status and body, as soon as the answer is complete.
    fn parse_answer(&self) -> Option<(u16, Vec<u8>)> {
        let end = self.buffer.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&self.buffer[..end]).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length: usize =
            head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap().trim().parse().unwrap();
        let body = &self.buffer[end + 4..];
        (body.len() >= length).then(|| (status, body.to_vec()))
    }
}
