//! Looking all letters through, and remembering which were chosen: by fingerprint, so that a later look finds the same
//! ones and none that came since.

use super::facts::{Facts, Fingerprint, fingerprint};
use super::output::{Groups, letters};
use super::{Consent, Desk, DlqError, Selection};
use crate::domain::Moment;
use crate::message::Message;
use crate::queue::{Letters, QueueError};
use std::collections::HashMap;

/// Letters removed in one step.
pub(super) const TOGETHER: usize = 500;
/// How often it is tried to remove what should be gone.
const SWEEPS: usize = 5;

/// Letters that were chosen and are not dealt with yet.
pub(super) struct Chosen {
    /// How often each is there: two letters may be the same in every byte.
    left: HashMap<Fingerprint, usize>,
    count: usize,
    /// Those that were dealt with, and removed as far as we know.
    removed: HashMap<Fingerprint, usize>,
    /// Letters that are the same as chosen ones in every byte, and stay.
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
    pub(super) fn sweep(&self, desk: &Desk) -> (usize, Vec<String>) {
        match self.sweep_until_clean(desk) {
            Ok(0) => (0, Vec::new()),
            Ok(still) => {
                (still, vec![format!("{still} of them are still in the queue, too: doing this again does no harm")])
            }
            Err(error) => (0, vec![format!("it could not be seen whether all of them have left the queue: {error}")]),
        }
    }

    fn sweep_until_clean(&self, desk: &Desk) -> Result<usize, DlqError> {
        let mut still = 0;
        for _ in 0..if self.removed.is_empty() { 0 } else { SWEEPS } {
            if desk.stop.is_set() {
                break;
            }
            still = 0;
            desk.letters.look(&mut |letters| {
                let (mut ticket, mut places) = (Ticket(self.removed.clone()), Vec::new());
                // As many as there are besides may be there.
                let mut twins = self.twins.clone();
                for (which, left) in &self.left {
                    *twins.entry(*which).or_default() += left;
                }
                let progress = desk.screen.progress("making sure", letters.total());
                while let Some(letter) = letters.next()? {
                    progress.advance(1);
                    if desk.stop.is_set() {
                        return Ok(());
                    }
                    let which = fingerprint(&letter.message);
                    if let Some(more) = twins.get_mut(&which).filter(|more| **more > 0) {
                        *more -= 1;
                    } else if ticket.take(&which) {
                        letters.hold();
                        places.push(letter.place);
                    }
                }
                still = places.len();
                places.chunks(TOGETHER).try_for_each(|some| letters.remove(some))
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
pub(super) type Order = (Moment, usize);

pub(super) fn order(facts: &Facts, number: usize) -> Order {
    (facts.first_failed.unwrap_or(Moment::UNIX_EPOCH), number)
}

/// Shows every letter of one look to `see`, with progress.
pub(super) fn look_through(
    desk: &Desk,
    what: &'static str,
    mut see: impl FnMut(&Facts, &Message) -> bool,
) -> Result<(), DlqError> {
    let result: Result<(), QueueError> = desk.letters.look(&mut |letters: &mut dyn Letters| {
        let progress = desk.screen.progress(what, letters.total());
        while let Some(letter) = letters.next()? {
            progress.advance(1);
            if desk.stop.is_set() || !see(&Facts::of(&letter.message), &letter.message) {
                break;
            }
        }
        Ok(())
    });
    Ok(result?)
}

/// Looks for what is selected. Answers the groups of it, too, and those of the rest.
pub(super) fn choose(desk: &Desk, selection: &Selection) -> Result<(Chosen, Groups, Groups), DlqError> {
    // Only a limit needs to know which failed first before all are seen.
    let mut candidates: Vec<(Order, Fingerprint, Facts)> = Vec::new();
    let (mut groups, mut others, mut number) = (Groups::default(), Groups::default(), 0);
    let mut chosen = Chosen { left: HashMap::new(), count: 0, removed: HashMap::new(), twins: HashMap::new() };
    look_through(desk, "looking through", |facts, message| {
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
        desk.screen.note("Nothing is selected. These are there:")?;
        desk.screen.note(&others.table())?;
    }
    Ok((chosen, groups, others))
}

/// The same for what changes something: asks first. Answers how many are selected and, if it shall be done, which.
pub(super) fn choose_with_consent(
    desk: &Desk,
    selection: &Selection,
    consent: Consent,
    verb: &str,
    consequence: &str,
) -> Result<(usize, Option<Chosen>), DlqError> {
    if !selection.says_which() {
        return Err(DlqError::Usage(format!(
            "say which dead letters to {verb}: --all, or --reason, --operation, --contact, --id, --since, --until"
        )));
    }
    desk.screen.can_ask(consent)?;
    let (chosen, groups, _) = choose(desk, selection)?;
    let selected = chosen.len();
    if selected == 0 {
        return Ok((0, None));
    }
    if !consent.yes || consent.dry_run {
        desk.screen.note(&groups.table())?;
    }
    let agreed =
        !consent.dry_run && desk.screen.ask(consent, &format!("{verb} {}{consequence}?", letters(selected)))?;
    (desk.watch_signals)();
    Ok((selected, agreed.then_some(chosen)))
}
