//! Random clients. They create, update and delete a few contacts, repeat each request until it is answered, and record
//! the accepted requests.

use super::random;
use crate::support::{Answer, Client, MAX_WAIT, person};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};

const CLIENTS: u64 = 8;
/// How many contacts exist at one time. Few, so that clients change the same contacts.
const MAX_CONTACTS: usize = 8;
/// The longest pause of a client between two requests.
const MAX_PAUSE_MILLIS: u64 = 80;
/// The longest time for an answer. The API's limit is 3 s here; the rest is a margin for a slow machine.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    Create,
    Update,
    Delete,
}

/// A request that was answered 202.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub operation: String,
    pub contact: String,
    pub kind: RequestKind,
    pub name: String,
    pub expects: Option<String>,
}

/// A contact that the clients may update or delete.
#[derive(Clone)]
struct KnownContact {
    contact: String,
    version: String,
}

/// The requests of all clients in one round, and their results.
pub struct Traffic {
    seed: u64,
    addresses: Vec<String>,
    /// Each attempt to send a request holds the lock for reading.
    attempts: RwLock<()>,
    stop: AtomicBool,
    next_number: AtomicUsize,
    pub finished_requests: AtomicUsize,
    known: Mutex<Vec<KnownContact>>,
    pub accepted: Mutex<BTreeMap<String, Accepted>>,
    /// When a request was answered 202.
    pub accept_times: Mutex<Vec<Instant>>,
    /// Requests that were answered 412.
    pub refused: AtomicUsize,
    /// Attempts that were answered 503 or not at all, and were repeated.
    pub repeated: AtomicUsize,
    pub slowest: Mutex<Duration>,
    /// Answers that break a promise of the API.
    pub violations: Mutex<Vec<String>>,
}

impl Traffic {
    pub fn new(seed: u64, addresses: Vec<String>) -> Self {
        Self {
            seed,
            addresses,
            attempts: RwLock::default(),
            stop: AtomicBool::new(false),
            next_number: AtomicUsize::new(0),
            finished_requests: AtomicUsize::new(0),
            known: Mutex::default(),
            accepted: Mutex::default(),
            accept_times: Mutex::default(),
            refused: AtomicUsize::new(0),
            repeated: AtomicUsize::new(0),
            slowest: Mutex::default(),
            violations: Mutex::default(),
        }
    }

