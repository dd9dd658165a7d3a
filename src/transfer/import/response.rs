//! What the service says about each record of a request, as it is read line by line.
//!
//! The rule: an answer counts only once its summary has arrived; before that the connection may have been cut anywhere.

use super::batches::Batch;
use crate::transfer::client::Failure;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};

/// The most that is read of an answer: some KiB for each record of the largest batch.
const LONGEST: u64 = 64 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Accepted,
    Valid,
    Invalid,
    NotAccepted,
}

#[derive(Deserialize)]
struct Line {
    line: Option<u64>,
    status: Option<Status>,
    #[serde(default)]
    errors: Vec<Value>,
    reason: Option<String>,
    detail: Option<String>,
    summary: Option<Summary>,
}

#[derive(Deserialize)]
struct Summary {
    complete: bool,
    /// Where the service could not read on, if that lies in what was sent.
    line: Option<u64>,
    detail: Option<String>,
}

/// A record that the service does not take.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Invalid {
    /// In the file.
    pub(super) line: u64,
    pub(super) errors: Vec<Value>,
}

/// The whole answer to one request.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) accepted: u64,
    pub(super) valid: u64,
    pub(super) invalid: Vec<Invalid>,
    pub(super) not_accepted: u64,
    /// Why the service did not accept some records, or did not read all.
    pub(super) why: Option<String>,
    /// Whether the service read everything.
    pub(super) complete: bool,
    /// The records of the batch with something in them that was accepted or is valid.
    pub(super) taken: BTreeSet<usize>,
}

impl Invalid {
    /// For people.
    pub(super) fn sentence(&self) -> String {
        let text = |error: &Value, name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let errors = self.errors.iter().map(|error| {
            let said = text(error, "detail");
            match text(error, "field") {
                field if field.is_empty() => said,
                field => format!("{field}: {said}"),
            }
        });
        format!("line {}: {}", self.line, errors.collect::<Vec<_>>().join("; "))
    }
}

impl Answer {
    /// Reads the answer to this batch.
    pub(super) fn read(source: impl Read, batch: &Batch) -> Result<Self, Failure> {
        let mut answer = Self::default();
        let mut lines = BufReader::new(source.take(LONGEST)).lines();
        while let Some(line) = lines.next() {
            let line = line.map_err(|error| Failure::passing(format!("the answer was cut short: {error}")))?;
            let line: Line = serde_json::from_str(&line).map_err(not_understood)?;
            if let Some(Summary { complete, line, detail }) = line.summary {
                if let (false, Some(line)) = (complete, line) {
                    let (line, detail) = (batch.line_in_file(line), detail.unwrap_or_default());
                    return Err(Failure::Refused(format!("line {line} cannot be read: {detail}")));
                }
                answer.complete = complete;
                answer.why = answer.why.or(detail);
                // Read to its end, so that the connection can be used again.
                lines.for_each(drop);
                return Ok(answer);
            }
            answer.add(line, batch)?;
        }
        Err(Failure::passing("the answer was cut short"))
    }

    fn add(&mut self, said: Line, batch: &Batch) -> Result<(), Failure> {
        let (Some(line), Some(status)) = (said.line, said.status) else {
            return Err(not_understood("a line without its number or status"));
        };
        if matches!(status, Status::Accepted | Status::Valid) {
            self.taken.extend(batch.record_at(batch.line_in_file(line)));
        }
        match status {
            Status::Accepted => self.accepted += 1,
            Status::Valid => self.valid += 1,
            Status::Invalid => self.invalid.push(Invalid { line: batch.line_in_file(line), errors: said.errors }),
            Status::NotAccepted => {
                self.not_accepted += 1;
                self.why = self.why.take().or(said.detail).or(said.reason);
            }
        }
        Ok(())
    }

    /// Whether nothing of it has to be sent again.
    pub(super) const fn is_settled(&self) -> bool {
        self.complete && self.not_accepted == 0
    }
}

fn not_understood(why: impl std::fmt::Display) -> Failure {
    Failure::Refused(format!("the answer is not understood: is there a `contacts` of this version? ({why})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::arguments::Format;
    use crate::transfer::import::batches::Batches;

    fn read(answer: &str) -> Result<Answer, Failure> {
        let mut batches = Batches::new(&b"name\n1\n2\n3\n4\n"[..], Format::Csv, 2);
        batches.next().unwrap();
        Answer::read(answer.as_bytes(), &batches.next().unwrap().unwrap())
    }

    #[test]
    fn lines_are_those_of_the_file() {
        let answer = read(
            r#"{"line":2,"status":"accepted","operation_id":"a","contact_id":"b"}
{"line":3,"status":"invalid","errors":[{"in":"body","field":"phone","detail":"too short"},{"detail":"odd"}]}
{"summary":{"records":2,"accepted":1,"valid":0,"invalid":1,"not_accepted":0,"complete":true}}"#,
        );
        let answer = answer.unwrap_or_default();
        assert!(answer.is_settled() && answer.accepted == 1);
        assert_eq!(answer.invalid[0].sentence(), "line 5: phone: too short; odd");
    }

    #[test]
    fn what_is_not_whole_is_sent_again() {
        let refused = r#"{"line":2,"status":"not_accepted","reason":"disconnected","detail":"no broker"}"#;
        let stopped = r#"{"summary":{"complete":false,"detail":"ending"}}"#;
        let answer = read(&format!("{refused}\n{stopped}")).unwrap_or_default();
        assert!(!answer.is_settled() && answer.why.as_deref() == Some("no broker"));
        assert_eq!(read(stopped).unwrap_or_default().why.as_deref(), Some("ending"));
        let unreadable = r#"{"summary":{"complete":false,"line":3,"detail":"A quote is opened here."}}"#;
        assert!(matches!(read(unreadable), Err(Failure::Refused(why)) if why.contains("line 5")));
        for cut in ["", refused] {
            assert!(matches!(read(cut), Err(Failure::Passing { .. })), "{cut}");
        }
        for strange in ["<html>", "{}", r#"{"line":2,"status":"perhaps"}"#] {
            assert!(matches!(read(strange), Err(Failure::Refused(_))), "{strange}");
        }
    }
}
