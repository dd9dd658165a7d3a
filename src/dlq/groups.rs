//! Groups dead letters by reason and operation.

use super::summary::DeadLetterSummary;
use crate::domain::Timestamp;
use crate::terminal::align_columns;
use chrono::{SecondsFormat, TimeDelta, Utc};
use std::collections::BTreeMap;

/// Dead letters with the same reason and operation.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) count: usize,
    /// How many of them failed in the last hour.
    pub(crate) last_hour: usize,
    /// The earliest of the last failures.
    pub(crate) oldest: Option<Timestamp>,
    /// The latest of the last failures.
    pub(crate) newest: Option<Timestamp>,
    /// The id of one of them.
    pub(super) example: String,
}

/// Groups of dead letters, by reason and operation.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    groups: BTreeMap<(String, String), Group>,
    an_hour_ago: Timestamp,
}

impl Default for Groups {
    fn default() -> Self {
        Self { groups: BTreeMap::new(), an_hour_ago: Utc::now() - TimeDelta::hours(1) }
    }
}

impl Groups {
    pub(crate) fn add(&mut self, summary: &DeadLetterSummary) {
        let at = summary.last_failed;
        let group = self.groups.entry((summary.reason.clone(), summary.operation.clone())).or_insert_with(|| Group {
            count: 0,
            last_hour: 0,
            oldest: at,
            newest: at,
            example: summary.id.clone(),
        });
        group.count += 1;
        if let Some(at) = at {
            group.last_hour += usize::from(at >= self.an_hour_ago);
            group.oldest = Some(group.oldest.map_or(at, |oldest| oldest.min(at)));
            group.newest = Some(group.newest.map_or(at, |newest| newest.max(at)));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub(crate) fn total(&self) -> usize {
        self.groups.values().map(|group| group.count).sum()
    }

    /// Reason, operation and group, the largest group first.
    pub(crate) fn sorted(&self) -> Vec<(&(String, String), &Group)> {
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
        groups
    }

    /// The groups as a table for people.
    pub(super) fn table(&self) -> String {
        let now = Utc::now();
        let mut rows = vec![["REASON", "OPERATION", "COUNT", "OLDEST", "NEWEST", "EXAMPLE"].map(str::to_owned)];
        for ((reason, operation), group) in self.sorted() {
            rows.push([
                reason.clone(),
                operation.clone(),
                group.count.to_string(),
                ago(group.oldest, now),
                ago(group.newest, now),
                group.example.clone(),
            ]);
        }
        align_columns(&rows)
    }
}

/// The age of a time, in words.
pub(super) fn ago(at: Option<Timestamp>, now: Timestamp) -> String {
    let Some(at) = at else { return "unknown".to_owned() };
    let seconds = (now - at).num_seconds();
    match seconds {
        ..0 => "in the future".to_owned(),
        0..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

pub(crate) fn rfc3339(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A number of dead-lettered messages, in words.
pub(super) fn message_count(count: usize) -> String {
    if count == 1 { "1 dead-lettered message".to_owned() } else { format!("{count} dead-lettered messages") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_as_its_age() {
        let now = Timestamp::from_timestamp(1_000_000, 0).unwrap();
        let at = |seconds: i64| ago(Timestamp::from_timestamp(1_000_000 - seconds, 0), now);
        assert_eq!(
            [at(-5), at(0), at(59), at(60), at(7_300), at(200_000)],
            ["in the future", "0 s ago", "59 s ago", "1 min ago", "2 h ago", "2 d ago"]
        );
        assert_eq!(ago(None, now), "unknown");
    }
}
