//! Reads the answer to an import request: one line for each record, then a summary.
//!
//! The rule: an answer without its summary is incomplete, because the connection may have closed.

use super::batches::Batch;
use crate::transfer::client::{RequestError, WRONG_SERVICE};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};

/// The maximum length of an answer, in bytes: several KiB for each record of the largest batch.
const MAX_ANSWER_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Accepted,
    Valid,
    Skipped,
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
    #[serde(default)]
    ignored: Vec<Ignored>,
    contact: Option<Preview>,
    summary: Option<Summary>,
}

/// A contact of a dry run, as it would be created.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Preview {
    pub(super) name: String,
    pub(super) phone: String,
    pub(super) email: Option<String>,
}

/// Something in a record that the contact does not keep.
#[derive(Deserialize)]
struct Ignored {
    field: String,
    reason: String,
}

#[derive(Deserialize)]
struct Summary {
    complete: bool,
    /// The line of the body where the service stopped, if the body is malformed.
    line: Option<u64>,
    detail: Option<String>,
}

/// An invalid record.
#[derive(Clone, Debug, Serialize)]
pub(super) struct InvalidRecord {
    /// The line in the file.
    pub(super) line: u64,
    pub(super) errors: Vec<Value>,
}

/// The answer to one request.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) accepted: u64,
    pub(super) valid: u64,
    /// The lines of records whose contact exists.
    pub(super) existing: Vec<u64>,
    pub(super) invalid: Vec<InvalidRecord>,
    pub(super) not_accepted: u64,
    /// Why the service did not accept some records, or did not read all records.
    pub(super) reason: Option<String>,
    /// Whether the service read all records.
    pub(super) complete: bool,
    /// The indexes of records in the batch that contain an accepted or valid contact.
    pub(super) with_contact: BTreeSet<usize>,
    /// The first contacts of a dry run.
    pub(super) previews: Vec<Preview>,
    /// What the contacts do not keep, and how often.
    pub(super) ignored: BTreeMap<String, u64>,
}

impl InvalidRecord {
    /// A line for people.
    pub(super) fn message(&self) -> String {
        let text = |error: &Value, name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let errors = self.errors.iter().map(|error| {
            let mut detail = text(error, "detail");
            let suggestion = text(error, "suggestion");
            if !suggestion.is_empty() {
                detail.push_str(&format!(" ({suggestion})"));
            }
            match text(error, "field") {
                field if field.is_empty() => detail,
                field => format!("{field}: {detail}"),
            }
        });
        format!("line {}: {}", self.line, errors.collect::<Vec<_>>().join("; "))
    }
}

impl Answer {
    /// Reads the answer to a batch.
    pub(super) fn read(source: impl Read, batch: &Batch) -> Result<Self, RequestError> {
        let mut answer = Self::default();
        let mut lines = BufReader::new(source.take(MAX_ANSWER_BYTES)).lines();
        while let Some(line) = lines.next() {
            let line = line.map_err(|error| RequestError::temporary(format!("the answer is incomplete: {error}")))?;
            let line: Line = serde_json::from_str(&line).map_err(malformed)?;
            if let Some(Summary { complete, line, detail }) = line.summary {
                if let (false, Some(line)) = (complete, line) {
                    let (line, detail) = (batch.line_in_file(line), detail.unwrap_or_default());
                    return Err(RequestError::Permanent(format!("line {line} cannot be read: {detail}")));
                }
                answer.complete = complete;
                answer.reason = answer.reason.or(detail);
                // The rest is read so that the connection can be reused.
                lines.for_each(drop);
                return Ok(answer);
            }
            answer.add(line, batch)?;
        }
        Err(RequestError::temporary("the answer is incomplete"))
    }

    fn add(&mut self, result: Line, batch: &Batch) -> Result<(), RequestError> {
        let (Some(line), Some(status)) = (result.line, result.status) else {
            return Err(malformed("a result has no line or no status"));
        };
        let line = batch.line_in_file(line);
        if matches!(status, Status::Accepted | Status::Valid | Status::Skipped) {
            self.previews.extend(result.contact);
            for Ignored { field, reason } in result.ignored {
                let name = if reason == "no_field" { field } else { format!("{field} ({})", reason.replace('_', " ")) };
                *self.ignored.entry(name).or_default() += 1;
            }
            self.with_contact.extend(batch.record_at(line));
        }
        match status {
            Status::Accepted => self.accepted += 1,
            Status::Valid => self.valid += 1,
            Status::Skipped => self.existing.push(line),
            Status::Invalid => self.invalid.push(InvalidRecord { line, errors: result.errors }),
            Status::NotAccepted => {
                self.not_accepted += 1;
                self.reason = self.reason.take().or(result.detail).or(result.reason);
            }
        }
        Ok(())
    }

    /// Whether no record must be sent again.
    pub(super) const fn is_final(&self) -> bool {
        self.complete && self.not_accepted == 0
    }
}

fn malformed(reason: impl std::fmt::Display) -> RequestError {
    RequestError::Permanent(format!("the answer is malformed ({reason}): {WRONG_SERVICE}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::arguments::Format;
    use crate::transfer::import::batches::Batches;

    fn read(answer: &str) -> Result<Answer, RequestError> {
        let mut batches = Batches::new(&b"name\n1\n2\n3\n4\n"[..], Format::Csv, 2);
        batches.next().unwrap();
        Answer::read(answer.as_bytes(), &batches.next().unwrap().unwrap())
    }

    #[test]
    fn results_have_the_line_numbers_of_the_file() {
        let answer = read(
            r#"{"line":2,"status":"accepted","operation_id":"a","contact_id":"b"}
{"line":3,"status":"invalid","errors":[{"in":"body","field":"phone","detail":"too short"},{"detail":"odd"}]}
{"summary":{"records":2,"accepted":1,"valid":0,"invalid":1,"not_accepted":0,"complete":true}}"#,
        );
        let answer = answer.unwrap_or_default();
        assert!(answer.is_final() && answer.accepted == 1);
        assert_eq!(answer.invalid[0].message(), "line 5: phone: too short; odd");
    }

    #[test]
    fn an_incomplete_answer_is_a_temporary_error() {
        let not_accepted = r#"{"line":2,"status":"not_accepted","reason":"disconnected","detail":"no broker"}"#;
        let stopped = r#"{"summary":{"complete":false,"detail":"ending"}}"#;
        let answer = read(&format!("{not_accepted}\n{stopped}")).unwrap_or_default();
        assert!(!answer.is_final() && answer.reason.as_deref() == Some("no broker"));
        assert_eq!(read(stopped).unwrap_or_default().reason.as_deref(), Some("ending"));
        let unclosed = r#"{"summary":{"complete":false,"line":3,"detail":"A quote is opened here."}}"#;
        assert!(matches!(read(unclosed), Err(RequestError::Permanent(reason)) if reason.contains("line 5")));
        for incomplete in ["", not_accepted] {
            assert!(matches!(read(incomplete), Err(RequestError::Temporary { .. })), "{incomplete}");
        }
        for malformed in ["<html>", "{}", r#"{"line":2,"status":"perhaps"}"#] {
            assert!(matches!(read(malformed), Err(RequestError::Permanent(_))), "{malformed}");
        }
    }
}