    /// Waits until so many more requests are finished.
    pub fn wait_for(&self, requests: usize) {
        let started = Instant::now();
        let target = self.finished_requests.load(Ordering::Relaxed) + requests;
        while self.finished_requests.load(Ordering::Relaxed) < target {
            assert!(started.elapsed() < MAX_WAIT * 3, "the clients make no progress");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for the running attempts. No new attempt starts until the returned guard is dropped.
    pub fn pause(&self) -> RwLockWriteGuard<'_, ()> {
        self.attempts.write().unwrap()
    }

    /// Stops the clients.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Runs the clients until [`Self::stop`].
    pub fn run(&self) {
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let clients: Vec<Client> = self.addresses.iter().map(|address| Client::new(address)).collect();
                    while !self.stop.load(Ordering::Relaxed) {
                        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
                        self.request(number, &clients);
                        self.finished_requests.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
    }

    fn request(&self, number: usize, clients: &[Client]) {
        let mut random = random(self.seed, 1_000 + number as u64);
        let (kind, target, expects) = self.choose_request(&mut random);
        let name = format!("Ana {number}");
        let path = target.as_ref().map_or("/contacts".to_owned(), |known| format!("/contacts/{}", known.contact));
        let (key, tag) =
            (format!("round-{}-{number}", self.seed), expects.as_ref().map(|version| format!("\"{version}\"")));
        let mut headers = vec![("idempotency-key", key.as_str())];
        headers.extend(tag.as_deref().map(|tag| ("if-match", tag)));
        let body = person(&name).to_string();
        let (method, body) = match kind {
            RequestKind::Create => ("POST", Some(body.as_bytes())),
            RequestKind::Update => ("PUT", Some(body.as_bytes())),
            RequestKind::Delete => ("DELETE", None),
        };
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        let answer =
            self.send_until_answered(clients, &mut random, |client| client.send(method, &path, &headers, body));
        match answer.status {
            202 => {
                self.accept_times.lock().unwrap().push(Instant::now());
                let accepted = Accepted {
                    operation: answer.text("operation_id"),
                    contact: answer.text("contact_id"),
                    kind,
                    name,
                    expects,
                };
                self.update_known_contacts(&accepted);
                if let Some(other) = self.accepted.lock().unwrap().insert(accepted.operation.clone(), accepted) {
                    self.record_violation(format!("two requests got operation {}", other.operation));
                }
            }
            412 if expects.is_some() => drop(self.refused.fetch_add(1, Ordering::Relaxed)),
            _ => self.record_violation(format!("{method} {path} was answered {answer:?}")),
        }
        std::thread::sleep(Duration::from_millis(random.u64(..MAX_PAUSE_MILLIS)));
    }

    /// Chooses the kind of a request, its contact, and the version that it expects.
    fn choose_request(&self, random: &mut fastrand::Rng) -> (RequestKind, Option<KnownContact>, Option<String>) {
        let known = self.known.lock().unwrap();
        if known.len() < MAX_CONTACTS {
            return (RequestKind::Create, None, None);
        }
        let target = known[random.usize(..known.len())].clone();
        let kind = if random.u8(..10) == 0 { RequestKind::Delete } else { RequestKind::Update };
        let expects = (random.u8(..3) == 0).then(|| target.version.clone());
        (kind, Some(target), expects)
    }

    fn update_known_contacts(&self, accepted: &Accepted) {
        let mut known = self.known.lock().unwrap();
        match (accepted.kind, known.iter().position(|known| known.contact == accepted.contact)) {
            (RequestKind::Create, _) => {
                known.push(KnownContact { contact: accepted.contact.clone(), version: accepted.operation.clone() });
            }
            (RequestKind::Update, Some(index)) => known[index].version = accepted.operation.clone(),
            // Half of the deleted contacts stay known, so that clients also send requests for deleted contacts.
            (RequestKind::Delete, Some(index))
                if accepted.operation.ends_with(['0', '2', '4', '6', '8', 'a', 'c', 'e']) =>
            {
                drop(known.remove(index))
            }
            (RequestKind::Update | RequestKind::Delete, _) => {}
        }
    }

    /// Sends a request to random producers until the answer is not a 503.
    fn send_until_answered(
        &self,
        clients: &[Client],
        random: &mut fastrand::Rng,
        send: impl Fn(&Client) -> Result<Answer, ureq::Error>,
    ) -> Answer {
        let started = Instant::now();
        loop {
            let guard = self.attempts.read().unwrap();
            let sent = Instant::now();
            let answer = send(&clients[random.usize(..clients.len())]);
            drop(guard);
            let took = sent.elapsed();
            let mut slowest = self.slowest.lock().unwrap();
            *slowest = took.max(*slowest);
            drop(slowest);
            if took > MAX_ANSWER_TIME {
                self.record_violation(format!("a request took {took:?}"));
            }
            match answer {
                Ok(answer) if answer.status != 503 => return answer,
                Ok(answer) if answer.header("retry-after").is_empty() => {
                    self.record_violation(format!("a 503 without Retry-After: {answer:?}"));
                }
                // A 503, or the process does not run.
                Ok(_) | Err(_) => {}
            }
            self.repeated.fetch_add(1, Ordering::Relaxed);
            assert!(started.elapsed() < MAX_WAIT * 3, "a request was never answered");
            std::thread::sleep(Duration::from_millis(random.u64(5..60)));
        }
    }

    fn record_violation(&self, violation: String) {
        self.violations.lock().unwrap().push(violation);
    }
}
