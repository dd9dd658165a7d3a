//! `discard`: away for good.

use super::choosing::choose_with_consent;
use super::letter::fingerprint;
use super::screen::Report;
use super::{Consent, Desk, DlqError, Left, Selection};

/// Letters removed in one step.
pub(super) const TOGETHER: usize = 500;

pub(super) fn run(desk: &Desk, selection: &Selection, consent: Consent) -> Result<Left, DlqError> {
    let (selected, chosen) = choose_with_consent(desk, selection, consent, "discard")?;
    let mut done = 0;
    if let Some(chosen) = &chosen {
        desk.letters.look(&mut |letters| {
            let (mut ticket, mut places) = (chosen.ticket(), Vec::new());
            let progress = desk.screen.progress("discarding", chosen.len());
            while let Some(letter) = letters.next()? {
                if desk.stop.is_set() {
                    break;
                }
                if ticket.take(&fingerprint(&letter.message)) {
                    places.push(letter.place);
                }
            }
            for some in places.chunks(TOGETHER) {
                letters.remove(some)?;
                done += some.len();
                progress.advance(some.len());
            }
            Ok(())
        })?;
    }
    desk.screen.put_report(&Report {
        operation: "discard",
        done_word: "discarded",
        dry_run: consent.dry_run,
        interrupted: desk.stop.is_set(),
        selected,
        done,
        ..Report::default()
    })?;
    Ok(Left::if_any(if consent.dry_run { 0 } else { selected - done }))
}
