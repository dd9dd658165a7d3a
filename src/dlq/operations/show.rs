//! `show`: prints one dead letter in full, with its personal data.

use super::export::ExportLine;
use crate::dlq::browse::browse_all;
use crate::dlq::groups::{ago, rfc3339};
use crate::dlq::operator::Activity;
use crate::dlq::output::Console;
use crate::dlq::{Completion, DlqError, Run};
use crate::message::{Header, Message};
use std::fmt::Write as _;

pub(in crate::dlq) fn run(run: &Run<'_>, console: &Console, id: &str) -> Result<Completion, DlqError> {
    let mut found: Vec<Message> = Vec::new();
    browse_all(run, Activity::Search, |summary, message| {
        if summary.id == id {
            found.push(message.clone());
        }
        true
    })?;
    if found.is_empty() {
        return Err(DlqError::Failed(format!(
            "no dead-lettered message has the id {id}; `contacts dlq-drain list --messages` shows all ids"
        )));
    }
    if console.is_json() {
        let lines: Vec<ExportLine> = found.iter().map(ExportLine::of).collect();
        console.print_json(&lines)?;
    } else {
        found.iter().try_for_each(|message| console.print(&as_text(message)))?;
    }
    Ok(Completion::Complete)
}

fn as_text(message: &Message) -> String {
    let line = ExportLine::of(message);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    row("id", &line.id);
    if !message.kind.is_empty() {
        row("type", &message.kind);
    }
    if let Some(failure) = message.headers.failure() {
        row("reason", &failure.reason);
        row("detail", &failure.detail);
        let now = chrono::Utc::now();
        for (name, at) in [("first failed", failure.first_at), ("last failed", failure.last_at)] {
            row(name, &at.map_or_else(|| "unknown".into(), |at| format!("{} ({})", rfc3339(at), ago(Some(at), now))));
        }
    }
    row("attempts", &message.headers.attempts().to_string());
    row("replays", &message.headers.replays().to_string());
    text.push_str("headers\n");
    for (name, value) in message.headers.iter() {
        let value = match value {
            Header::Number(number) => number.to_string(),
            Header::Text(value) => value.clone(),
        };
        let _ = writeln!(text, "  {name}: {value}");
    }
    let body = match serde_json::from_slice::<serde_json::Value>(&message.body) {
        Ok(value) => serde_json::to_string_pretty(&value).unwrap_or_default(),
        Err(_) => format!("{} (not JSON, {} bytes)", message.body.escape_ascii(), message.body.len()),
    };
    let _ = writeln!(text, "body\n{body}");
    text
}
