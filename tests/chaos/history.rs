//! The history of a round: every request of every client, when it was sent, what it led to, and when that was known.
//!
//! A round writes it in the format of Jepsen, one EDN map a line, for the tools that read this format. A process does one
//! thing at a time, as in Jepsen: a client whose change is accepted and not finished continues as a new process.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

/// How many files are kept.
const MAX_FILES: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Create,
    Update,
    Delete,
    Read,
}

/// What a request led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The change took effect. The time of its acceptance comes from the service, in milliseconds since 1970.
    Applied { accepted_millis: i64 },
    /// The change had no effect, because a newer one had been applied.
    Superseded { accepted_millis: i64 },
    /// The change had no effect, for this reason.
    Failed { reason: String },
    /// The change was answered 412.
    Refused,
    /// The contact had this version, or did not exist.
    Found { version: Option<String> },
    /// The contact could not be read.
    NotRead,
}

/// A request with all its attempts. They have one `Idempotency-Key`, so they are one operation.
#[derive(Clone, Debug)]
pub struct Operation {
    pub process: usize,
    pub action: Action,
    /// The contact. A client that creates one learns its id with the answer.
    pub contact: Option<String>,
    /// The operation id: the version that the change makes.
    pub id: Option<String>,
    pub expects: Option<String>,
    /// When the first attempt began, in nanoseconds since the start of the round.
    pub invoked: u64,
    /// When the change was answered 202.
    pub accepted: Option<u64>,
    /// When the outcome was known to a client.
    pub finished: Option<(u64, Outcome)>,
}

pub struct History {
    started: Instant,
    operations: Mutex<Vec<Operation>>,
}

impl Default for History {
    fn default() -> Self {
        Self { started: Instant::now(), operations: Mutex::default() }
    }
}

impl History {
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap()
    }

    /// Records that a request begins. The result names it in the other functions.
    pub fn invoke(&self, process: usize, action: Action, contact: Option<String>, expects: Option<String>) -> usize {
        let mut operations = self.operations.lock().unwrap();
        let invoked = self.now();
        operations.push(Operation {
            process,
            action,
            contact,
            id: None,
            expects,
            invoked,
            accepted: None,
            finished: None,
        });
        operations.len() - 1
    }

    /// Records the ids of a change that was answered 202.
    pub fn accept(&self, number: usize, id: String, contact: String) {
        let accepted = Some(self.now());
        let operation = &mut self.operations.lock().unwrap()[number];
        (operation.id, operation.contact, operation.accepted) = (Some(id), Some(contact), accepted);
    }

    pub fn finish(&self, number: usize, outcome: Outcome) {
        let now = self.now();
        self.operations.lock().unwrap()[number].finished = Some((now, outcome));
    }

    /// The changes that are accepted and not known to be finished: their numbers and operation ids.
    pub fn pending(&self) -> Vec<(usize, String)> {
        let operations = self.operations.lock().unwrap();
        let pending = operations.iter().enumerate().filter(|(_, operation)| operation.finished.is_none());
        pending.filter_map(|(number, operation)| Some((number, operation.id.clone()?))).collect()
    }

    pub fn operations(&self) -> Vec<Operation> {
        self.operations.lock().unwrap().clone()
    }
}

/// Writes the file of a round, and removes the oldest files.
pub fn write(seed: u64, operations: &[Operation]) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/chaos/histories");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{seed}.edn"));
    fs::write(&path, edn(operations)).unwrap();
    // Another run may write and remove files at the same time.
    let age = |path: &PathBuf| fs::metadata(path).and_then(|data| data.modified()).ok();
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()).collect();
    files.sort_by_key(age);
    for old in files.iter().rev().skip(MAX_FILES) {
        let _ = fs::remove_file(old);
    }
    path
}

