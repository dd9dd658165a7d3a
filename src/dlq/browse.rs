//! Browses the dead letter queue and remembers which messages are selected. Messages are identified by a fingerprint,
//! so that a later browse finds the same messages and no newer ones.

use super::output::{Groups, message_count};
use super::summary::{DeadLetterSummary, Fingerprint, fingerprint};
use super::{Confirmation, Context, DlqError, Selection};
use crate::domain::Timestamp;
use crate::message::Message;
use crate::queue::{DeadLetterBrowser, QueueError};
use std::collections::HashMap;

/// How many dead letters to remove in one step.
pub(super) const REMOVE_BATCH: usize = 500;
/// How often to try to remove dead letters that are still in the queue.
const MAX_REMOVAL_PASSES: usize = 5;

/// The dead letters that an operation still has to process.
pub(super) struct SelectedMessages {
    /// The count of each fingerprint: two dead letters may be equal in every byte.
    remaining: HashMap<Fingerprint, usize>,
    count: usize,
    /// Processed dead letters, which should no longer be in the queue.
    removed: HashMap<Fingerprint, usize>,
    /// Dead letters that are equal to selected ones in every byte, but are not selected.
    unselected_copies: HashMap<Fingerprint, usize>,
}

impl SelectedMessages {
    fn new() -> Self {
        Self { remaining: HashMap::new(), count: 0, removed: HashMap::new(), unselected_copies: HashMap::new() }
    }

    pub(super) const fn len(&self) -> usize {
        self.count
    }

    fn add(&mut self, fingerprint: Fingerprint) {
        *self.remaining.entry(fingerprint).or_default() += 1;
        self.count += 1;
    }

    /// Records that one dead letter is processed.
    pub(super) fn mark_done(&mut self, fingerprint: &Fingerprint) {
        if let Some(count) = self.remaining.get_mut(fingerprint) {
            *count -= 1;
            self.count -= 1;
            if *count == 0 {
                self.remaining.remove(fingerprint);
            }
            *self.removed.entry(*fingerprint).or_default() += 1;
        }
    }

    /// Checks that the removed dead letters are no longer in the queue, and removes them again if they are: a broken
    /// connection may lose acknowledgements. Returns how many are still there, and notes for the operator.
    pub(super) fn verify_removal(&self, context: &Context) -> (usize, Vec<String>) {
        match self.remove_until_gone(context) {
            Ok(0) => (0, Vec::new()),
            Ok(still_there) => {
                let messages = message_count(still_there);
                (still_there, vec![format!("{messages} could not be removed from the queue; you may run this again")])
            }
            Err(error) => (0, vec![format!("the queue could not be checked after the removal: {error}")]),
        }
    }

    fn remove_until_gone(&self, context: &Context) -> Result<usize, DlqError> {
        let mut still_there = 0;
        for _ in 0..if self.removed.is_empty() { 0 } else { MAX_REMOVAL_PASSES } {
            if context.stop.is_set() {
                break;
            }
            still_there = 0;
            context.queue.browse(&mut |browser| {
                let (mut to_remove, mut tags) = (RemainingMatches(self.removed.clone()), Vec::new());
                // Equal dead letters that must stay in the queue.
                let mut to_keep = self.unselected_copies.clone();
                for (fingerprint, count) in &self.remaining {
                    *to_keep.entry(*fingerprint).or_default() += count;
                }
                let progress = context.console.progress("checking the queue", browser.total());
                while let Some(dead_letter) = browser.next()? {
                    progress.advance(1);
                    if context.stop.is_set() {
                        return Ok(());
                    }
                    let fingerprint = fingerprint(&dead_letter.message);
                    if let Some(count) = to_keep.get_mut(&fingerprint).filter(|count| **count > 0) {
                        *count -= 1;
                    } else if to_remove.take(&fingerprint) {
                        browser.mark_for_removal();
                        tags.push(dead_letter.tag);
                    }
                }
                still_there = tags.len();
                tags.chunks(REMOVE_BATCH).try_for_each(|batch| browser.remove(batch))
            })?;
            if still_there == 0 {
                break;
            }
        }
        Ok(still_there)
    }

