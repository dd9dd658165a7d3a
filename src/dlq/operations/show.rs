//! `show`: one letter in full, for the operator's eyes.

use super::export::Line;
use crate::dlq::browse::look_through;
use crate::dlq::output::{ago, rfc3339};
use crate::dlq::{Completion, Context, DlqError};
use crate::message::{Header, Message};
use std::fmt::Write as _;

pub(in crate::dlq) fn run(context: &Context, id: &str) -> Result<Completion, DlqError> {
    let mut found: Vec<Message> = Vec::new();
    look_through(context, "looking for it", |facts, message| {
        if facts.id == id {
            found.push(message.clone());
        }
        true
    })?;
    if found.is_empty() {
        return Err(DlqError::Failed(format!(
            "no dead letter has the id {id}; `contacts dlq-drain list` shows examples"
        )));
    }
    if context.console.json() {
        let lines: Vec<Line> = found.iter().map(Line::of).collect();
        context.console.put_json(&lines)?;
    } else {
        found.iter().try_for_each(|message| context.console.put(&in_words(message)))?;
    }
    Ok(Completion::Complete)
}

fn in_words(message: &Message) -> String {
    let line = Line::of(message);
    let mut text = String::new();
    // Writing to a text cannot fail.
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
