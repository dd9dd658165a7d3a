//! Random clients: they create, change and delete a few contacts, try again until they are answered, and remember what
//! was accepted.

use super::random;
use crate::support::{Answer, Client, PATIENCE, person};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};

const CLIENTS: u64 = 8;
/// Contacts that are alive at one time: few, so that clients meet.
const CONTACTS: usize = 8;
/// The longest pause of a client between two requests.
const PAUSE_MILLIS: u64 = 80;
/// The API promises an answer within 3 s here; the rest is the machine's.
const HANG: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Create,
    Update,
    Delete,
}

/// A request that was answered 202.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub operation: String,
    pub contact: String,
    pub wish: Wish,
    pub name: String,
    pub expects: Option<String>,
}

#[derive(Clone)]
struct Known {
    contact: String,
    version: String,
}

pub struct Traffic {
    seed: u64,
    addresses: Vec<String>,
    /// Held for reading by every try.
    tries: RwLock<()>,
    enough: AtomicBool,
    next: AtomicUsize,
    pub done: AtomicUsize,
    known: Mutex<Vec<Known>>,
    pub accepted: Mutex<BTreeMap<String, Accepted>>,
    pub refused: AtomicUsize,
    /// Tries that were answered 503, or not at all.
    pub tried_again: AtomicUsize,
    pub slowest: Mutex<Duration>,
    pub wrong: Mutex<Vec<String>>,
}

impl Traffic {
    pub fn new(seed: u64, addresses: Vec<String>) -> Self {
        Self {
            seed,
            addresses,
            tries: RwLock::default(),
            enough: AtomicBool::new(false),
            next: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            known: Mutex::default(),
            accepted: Mutex::default(),
            refused: AtomicUsize::new(0),
            tried_again: AtomicUsize::new(0),
            slowest: Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    /// Waits until so many more requests have ended.
    pub fn wait_for(&self, requests: usize) {
        let started = Instant::now();
        let enough = self.done.load(Ordering::Relaxed) + requests;
        while self.done.load(Ordering::Relaxed) < enough {
            assert!(started.elapsed() < PATIENCE * 3, "the clients do not get on");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for every try that has begun; none begins until what this answers is dropped.
    pub fn pause(&self) -> RwLockWriteGuard<'_, ()> {
        self.tries.write().unwrap()
    }

    /// Lets the clients end.
    pub fn finish(&self) {
        self.enough.store(true, Ordering::Relaxed);
    }

    /// Runs the clients until [`Self::finish`].
    pub fn run(&self) {
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let clients: Vec<Client> = self.addresses.iter().map(|address| Client::new(address)).collect();
                    while !self.enough.load(Ordering::Relaxed) {
                        let number = self.next.fetch_add(1, Ordering::Relaxed);
                        self.request(number, &clients);
                        self.done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
    }

    fn request(&self, number: usize, clients: &[Client]) {
        let mut random = random(self.seed, 1_000 + number as u64);
        let (wish, target, expects) = self.choose(&mut random);
        let name = format!("Ana {number}");
        let path = target.as_ref().map_or("/contacts".to_owned(), |known| format!("/contacts/{}", known.contact));
        let (key, tag) =
            (format!("round-{}-{number}", self.seed), expects.as_ref().map(|version| format!("\"{version}\"")));
        let mut headers = vec![("idempotency-key", key.as_str())];
        headers.extend(tag.as_deref().map(|tag| ("if-match", tag)));
        let body = person(&name).to_string();
        let (method, body) = match wish {
            Wish::Create => ("POST", Some(body.as_bytes())),
            Wish::Update => ("PUT", Some(body.as_bytes())),
            Wish::Delete => ("DELETE", None),
        };
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        let answer = self.insist(clients, &mut random, |client| client.send(method, &path, &headers, body));
        match answer.status {
            202 => {
                let accepted = Accepted {
                    operation: answer.text("operation_id"),
                    contact: answer.text("contact_id"),
                    wish,
                    name,
                    expects,
                };
                self.remember(&accepted);
                if let Some(twice) = self.accepted.lock().unwrap().insert(accepted.operation.clone(), accepted) {
                    self.complain(format!("two requests got operation {}", twice.operation));
                }
            }
            412 if expects.is_some() => drop(self.refused.fetch_add(1, Ordering::Relaxed)),
            _ => self.complain(format!("{method} {path} was answered {answer:?}")),
        }
        std::thread::sleep(Duration::from_millis(random.u64(..PAUSE_MILLIS)));
    }

    fn choose(&self, random: &mut fastrand::Rng) -> (Wish, Option<Known>, Option<String>) {
        let known = self.known.lock().unwrap();
        if known.len() < CONTACTS {
            return (Wish::Create, None, None);
        }
        let target = known[random.usize(..known.len())].clone();
        let wish = if random.u8(..10) == 0 { Wish::Delete } else { Wish::Update };
        let expects = (random.u8(..3) == 0).then(|| target.version.clone());
        (wish, Some(target), expects)
    }

    fn remember(&self, accepted: &Accepted) {
        let mut known = self.known.lock().unwrap();
        match (accepted.wish, known.iter().position(|known| known.contact == accepted.contact)) {
            (Wish::Create, _) => {
                known.push(Known { contact: accepted.contact.clone(), version: accepted.operation.clone() });
            }
            (Wish::Update, Some(at)) => known[at].version = accepted.operation.clone(),
            // Half of the time others still know a contact whose delete was accepted.
            (Wish::Delete, Some(at)) if accepted.operation.ends_with(['0', '2', '4', '6', '8', 'a', 'c', 'e']) => {
                drop(known.remove(at))
            }
            (Wish::Update | Wish::Delete, _) => {}
        }
    }

    /// Sends until there is an answer that is no 503, each time to any of the producers.
    fn insist(
        &self,
        clients: &[Client],
        random: &mut fastrand::Rng,
        send: impl Fn(&Client) -> Result<Answer, ureq::Error>,
    ) -> Answer {
        let started = Instant::now();
        loop {
            let trying = self.tries.read().unwrap();
            let asked = Instant::now();
            let answer = send(&clients[random.usize(..clients.len())]);
            drop(trying);
            let took = asked.elapsed();
            let mut slowest = self.slowest.lock().unwrap();
            *slowest = took.max(*slowest);
            drop(slowest);
            if took > HANG {
                self.complain(format!("a request took {took:?}"));
            }
            match answer {
                Ok(answer) if answer.status != 503 => return answer,
                Ok(answer) if answer.header("retry-after").is_empty() => {
                    self.complain(format!("a 503 without Retry-After: {answer:?}"));
                }
                // Refused for now, or the process is not there.
                Ok(_) | Err(_) => {}
            }
            self.tried_again.fetch_add(1, Ordering::Relaxed);
            assert!(started.elapsed() < PATIENCE * 3, "a request was never accepted");
            std::thread::sleep(Duration::from_millis(random.u64(5..60)));
        }
    }

    fn complain(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }
}
