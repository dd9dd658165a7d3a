//! The options that select dead-lettered messages. All operations have the same options.

use super::DlqError;
use super::summary::{DeadLetterSummary, UNKNOWN};
use crate::domain::Timestamp;
use chrono::{NaiveDate, NaiveTime, TimeDelta, Utc};
use clap::{Args, Command, FromArgMatches};
use uuid::Uuid;

/// Selects dead letters. A dead letter must meet all options; of an option with several values, it must meet one value.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Selection")]
pub struct Selection {
    /// Messages that failed for this reason, as `list` shows it. May be repeated, or written as A,B
    #[arg(long, value_name = "REASON", value_delimiter = ',', value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub reason: Vec<String>,
    /// Messages with this operation. May be repeated
    #[arg(long, value_name = "OPERATION", value_delimiter = ',', value_parser = ["insert", "update", "delete", "patch", UNKNOWN])]
    pub operation: Vec<String>,
    /// Messages for the contact with this id. May be repeated
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = parse_id)]
    pub contact: Vec<String>,
    /// The message with this id. May be repeated
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = parse_id)]
    pub id: Vec<String>,
    /// Messages whose last failure is at this time or later: 2h (ago), 2026-11-22 or 2026-11-22T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub since: Option<Timestamp>,
    /// Messages whose last failure is before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub until: Option<Timestamp>,
    /// At most this number of messages: those that failed first
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// All messages that are now in the dead letter queue
    #[arg(long, conflicts_with_all = ["reason", "operation", "contact", "id", "since", "until"])]
    pub all: bool,
}

/// Writes a UUID in lower case with hyphens, as a summary has it. Other ids stay as they are.
fn parse_id(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(Uuid::try_parse(text).map_or_else(|_| text.to_owned(), |id| id.to_string()))
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    let age = humantime_serde::re::humantime::parse_duration(text).ok();
    age.and_then(|age| Utc::now().checked_sub_signed(TimeDelta::from_std(age).ok()?))
        .ok_or_else(|| "write it as 2h (ago), 2026-11-22 or 2026-11-22T12:00:00Z".to_owned())
}

impl Selection {
    /// Parses the options of a command line, for example `--reason=invalid`.
    pub(crate) fn from_options(options: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let command = Self::augment_args(Command::new("selection").no_binary_name(true).disable_help_flag(true));
        let parsed = command.try_get_matches_from(options).and_then(|matches| Self::from_arg_matches(&matches));
        parsed.map_err(|error| {
            let text = error.to_string();
            let sentence = text.split("\n\n").next().unwrap_or_default();
            sentence.trim_start_matches("error: ").trim().to_owned()
        })
    }

    /// Whether an option says which messages are selected. A limit alone does not.
    pub(crate) fn has_criteria(&self) -> bool {
        self.all
            || self.since.is_some()
            || self.until.is_some()
            || [&self.reason, &self.operation, &self.contact, &self.id].iter().any(|values| !values.is_empty())
    }

    /// Fails if no option says which messages are selected.
    pub(super) fn require_criteria(&self, verb: &str) -> Result<(), DlqError> {
        if self.has_criteria() {
            return Ok(());
        }
        Err(DlqError::Usage(format!(
            "select the messages to {verb}: --all, or --reason, --operation, --contact, --id, --since, --until"
        )))
    }

    pub(crate) fn matches(&self, summary: &DeadLetterSummary) -> bool {
        let accepts = |values: &[String], value: &str| values.is_empty() || values.iter().any(|wanted| wanted == value);
        accepts(&self.reason, &summary.reason)
            && accepts(&self.operation, &summary.operation)
            && accepts(&self.id, &summary.id)
            && (self.contact.is_empty()
                || summary.contact.as_deref().is_some_and(|contact| accepts(&self.contact, contact)))
            && self.since.is_none_or(|since| summary.last_failed.is_some_and(|at| at >= since))
            && self.until.is_none_or(|until| summary.last_failed.is_some_and(|at| at < until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> DeadLetterSummary {
        DeadLetterSummary {
            id: "i".into(),
            reason: "invalid".into(),
            operation: "insert".into(),
            contact: None,
            first_failed: None,
            last_failed: Some(parse_time("2026-11-22").unwrap()),
        }
    }

    #[test]
    fn a_dead_letter_must_meet_all_options() {
        let matches = |change: fn(&mut Selection)| {
            let mut selection = Selection::default();
            change(&mut selection);
            selection.matches(&summary())
        };
        assert!(matches(|_| {}));
        assert!(matches(|s| s.reason = vec!["poison".into(), "invalid".into()]));
        assert!(!matches(|s| s.reason = vec!["poison".into()]));
        assert!(!matches(|s| (s.reason, s.operation) = (vec!["invalid".into()], vec!["delete".into()])));
        assert!(!matches(|s| s.contact = vec!["c".into()]));
        assert!(matches(|s| s.id = vec!["i".into()]));
        assert!(matches(|s| s.since = parse_time("2026-11-22T00:00:00Z").ok()));
        assert!(!matches(|s| s.until = parse_time("2026-11-22").ok()));
        assert!(matches(|s| s.until = parse_time("2026-11-23").ok()));
    }

    #[test]
    fn the_options_of_a_command_line_are_a_selection() {
        let parse = |options: &[&str]| Selection::from_options(options.iter().map(|option| (*option).to_owned()));
        let selection = parse(&["--reason=invalid,poison", "--reason=x", "--limit=3"]).unwrap();
        assert_eq!((selection.reason.len(), selection.limit), (3, Some(3)));
        for (options, part) in [
            (&["--since=yesterday"][..], "write it as 2h"),
            (&["--operation=drop"], "insert"),
            (&["--all", "--reason=x"], "cannot be used with"),
            (&["--reason="], "a value is required"),
            (&["--help"], "--help"),
            (&["positional"], "positional"),
        ] {
            let error = parse(options).unwrap_err();
            assert!(error.contains(part) && !error.contains("error:"), "{options:?}: {error}");
        }
    }

    #[test]
    fn times_have_several_forms() {
        assert_eq!(parse_time("2026-11-22").unwrap().to_rfc3339(), "2026-11-22T00:00:00+00:00");
        assert_eq!(parse_time("2026-11-22T09:00:00-03:00").unwrap().to_rfc3339(), "2026-11-22T12:00:00+00:00");
        let ago = Utc::now() - parse_time("2h").unwrap();
        assert!((7_199..7_300).contains(&ago.num_seconds()), "{ago}");
        assert!(parse_time("yesterday").unwrap_err().contains("2h"));
    }
}
