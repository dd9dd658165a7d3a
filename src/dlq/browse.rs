//! Looking all letters through, and remembering which were chosen: by fingerprint, so that a later look finds the same
//! ones and none that came since.

use super::facts::{DeadLetterSummary, Fingerprint, fingerprint};
use super::output::{Groups, letters};
use super::{Confirmation, Context, DlqError, Selection};
use crate::domain::Timestamp;
use crate::message::Message;
use crate::queue::{DeadLetterBrowser, QueueError};
use std::collections::HashMap;

/// DeadLetterBrowser removed in one step.
pub(super) const TOGETHER: usize = 500;
/// How often it is tried to remove what should be gone.
const SWEEPS: usize = 5;

/// DeadLetterBrowser that were chosen and are not dealt with yet.
pub(super) struct Chosen {
    /// How often each is there: two letters may be the same in every byte.
    left: HashMap<Fingerprint, usize>,
    count: usize,
    /// Those that were dealt with, and removed as far as we know.
    removed: HashMap<Fingerprint, usize>,
    /// DeadLetterBrowser that are the same as chosen ones in every byte, and stay.
    twins: HashMap<Fingerprint, usize>,
}

impl Chosen {
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    fn add(&mut self, which: Fingerprint) {
        *self.left.entry(which).or_default() += 1;
        self.count += 1;
    }

    /// Notes that one is dealt with.
    pub(super) fn done(&mut self, which: &Fingerprint) {
        if let Some(times) = self.left.get_mut(which) {
            *times -= 1;
            self.count -= 1;
            if *times == 0 {
                self.left.remove(which);
            }
            *self.removed.entry(*which).or_default() += 1;
        }
    }

    /// Looks whether what was removed is gone, and removes it again if not: a connection that ends badly may take
    /// acknowledgements with it. Answers how many are still there, and what to say of it.
    pub(super) fn sweep(&self, context: &Context) -> (usize, Vec<String>) {
        match self.sweep_until_clean(context) {
            Ok(0) => (0, Vec::new()),
            Ok(still) => {
                (still, vec![format!("{still} of them are still in the queue, too: doing this again does no harm")])
            }
            Err(error) => (0, vec![format!("it could not be seen whether all of them have left the queue: {error}")]),
        }
    }

    fn sweep_until_clean(&self, context: &Context) -> Result<usize, DlqError> {
        let mut still = 0;
        for _ in 0..if self.removed.is_empty() { 0 } else { SWEEPS } {
            if context.stop.is_set() {
                break;
            }
            still = 0;
            context.letters.browse(&mut |letters| {
                let (mut ticket, mut tags) = (Ticket(self.removed.clone()), Vec::new());
                // As many as there are besides may be there.
                let mut twins = self.twins.clone();
                for (which, left) in &self.left {
                    *twins.entry(*which).or_default() += left;
                }
                let progress = context.console.progress("making sure", letters.total());
                while let Some(letter) = letters.next()? {
                    progress.advance(1);
                    if context.stop.is_set() {
                        return Ok(());
                    }
                    let which = fingerprint(&letter.message);
                    if let Some(more) = twins.get_mut(&which).filter(|more| **more > 0) {
                        *more -= 1;
                    } else if ticket.take(&which) {
                        letters.mark_for_removal();
                        tags.push(letter.tag);
                    }
                }
                still = tags.len();
                tags.chunks(TOGETHER).try_for_each(|some| letters.remove(some))
            })?;
            if still == 0 {
                break;
            }
        }
        Ok(still)
    }

    /// A copy that a look can tick off: `take` is true as often as a letter was chosen.
    pub(super) fn ticket(&self) -> Ticket {
        Ticket(self.left.clone())
    }
}

/// What one look still has to find.
pub(super) struct Ticket(HashMap<Fingerprint, usize>);

impl Ticket {
    pub(super) fn take(&mut self, which: &Fingerprint) -> bool {
        match self.0.get_mut(which) {
            Some(times) if *times > 0 => {
                *times -= 1;
                true
            }
            _ => false,
        }
    }
}

/// When letters failed first, and then the order in which they lie: the order of every operation.
pub(super) type Order = (Timestamp, usize);

pub(super) fn order(facts: &DeadLetterSummary, number: usize) -> Order {
    (facts.first_failed.unwrap_or(Timestamp::UNIX_EPOCH), number)
}

/// Shows every letter of one look to `see`, with progress.
pub(super) fn look_through(
    context: &Context,
    what: &'static str,
    mut see: impl FnMut(&DeadLetterSummary, &Message) -> bool,
) -> Result<(), DlqError> {
    let result: Result<(), QueueError> = context.letters.browse(&mut |letters: &mut dyn DeadLetterBrowser| {
        let progress = context.console.progress(what, letters.total());
        while let Some(letter) = letters.next()? {
            progress.advance(1);
            if context.stop.is_set() || !see(&DeadLetterSummary::of(&letter.message), &letter.message) {
                break;
            }
        }
        Ok(())
    });
    Ok(result?)
}

/// Looks for what is selected. Answers the groups of it, too, and those of the rest.
pub(super) fn choose(context: &Context, selection: &Selection) -> Result<(Chosen, Groups, Groups), DlqError> {
    // Only a limit needs to know which failed first before all are seen.
    let mut candidates: Vec<(Order, Fingerprint, DeadLetterSummary)> = Vec::new();
    let (mut groups, mut others, mut number) = (Groups::default(), Groups::default(), 0);
    let mut chosen = Chosen { left: HashMap::new(), count: 0, removed: HashMap::new(), twins: HashMap::new() };
    look_through(context, "looking through", |facts, message| {
        number += 1;
        if !selection.matches(facts) {
            others.add(facts);
        } else if selection.limit.is_some() {
            candidates.push((order(facts, number), fingerprint(message), facts.clone()));
        } else {
            groups.add(facts);
            chosen.add(fingerprint(message));
        }
        true
    })?;
    candidates.sort_by_key(|(order, ..)| *order);
    let most = selection.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or_default();
    for (number, (_, which, facts)) in candidates.iter().enumerate() {
        if number < most {
            groups.add(facts);
            chosen.add(*which);
        } else if chosen.left.contains_key(which) {
            *chosen.twins.entry(*which).or_default() += 1;
        }
    }
    if chosen.len() == 0 && !others.is_empty() {
        context.console.note("Nothing is selected. These are there:")?;
        context.console.note(&others.table())?;
    }
    Ok((chosen, groups, others))
}

/// The same for what changes something: asks first. Answers how many are selected and, if it shall be done, which.
pub(super) fn choose_with_consent(
    context: &Context,
    selection: &Selection,
    confirmation: Confirmation,
    verb: &str,
    consequence: &str,
) -> Result<(usize, Option<Chosen>), DlqError> {
    if !selection.says_which() {
        return Err(DlqError::Usage(format!(
            "say which dead letters to {verb}: --all, or --reason, --operation, --contact, --id, --since, --until"
        )));
    }
    context.console.can_ask(confirmation)?;
    let (chosen, groups, _) = choose(context, selection)?;
    let selected = chosen.len();
    if selected == 0 {
        return Ok((0, None));
    }
    if !confirmation.yes || confirmation.dry_run {
        context.console.note(&groups.table())?;
    }
    let agreed = !confirmation.dry_run
        && context.console.ask(confirmation, &format!("{verb} {}{consequence}?", letters(selected)))?;
    (context.watch_signals)();
    Ok((selected, agreed.then_some(chosen)))
}
