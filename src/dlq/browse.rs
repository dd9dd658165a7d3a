//! Browses the dead letter queue and remembers which messages are selected. Messages are identified by a fingerprint,
//! so that a later browse finds the same messages and no newer ones.

use super::groups::{Groups, message_count};
use super::operator::{Activity, Answer, Question};
use super::summary::{DeadLetterSummary, Fingerprint, fingerprint};
use super::{DlqError, Run, Selection};
use crate::domain::Timestamp;
use crate::message::Message;
use crate::queue::{DeadLetterBrowser, QueueError};
use std::collections::HashMap;

/// How many dead letters to remove in one step.
pub(super) const REMOVE_BATCH: usize = 500;
/// How often to try to remove dead letters that are still in the queue.
const MAX_REMOVAL_PASSES: usize = 5;

/// The dead letters that an operation still has to process.
#[derive(Clone, Default)]
pub(crate) struct SelectedMessages {
    /// The count of each fingerprint: two dead letters may be equal in every byte.
    remaining: HashMap<Fingerprint, usize>,
    count: usize,
    /// Processed dead letters, which should no longer be in the queue.
    removed: HashMap<Fingerprint, usize>,
    /// Dead letters that are equal to selected ones in every byte, but are not selected.
    unselected_copies: HashMap<Fingerprint, usize>,
}

impl SelectedMessages {
    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    pub(super) fn add(&mut self, fingerprint: Fingerprint) {
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
    pub(super) fn verify_removal(&self, run: &Run<'_>) -> (usize, Vec<String>) {
        match self.remove_until_gone(run) {
            Ok(0) => (0, Vec::new()),
            Ok(still_there) => {
                let messages = message_count(still_there);
                (still_there, vec![format!("{messages} could not be removed from the queue; you may run this again")])
            }
            Err(error) => (0, vec![format!("the queue could not be checked after the removal: {error}")]),
        }
    }

    fn remove_until_gone(&self, run: &Run<'_>) -> Result<usize, DlqError> {
        let mut still_there = 0;
        for _ in 0..if self.removed.is_empty() { 0 } else { MAX_REMOVAL_PASSES } {
            if run.stop.is_set() {
                break;
            }
            still_there = 0;
            run.queue.browse(&mut |browser| {
                let (mut to_remove, mut tags) = (RemainingMatches(self.removed.clone()), Vec::new());
                // Equal dead letters that must stay in the queue.
                let mut to_keep = self.unselected_copies.clone();
                for (fingerprint, count) in &self.remaining {
                    *to_keep.entry(*fingerprint).or_default() += count;
                }
                let progress = run.operator.progress(Activity::Check, browser.total());
                while let Some(dead_letter) = browser.next()? {
                    progress.advance(1);
                    if run.stop.is_set() {
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
pub(crate) type FailureOrder = (Timestamp, usize);

pub(crate) fn failure_order(summary: &DeadLetterSummary, position: usize) -> FailureOrder {
    (summary.first_failed.unwrap_or(Timestamp::UNIX_EPOCH), position)
}

/// Calls `visit` for every dead letter and shows the progress. Stops early if `visit` returns false.
pub(crate) fn browse_all(
    run: &Run<'_>,
    activity: Activity,
    mut visit: impl FnMut(&DeadLetterSummary, &Message) -> bool,
) -> Result<(), DlqError> {
    let result: Result<(), QueueError> = run.queue.browse(&mut |browser: &mut dyn DeadLetterBrowser| {
        let progress = run.operator.progress(activity, browser.total());
        while let Some(dead_letter) = browser.next()? {
            progress.advance(1);
            let summary = DeadLetterSummary::of(&dead_letter.message);
            if run.stop.is_set() || !visit(&summary, &dead_letter.message) {
                break;
            }
        }
        Ok(())
    });
    Ok(result?)
}

/// Finds the selected dead letters. Returns them, their groups, and the groups of all other dead letters.
pub(crate) fn select(run: &Run<'_>, selection: &Selection) -> Result<(SelectedMessages, Groups, Groups), DlqError> {
    // Only a limit needs all dead letters first: it selects the earliest failures.
    let mut candidates: Vec<(FailureOrder, Fingerprint, DeadLetterSummary)> = Vec::new();
    let (mut groups, mut others, mut position) = (Groups::default(), Groups::default(), 0);
    let mut selected = SelectedMessages::default();
    browse_all(run, Activity::Read, |summary, message| {
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
        run.operator.nothing_selected(&others)?;
    }
    Ok((selected, groups, others))
}

/// The groups of the selected dead letters, and of all others.
pub(crate) fn group(run: &Run<'_>, selection: &Selection) -> Result<(Groups, Groups), DlqError> {
    if selection.limit.is_some() {
        return select(run, selection).map(|(_, groups, others)| (groups, others));
    }
    // Does not remember which dead letters are selected.
    let (mut groups, mut others) = (Groups::default(), Groups::default());
    browse_all(run, Activity::Read, |summary, _| {
        if selection.matches(summary) {
            groups.add(summary)
        } else {
            others.add(summary)
        }
        true
    })?;
    if groups.is_empty() && !others.is_empty() {
        run.operator.nothing_selected(&others)?;
    }
    Ok((groups, others))
}

/// The dead letters that an operation is about.
pub(super) struct Confirmed {
    pub(super) count: usize,
    pub(super) answer: Answer,
    pub(super) messages: SelectedMessages,
}

impl Confirmed {
    /// The dead letters, if the operator confirmed.
    pub(super) fn into_messages(self) -> Option<SelectedMessages> {
        (self.answer == Answer::Yes && self.count > 0).then_some(self.messages)
    }
}

/// Finds the selected dead letters and asks for confirmation.
pub(super) fn select_and_confirm(
    run: &Run<'_>,
    selection: &Selection,
    verb: &str,
    consequence: &str,
) -> Result<Confirmed, DlqError> {
    selection.require_criteria(verb)?;
    let (messages, groups, _) = select(run, selection)?;
    let count = messages.len();
    let text = &format!("{verb} {}{consequence}?", message_count(count));
    let answer = run.operator.confirm(Question { count, groups: Some(&groups), notes: &[], text })?;
    Ok(Confirmed { count, answer, messages })
}
