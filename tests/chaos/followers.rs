//! Two readers of the change feed that run during a round: one reads pages, one a stream. Faults cut them off; they go on from
//! their cursors. At the end, both must have every applied operation once, in an order that is possible for each contact.

use super::clients::{Accepted, RequestKind, Traffic};
use super::cluster::Cluster;
use crate::support::{Client, EventStream};
use diesel::QueryableByName;
use diesel::sql_types::Text;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a reader waits for an answer. Then it asks another producer.
const TIMEOUT: Duration = Duration::from_secs(4);
/// How long the readers may take after the last operation is finished.
const MAX_DELAY: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// A change as a reader got it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    contact: String,
    version: String,
}

#[derive(Debug, QueryableByName)]
struct Applied {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    contact_id: String,
}

/// What a reader has.
#[derive(Default)]
struct Reader {
    cursor: Option<String>,
    seen: Vec<Seen>,
    /// How often its cursor had expired.
    expired: usize,
}

impl Reader {
    fn add(&mut self, item: &Value) {
        let text = |member: &str| item[member].as_str().unwrap().to_owned();
        self.seen.push(Seen { contact: text("contact_id"), version: text("version") });
        self.cursor = Some(text("cursor"));
    }

    /// Starts again. Nothing is pruned in a round, so the feed has everything.
    fn start_again(&mut self) {
        *self = Self { expired: self.expired + 1, ..Self::default() };
    }
}

pub struct Followers {
    addresses: Vec<String>,
    pages: Mutex<Reader>,
    stream: Mutex<Reader>,
    stop: AtomicBool,
}

impl Followers {
    pub fn new(addresses: Vec<String>) -> Self {
        Self { addresses, pages: Mutex::default(), stream: Mutex::default(), stop: AtomicBool::new(false) }
    }

    /// Reads until [`Self::stop`].
    pub fn run(&self) {
        std::thread::scope(|scope| {
            scope.spawn(|| self.read_pages());
            scope.spawn(|| self.read_streams());
        });
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn read_pages(&self) {
        for address in self.addresses.iter().cycle() {
            let client = Client::new(address);
            // Several pages from one producer. Then the other one has to know the same cursors.
            for _ in 0..20 {
                if self.stopped() {
                    return;
                }
                let after = self.pages.lock().unwrap().cursor.clone().map(|cursor| format!("&after={cursor}"));
                let path = format!("/changes?limit=20{}", after.unwrap_or_default());
                let Ok(answer) = client.send("GET", &path, &[], None) else { break };
                let mut reader = self.pages.lock().unwrap();
                match answer.status {
                    200 => answer.json()["items"].as_array().unwrap().iter().for_each(|item| reader.add(item)),
                    410 => reader.start_again(),
                    _ => break,
                }
                drop(reader);
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn read_streams(&self) {
        for address in self.addresses.iter().cycle() {
            if self.stopped() {
                return;
            }
            let cursor = self.stream.lock().unwrap().cursor.clone();
            let headers = cursor.map(|cursor| format!("Last-Event-ID: {cursor}\r\n")).unwrap_or_default();
            match EventStream::open(address, "/changes", &headers, None, TIMEOUT) {
                Ok(stream) => self.read_stream(stream),
                Err(error) if error.to_string().starts_with("http/1.1 410") => {
                    self.stream.lock().unwrap().start_again();
                }
                Err(_) => {}
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Reads until the stream breaks.
    fn read_stream(&self, mut stream: EventStream) {
        while let (false, Ok(Some(block))) = (self.stopped(), stream.block()) {
            let mut reader = self.stream.lock().unwrap();
            match block.name.as_str() {
                "change" => reader.add(&block.change()),
                "expired" => reader.start_again(),
                _ => {}
            }
        }
    }

    /// Waits until the readers have as many changes as there are, and stops them.
    pub fn stop(&self, cluster: &Cluster) {
        let started = Instant::now();
        let applied = usize::try_from(cluster.stack.database.count("operations WHERE status = 'applied'")).unwrap();
        let behind = || [&self.pages, &self.stream].iter().any(|reader| reader.lock().unwrap().seen.len() < applied);
        while behind() && started.elapsed() < MAX_DELAY {
            std::thread::sleep(PAUSE);
        }
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Every difference between what the readers have and what was applied.
    pub fn violations(&self, traffic: &Traffic, cluster: &Cluster, may_expire: bool) -> Vec<String> {
        let rows: Vec<Applied> = cluster
            .stack
            .database
            .rows("SELECT id::text, contact_id::text FROM operations WHERE status = 'applied' ORDER BY position");
        let feed: Vec<Seen> = rows.into_iter().map(|row| Seen { contact: row.contact_id, version: row.id }).collect();
        let accepted = traffic.accepted.lock().unwrap();
        let mut violations = order_violations(&feed, &accepted);
        for (name, reader) in [("pages", &self.pages), ("stream", &self.stream)] {
            let reader = reader.lock().unwrap();
            let mut report = |what: String| violations.push(format!("change feed, {name}: {what}"));
            if reader.expired > 0 && !may_expire {
                report(format!("a cursor expired {} times", reader.expired));
            }
            let versions: BTreeSet<&str> = reader.seen.iter().map(|seen| seen.version.as_str()).collect();
            if versions.len() < reader.seen.len() {
                report(format!("{} changes came again", reader.seen.len() - versions.len()));
            }
            for missing in feed.iter().filter(|change| !versions.contains(change.version.as_str())) {
                report(format!("{missing:?} is missing"));
            }
            if let Some(first) = reader.seen.iter().zip(&feed).position(|(seen, change)| seen != change) {
                report(format!("change {first} is {:?}, expected {:?}", reader.seen[first], feed[first]));
            }
            if reader.seen.len() > feed.len() {
                report(format!("{} changes were not applied", reader.seen.len() - feed.len()));
            }
        }
        violations
    }
}

/// Differences between the feed and the orders that are possible: a create is the first change of its contact, nothing comes
/// after a delete, and a conditional change comes directly after the version that it expects.
fn order_violations(feed: &[Seen], accepted: &BTreeMap<String, Accepted>) -> Vec<String> {
    let mut violations = Vec::new();
    let mut last: BTreeMap<&str, &Seen> = BTreeMap::new();
    for change in feed {
        let before = last.insert(&change.contact, change);
        let before = before.map(|before| before.version.as_str());
        // A refused request is not among the accepted ones, and can be applied.
        let Some(request) = accepted.get(&change.version) else { continue };
        let is_first = before.is_none();
        if is_first != (request.kind == RequestKind::Create) {
            violations.push(format!("change feed: {change:?} is a {:?} and comes after {before:?}", request.kind));
        }
        if request.expects.is_some() && request.expects.as_deref() != before {
            violations.push(format!("change feed: {request:?} comes after {before:?}"));
        }
        let deleted =
            before.and_then(|before| accepted.get(before)).is_some_and(|before| before.kind == RequestKind::Delete);
        if deleted {
            violations.push(format!("change feed: {request:?} comes after a delete"));
        }
    }
    violations
}
