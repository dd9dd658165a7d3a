//! Load on an HTTP API: as much as it takes (wrk), or a steady rate with the latency of each request (ours).

use super::setup::Stand;
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

/// Connections of every load; each has one request at a time.
pub const CONNECTIONS: usize = 256;
/// Bodies are these in turn.
const BODIES: usize = 2_000;
/// At most so many operations a second are followed until they are applied.
const FOLLOWED: f64 = 40.0;

const NAMES: [&str; 8] = ["Ana", "Bruno", "Carla", "Davi", "Elisa", "Fábio", "Joana", "Otávio"];
const AREAS: [u8; 12] = [11, 21, 31, 41, 47, 51, 61, 71, 81, 85, 91, 98];

/// One of many people who do not exist: name, phone and e-mail.
pub fn person(number: usize) -> (String, String, String) {
    let (name, area) = (NAMES[number % NAMES.len()], AREAS[number % AREAS.len()]);
    let digits = number * 7_919 % 100_000_000;
    (format!("{name} Example {number}"), format!("+55{area}9{digits:08}"), format!("person{number}@example.com"))
}

/// Commands that create contacts.
pub fn commands(count: usize) -> Vec<Command> {
    let one = |number| {
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
                email: Email::parse(&email).unwrap(),
            }),
        }
    };
    (0..count).map(one).collect()
}

/// Their messages.
pub fn messages(count: usize) -> Vec<Message> {
    commands(count).iter().map(Message::new).collect()
}

fn body(number: usize) -> String {
    let (name, phone, email) = person(number);
    format!(r#"{{"name":"{name}","phone":"{phone}","email":"{email}"}}"#)
}

/// Creates a second that `wrk` had answered with 202, and how many there were.
pub struct Accepted {
    pub rate: f64,
    pub count: usize,
}

/// As many creates as the API takes, for `seconds`.
pub fn wrk(stand: &Stand, url: &str, seconds: u32) -> Accepted {
    let script = stand.folder.join("create.lua");
    let bodies: Vec<String> = (0..BODIES).map(|number| format!("[==[{}]==]", body(number))).collect();
    // Written out once, so that the load generator does no more than send.
    let lua = format!(
        "local bodies = {{{}}}\nwrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/json\"\n\
         local requests, turn = {{}}, 0\n\
         init = function() for i, body in ipairs(bodies) do requests[i] = wrk.format(nil, \"/contacts\", nil, body) end end\n\
         request = function() turn = turn % #requests + 1; return requests[turn] end\n",
        bodies.join(",")
    );
    fs::write(&script, lua).unwrap();
    let done = process::Command::new("wrk")
        .args(["-t2", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s"), "--timeout", "10s", "-s"])
        .arg(&script)
        .arg(url)
        .output()
        .expect("wrk: install the package `wrk`");
    let text = String::from_utf8_lossy(&done.stdout);
    let number = |name: &str, place: usize| {
        let line = text.lines().find(|line| line.contains(name))?;
        line.split_whitespace().nth(place)?.parse::<f64>().ok()
    };
    assert!(done.status.success() && !text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
    Accepted { rate: number("Requests/sec", 1).unwrap(), count: number("requests in", 0).unwrap() as usize }
}

/// What a steady rate of creates saw.
#[derive(Default)]
pub struct Steady {
    /// From when each request was due until its answer.
    pub accepted: Vec<Duration>,
    /// From when some of them were due until their operation was seen as applied.
    pub applied: Vec<Duration>,
    /// Answered otherwise than by 202.
    pub refused: usize,
}

#[derive(Deserialize)]
struct Answer {
    operation_id: Uuid,
}

/// Sends creates at `rate` a second for `time`, whether answers come or not, as far as the connections allow; one that
/// is sent late because they did not is late by that much.
pub fn steady(url: &str, rate: f64, time: Duration, follow: bool) -> Steady {
    let (turn, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let count = (rate * time.as_secs_f64()) as usize;
    let seen = Arc::new(Mutex::new(Steady::default()));
    let followed: Arc<Mutex<Vec<(Uuid, Instant)>>> = Arc::default();
    let every = (rate / FOLLOWED).ceil().max(1.0) as usize;
    let address = url.strip_prefix("http://").unwrap().to_owned();

    let follower = follow.then(|| {
        let (url, followed, seen, done) = (url.to_owned(), followed.clone(), seen.clone(), done.clone());
        thread::spawn(move || follow_up(&url, &followed, &seen, &done))
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let began = Instant::now();
        let tasks: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let (turn, seen, followed, address) = (turn.clone(), seen.clone(), followed.clone(), address.clone());
                tokio::spawn(async move {
                    let mut connection = Client::connect(&address).await;
                    loop {
                        let number = turn.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return;
                        }
                        let due = began + Duration::from_secs_f64(number as f64 / rate);
                        let early = due > Instant::now();
                        if early {
                            tokio::time::sleep_until(due.into()).await;
                        }
                        // The timer of this program is not the latency of the other.
                        let since = if early { Instant::now() } else { due };
                        let (status, answer) = connection.create(number).await;
                        let took = since.elapsed();
                        let mut seen = seen.lock().unwrap();
                        if status == 202 {
                            seen.accepted.push(took);
                            if follow && number % every == 0 {
                                let answer: Answer = serde_json::from_slice(&answer).unwrap();
                                followed.lock().unwrap().push((answer.operation_id, since));
                            }
                        } else {
                            seen.refused += 1;
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
    Arc::into_inner(seen).unwrap().into_inner().unwrap()
}

/// So many creates, one after the other on one connection.
pub fn one_by_one(url: &str, count: usize) {
    let address = url.strip_prefix("http://").unwrap();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let mut connection = Client::connect(address).await;
        for number in 0..count {
            assert_eq!(connection.create(number).await.0, 202);
        }
    });
}

/// Asks for each operation until it is applied.
fn follow_up(url: &str, followed: &Mutex<Vec<(Uuid, Instant)>>, seen: &Mutex<Steady>, done: &AtomicBool) {
    let agent = ureq::Agent::new_with_defaults();
    let deadline = Instant::now() + super::broker::PATIENCE;
    loop {
        let pending = std::mem::take(&mut *followed.lock().unwrap());
        if pending.is_empty() && done.load(Ordering::Relaxed) {
            return;
        }
        assert!(Instant::now() < deadline, "{} operations are still pending", pending.len());
        for (id, since) in pending {
            let text = agent.get(format!("{url}/operations/{id}")).call().unwrap().body_mut().read_to_string().unwrap();
            if text.contains("\"status\":\"applied\"") {
                seen.lock().unwrap().applied.push(since.elapsed());
            } else {
                followed.lock().unwrap().push((id, since));
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// One connection that sends a request and reads its answer, and no more than that.
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
        let mut left = request.as_bytes();
        while !left.is_empty() {
            self.stream.writable().await.unwrap();
            match self.stream.try_write(left) {
                Ok(count) => left = &left[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
        self.buffer.clear();
        loop {
            if let Some(answer) = self.answer() {
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

    /// The whole answer, once it is there.
    fn answer(&self) -> Option<(u16, Vec<u8>)> {
        let end = self.buffer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&self.buffer[..end]).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length: usize =
            head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap().trim().parse().unwrap();
        let body = &self.buffer[end + 4..];
        (body.len() >= length).then(|| (status, body.to_vec()))
    }
}