    /// The matches that one browse can find.
    pub(super) fn remaining_matches(&self) -> RemainingMatches {
        RemainingMatches(self.remaining.clone())
    }
}

/// How often one browse may still match each fingerprint.
pub(super) struct RemainingMatches(HashMap<Fingerprint, usize>);

impl RemainingMatches {
    /// Whether this fingerprint matches. Each match is counted.
    pub(super) fn take(&mut self, fingerprint: &Fingerprint) -> bool {
        match self.0.get_mut(fingerprint) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }
}

/// The order in which operations process dead letters: by first failure, then by position in the queue.
pub(super) type FailureOrder = (Timestamp, usize);

pub(super) fn failure_order(summary: &DeadLetterSummary, position: usize) -> FailureOrder {
    (summary.first_failed.unwrap_or(Timestamp::UNIX_EPOCH), position)
}

/// Calls `visit` for every dead letter and shows the progress. Stops early if `visit` returns false.
pub(super) fn browse_all(
    context: &Context,
    activity: &'static str,
    mut visit: impl FnMut(&DeadLetterSummary, &Message) -> bool,
) -> Result<(), DlqError> {
    let result: Result<(), QueueError> = context.queue.browse(&mut |browser: &mut dyn DeadLetterBrowser| {
        let progress = context.console.progress(activity, browser.total());
        while let Some(dead_letter) = browser.next()? {
            progress.advance(1);
            let summary = DeadLetterSummary::of(&dead_letter.message);
            if context.stop.is_set() || !visit(&summary, &dead_letter.message) {
                break;
            }
        }
        Ok(())
    });
    Ok(result?)
}

/// Finds the selected dead letters. Returns them, their groups, and the groups of all other dead letters.
pub(super) fn select(context: &Context, selection: &Selection) -> Result<(SelectedMessages, Groups, Groups), DlqError> {
    // Only a limit needs all dead letters first: it selects the earliest failures.
    let mut candidates: Vec<(FailureOrder, Fingerprint, DeadLetterSummary)> = Vec::new();
    let (mut groups, mut others, mut position) = (Groups::default(), Groups::default(), 0);
    let mut selected = SelectedMessages::new();
    browse_all(context, "reading the queue", |summary, message| {
        position += 1;
        if !selection.matches(summary) {
            others.add(summary);
        } else if selection.limit.is_some() {
            candidates.push((failure_order(summary, position), fingerprint(message), summary.clone()));
        } else {
            groups.add(summary);
            selected.add(fingerprint(message));
        }
        true
    })?;
    candidates.sort_by_key(|(order, ..)| *order);
    let limit = selection.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or_default();
    for (index, (_, fingerprint, summary)) in candidates.iter().enumerate() {
        if index < limit {
            groups.add(summary);
            selected.add(*fingerprint);
        } else if selected.remaining.contains_key(fingerprint) {
            *selected.unselected_copies.entry(*fingerprint).or_default() += 1;
        }
    }
    if selected.len() == 0 && !others.is_empty() {
        context.console.print_note("No message matches the selection. The queue contains:")?;
        context.console.print_note(&others.table())?;
    }
    Ok((selected, groups, others))
}

/// Finds the selected dead letters and asks for confirmation. Returns how many are selected and, if the operator
/// confirmed, the dead letters.
pub(super) fn select_and_confirm(
    context: &Context,
    selection: &Selection,
    confirmation: Confirmation,
    verb: &str,
    consequence: &str,
) -> Result<(usize, Option<SelectedMessages>), DlqError> {
    if !selection.has_criteria() {
        return Err(DlqError::Usage(format!(
            "select the messages to {verb}: --all, or --reason, --operation, --contact, --id, --since, --until"
        )));
    }
    context.console.require_terminal_or_yes(confirmation)?;
    let (selected, groups, _) = select(context, selection)?;
    let count = selected.len();
    if count == 0 {
        return Ok((0, None));
    }
    if !confirmation.yes || confirmation.dry_run {
        context.console.print_note(&groups.table())?;
    }
    let confirmed = !confirmation.dry_run
        && context.console.confirm(confirmation, &format!("{verb} {}{consequence}?", message_count(count)))?;
    (context.watch_signals)();
    Ok((count, confirmed.then_some(selected)))
}