fn edn(operations: &[Operation]) -> String {
    let mut events: Vec<(u64, bool, &Operation)> = Vec::new();
    for operation in operations {
        events.push((operation.invoked, false, operation));
        // Without an outcome, the result is not known.
        let end = operation.finished.as_ref().map_or(u64::MAX, |(time, _)| *time);
        events.push((end, true, operation));
    }
    events.sort_by_key(|(time, end, _)| (*time, *end));
    let last = operations.iter().filter_map(|operation| Some(operation.finished.as_ref()?.0)).max().unwrap_or(0);
    let mut text = String::new();
    for (index, (time, end, operation)) in events.into_iter().enumerate() {
        let (kind, value) = if end { result(operation) } else { ("invoke", expectation(operation)) };
        writeln!(
            text,
            "{{:index {index}, :type :{kind}, :process {}, :f :{}, :value [{} {{{value}}}], :time {}}}",
            operation.process,
            format!("{:?}", operation.action).to_lowercase(),
            string(operation.contact.as_ref()),
            time.min(last.max(operation.invoked)),
        )
        .unwrap();
    }
    text
}

fn string(text: Option<&String>) -> String {
    text.map_or("nil".to_owned(), |text| format!("{text:?}"))
}

fn expectation(operation: &Operation) -> String {
    operation.expects.as_ref().map_or_else(String::new, |version| format!(":expects {version:?}"))
}

/// The type of the last event of an operation, and the members of its value.
fn result(operation: &Operation) -> (&'static str, String) {
    let (kind, outcome) = match operation.finished.as_ref().map(|(_, outcome)| outcome) {
        None => ("info", ":status :pending".to_owned()),
        Some(Outcome::Applied { accepted_millis }) => {
            ("ok", format!(":status :applied, :accepted-at {accepted_millis}"))
        }
        Some(Outcome::Superseded { accepted_millis }) => {
            ("ok", format!(":status :superseded, :accepted-at {accepted_millis}"))
        }
        Some(Outcome::Failed { reason }) => ("fail", format!(":status :failed, :reason {reason:?}")),
        Some(Outcome::Refused) => ("fail", ":status :refused".to_owned()),
        Some(Outcome::Found { version }) => ("ok", format!(":version {}", string(version.as_ref()))),
        Some(Outcome::NotRead) => ("fail", ":status :unavailable".to_owned()),
    };
    let mut members = vec![expectation(operation)];
    members.extend(operation.id.as_ref().map(|id| format!(":operation {id:?}")));
    members.extend(operation.accepted.map(|time| format!(":accepted {time}")));
    members.push(outcome);
    members.retain(|member| !member.is_empty());
    (kind, members.join(", "))
}

#[test]
fn a_history_is_written_in_the_format_of_jepsen() {
    let history = History::default();
    let expects = Some("v1".to_owned());
    let update = history.invoke(0, Action::Update, Some("c".into()), expects);
    history.accept(update, "v2".into(), "c".into());
    let read = history.invoke(8, Action::Read, Some("c".into()), None);
    history.finish(read, Outcome::Found { version: None });
    history.finish(update, Outcome::Applied { accepted_millis: 7 });
    history.invoke(1, Action::Create, None, None);
    let mut operations = history.operations();
    for (number, operation) in operations.iter_mut().enumerate() {
        operation.invoked = 10 * number as u64;
        operation.accepted = operation.accepted.map(|_| 5);
        operation.finished = operation.finished.take().map(|(_, outcome)| (30 - 10 * number as u64, outcome));
    }
    let expected = r#"{:index 0, :type :invoke, :process 0, :f :update, :value ["c" {:expects "v1"}], :time 0}
{:index 1, :type :invoke, :process 8, :f :read, :value ["c" {}], :time 10}
{:index 2, :type :invoke, :process 1, :f :create, :value [nil {}], :time 20}
{:index 3, :type :ok, :process 8, :f :read, :value ["c" {:version nil}], :time 20}
{:index 4, :type :ok, :process 0, :f :update, :value ["c" {:expects "v1", :operation "v2", :accepted 5, :status :applied, :accepted-at 7}], :time 30}
{:index 5, :type :info, :process 1, :f :create, :value [nil {:status :pending}], :time 30}
"#;
    assert_eq!(edn(&operations), expected);
}
