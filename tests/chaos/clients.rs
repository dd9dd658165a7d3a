//! Random clients. They create, update and delete a few contacts, repeat each request until it is answered, and record
//! the accepted requests. Other clients read the contacts and the results. The history has all of it.

use super::history::{Action, History, Outcome};
use super::random;
use crate::support::{Answer, Client, MAX_WAIT, eventually, person};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};

const CLIENTS: usize = 8;
/// Clients that only read contacts.
const READERS: usize = 2;
/// All clients, with the one that asks for results.
const PROCESSES: usize = CLIENTS + READERS + 1;
/// How many contacts exist at one time. Few, so that clients change the same contacts.
const MAX_CONTACTS: usize = 8;
/// The longest pause of a client between two requests.
const MAX_PAUSE_MILLIS: u64 = 80;
const MAX_READER_PAUSE_MILLIS: u64 = 20;
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
    /// Each request holds the lock for reading.
    attempts: RwLock<()>,
    stop: AtomicBool,
    next_number: AtomicUsize,
    pub finished_requests: AtomicUsize,
    known: Mutex<Vec<KnownContact>>,
    pub accepted: Mutex<BTreeMap<String, Accepted>>,
    /// When a request was answered 202.
    pub accept_times: Mutex<Vec<Instant>>,
    pub history: History,
    /// Every client that changes contacts has stopped.
    changes_end: AtomicBool,
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
            history: History::default(),
            changes_end: AtomicBool::new(false),
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

    /// Waits for the running requests. No new request starts until the returned guard is dropped.
    pub fn pause(&self) -> RwLockWriteGuard<'_, ()> {
        self.attempts.write().unwrap()
    }

    /// Stops the clients.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Runs the clients until [`Self::stop`], and until the results of all changes are known.
    pub fn run(&self) {
        std::thread::scope(|scope| {
            scope.spawn(|| self.ask_for_results());
            for reader in CLIENTS..CLIENTS + READERS {
                scope.spawn(move || self.read_contacts(reader));
            }
            std::thread::scope(|scope| {
                for client in 0..CLIENTS {
                    scope.spawn(move || self.change_contacts(client));
                }
            });
            self.changes_end.store(true, Ordering::Relaxed);
        });
    }

    fn clients(&self) -> Vec<Client> {
        self.addresses.iter().map(|address| Client::new(address)).collect()
    }

    fn change_contacts(&self, mut process: usize) {
        let clients = self.clients();
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.next_number.fetch_add(1, Ordering::Relaxed);
            self.request(number, process, &clients);
            self.finished_requests.fetch_add(1, Ordering::Relaxed);
            process += PROCESSES;
        }
    }

    fn read_contacts(&self, process: usize) {
        let (clients, mut random) = (self.clients(), random(self.seed, 100 + process as u64));
        while !self.stop.load(Ordering::Relaxed) {
            let known = self.known.lock().unwrap();
            let contact = (!known.is_empty()).then(|| known[random.usize(..known.len())].contact.clone());
            drop(known);
            if let Some(contact) = contact {
                self.read_contact(process, &contact, &clients[random.usize(..clients.len())]);
            }
            std::thread::sleep(Duration::from_millis(random.u64(..MAX_READER_PAUSE_MILLIS)));
        }
    }

    /// Reads a contact once. Returns whether it was answered.
    fn read_contact(&self, process: usize, contact: &str, client: &Client) -> bool {
        let _request = self.attempts.read().unwrap();
        let number = self.history.invoke(process, Action::Read, Some(contact.to_owned()), None);
        let outcome = match client.send("GET", &format!("/contacts/{contact}"), &[], None) {
            Ok(answer) if answer.status == 200 => {
                Outcome::Found { version: Some(answer.header("etag").trim_matches('"').to_owned()) }
            }
            Ok(answer) if answer.status == 404 => Outcome::Found { version: None },
            Ok(answer) if answer.status != 503 => {
                self.record_violation(format!("GET of a contact was answered {answer:?}"));
                Outcome::NotRead
            }
            Ok(_) | Err(_) => Outcome::NotRead,
        };
        let is_answered = outcome != Outcome::NotRead;
        self.history.finish(number, outcome);
        is_answered
    }

    /// Asks for the result of each accepted change until it is known. At the end, reads every contact once more.
    fn ask_for_results(&self) {
        let (clients, mut random) = (self.clients(), random(self.seed, 100));
        let mut end = None;
        loop {
            if self.changes_end.load(Ordering::Relaxed) {
                end.get_or_insert_with(|| Instant::now() + MAX_WAIT);
            }
            let pending = self.history.pending();
            if end.is_some_and(|end| pending.is_empty() || Instant::now() > end) {
                break;
            }
            for (number, operation) in pending {
                let _request = self.attempts.read().unwrap();
                let answer =
                    clients[random.usize(..clients.len())].send("GET", &format!("/operations/{operation}"), &[], None);
                match answer {
                    Ok(answer) if answer.status == 200 => {
                        result(&answer).into_iter().for_each(|outcome| self.history.finish(number, outcome));
                    }
                    Ok(answer) if answer.status != 503 => {
                        self.record_violation(format!("GET of an operation was answered {answer:?}"));
                    }
                    // The process or the database is not available.
                    Ok(_) | Err(_) => break,
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let contacts: BTreeSet<String> =
            self.accepted.lock().unwrap().values().map(|accepted| accepted.contact.clone()).collect();
        for contact in contacts {
            let mut read = || self.read_contact(PROCESSES - 1, &contact, &clients[random.usize(..clients.len())]);
            eventually("a contact can be read", || read().then_some(()));
        }
    }

    fn request(&self, number: usize, process: usize, clients: &[Client]) {
        let mut random = random(self.seed, 1_000 + number as u64);
        let (kind, target, expects) = self.choose_request(&mut random);
        let name = format!("Ana {number}");
        let path = target.as_ref().map_or("/contacts".to_owned(), |known| format!("/contacts/{}", known.contact));
        let (key, tag) =
            (format!("round-{}-{number}", self.seed), expects.as_ref().map(|version| format!("\"{version}\"")));
        let mut headers = vec![("idempotency-key", key.as_str())];
        headers.extend(tag.as_deref().map(|tag| ("if-match", tag)));
        let body = person(&name).to_string();
        let (action, method, body) = match kind {
            RequestKind::Create => (Action::Create, "POST", Some(body.as_bytes())),
            RequestKind::Update => (Action::Update, "PUT", Some(body.as_bytes())),
            RequestKind::Delete => (Action::Delete, "DELETE", None),
        };
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        let recorded = self.history.invoke(process, action, target.map(|known| known.contact), expects.clone());
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
                self.history.accept(recorded, accepted.operation.clone(), accepted.contact.clone());
                self.update_known_contacts(&accepted);
                if let Some(other) = self.accepted.lock().unwrap().insert(accepted.operation.clone(), accepted) {
                    self.record_violation(format!("two requests got operation {}", other.operation));
                }
            }
            412 if expects.is_some() => {
                self.history.finish(recorded, Outcome::Refused);
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
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

/// The outcome that the answer to a `GET /operations/{id}` shows, or `None` if the change is pending.
fn result(answer: &Answer) -> Option<Outcome> {
    let accepted_millis =
        || chrono::DateTime::parse_from_rfc3339(&answer.text("accepted_at")).unwrap().timestamp_millis();
    match answer.text("status").as_str() {
        "applied" => Some(Outcome::Applied { accepted_millis: accepted_millis() }),
        "superseded" => Some(Outcome::Superseded { accepted_millis: accepted_millis() }),
        "failed" => Some(Outcome::Failed { reason: answer.text("reason") }),
        _ => None,
    }
}
