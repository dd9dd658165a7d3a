//! The one way to say which dead letters: the same flags for every operation.

use super::facts::DeadLetterSummary;
use crate::domain::Timestamp;
use chrono::{NaiveDate, NaiveTime, TimeDelta, Utc};
use clap::Args;
use uuid::Uuid;

/// Which dead letters. All that is given must hold; a flag that may be repeated holds if one of its values does.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Selection")]
pub struct Selection {
    /// That failed for this reason, as `list` shows it; may be repeated, also as A,B
    #[arg(long, value_name = "REASON", value_delimiter = ',', value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub reason: Vec<String>,
    /// That ask for this operation; may be repeated
    #[arg(long, value_name = "OPERATION", value_delimiter = ',', value_parser = ["insert", "update", "delete", super::facts::UNKNOWN])]
    pub operation: Vec<String>,
    /// That name this contact; may be repeated
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = id)]
    pub contact: Vec<String>,
    /// With this id; may be repeated
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = id)]
    pub id: Vec<String>,
    /// That failed last at this time or later: 2h (ago), 2026-11-22 or 2026-11-22T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Timestamp>,
    /// That failed last before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Timestamp>,
    /// At most so many of them: those that failed first
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Every dead letter that is there now
    #[arg(long, conflicts_with_all = ["reason", "operation", "contact", "id", "since", "until"])]
    pub all: bool,
}

/// As ids are written here, however they are written there.
fn id(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(Uuid::try_parse(text).map_or_else(|_| text.to_owned(), |id| id.to_string()))
}

fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    let ago = humantime_serde::re::humantime::parse_duration(text).ok();
    ago.and_then(|ago| Utc::now().checked_sub_signed(TimeDelta::from_std(ago).ok()?))
        .ok_or_else(|| "write it as 2h (ago), 2026-11-22 or 2026-11-22T12:00:00Z".to_owned())
}

impl Selection {
    /// Whether it says anything about which letters; a limit alone does not.
    pub(super) fn says_which(&self) -> bool {
        self.all
            || self.since.is_some()
            || self.until.is_some()
            || [&self.reason, &self.operation, &self.contact, &self.id].iter().any(|values| !values.is_empty())
    }

    pub(super) fn matches(&self, facts: &DeadLetterSummary) -> bool {
        let among = |values: &[String], value: &str| values.is_empty() || values.iter().any(|wanted| wanted == value);
        among(&self.reason, &facts.reason)
            && among(&self.operation, &facts.operation)
            && among(&self.id, &facts.id)
            && (self.contact.is_empty()
                || facts.contact.as_deref().is_some_and(|contact| among(&self.contact, contact)))
            && self.since.is_none_or(|since| facts.last_failed.is_some_and(|at| at >= since))
            && self.until.is_none_or(|until| facts.last_failed.is_some_and(|at| at < until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> DeadLetterSummary {
        DeadLetterSummary {
            id: "i".into(),
            reason: "invalid".into(),
            operation: "insert".into(),
            contact: None,
            first_failed: None,
            last_failed: Some(moment("2026-11-22").unwrap()),
        }
    }

    #[test]
    fn all_that_is_given_must_hold() {
        let of = |change: fn(&mut Selection)| {
            let mut selection = Selection::default();
            change(&mut selection);
            selection.matches(&facts())
        };
        assert!(of(|_| {}));
        assert!(of(|s| s.reason = vec!["poison".into(), "invalid".into()]));
        assert!(!of(|s| s.reason = vec!["poison".into()]));
        assert!(!of(|s| (s.reason, s.operation) = (vec!["invalid".into()], vec!["delete".into()])));
        assert!(!of(|s| s.contact = vec!["c".into()]));
        assert!(of(|s| s.id = vec!["i".into()]));
        assert!(of(|s| s.since = moment("2026-11-22T00:00:00Z").ok()));
        assert!(!of(|s| s.until = moment("2026-11-22").ok()));
        assert!(of(|s| s.until = moment("2026-11-23").ok()));
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(moment("2026-11-22").unwrap().to_rfc3339(), "2026-11-22T00:00:00+00:00");
        assert_eq!(moment("2026-11-22T09:00:00-03:00").unwrap().to_rfc3339(), "2026-11-22T12:00:00+00:00");
        let ago = Utc::now() - moment("2h").unwrap();
        assert!((7_199..7_300).contains(&ago.num_seconds()), "{ago}");
        assert!(moment("yesterday").unwrap_err().contains("2h"));
    }
}
