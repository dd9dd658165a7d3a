//! `discard`: away for good.

use crate::dlq::browse::{TOGETHER, choose_with_consent};
use crate::dlq::facts::fingerprint;
use crate::dlq::output::Report;
use crate::dlq::{Consent, Desk, DlqError, Left, Selection};

pub(in crate::dlq) fn run(desk: &Desk, selection: &Selection, consent: Consent) -> Result<Left, DlqError> {
    let (selected, mut chosen) = choose_with_consent(desk, selection, consent, "discard", " for good")?;
    let (mut done, mut notes) = (0, Vec::new());
    if let Some(chosen) = &mut chosen {
        let result = desk.letters.look(&mut |letters| {
            let (mut ticket, mut places) = (chosen.ticket(), Vec::new());
            let progress = desk.screen.progress("discarding", chosen.len());
            while let Some(letter) = letters.next()? {
                if desk.stop.is_set() {
                    return Ok(());
                }
                let which = fingerprint(&letter.message);
                if ticket.take(&which) {
                    letters.hold();
                    places.push((letter.place, which));
                }
            }
            for some in places.chunks(TOGETHER) {
                if desk.stop.is_set() {
                    return Ok(());
                }
                letters.remove(&some.iter().map(|(place, _)| *place).collect::<Vec<_>>())?;
                some.iter().for_each(|(_, which)| chosen.done(which));
                progress.advance(some.len());
            }
            Ok(())
        });
        if let Err(error) = result {
            notes.push(format!("it ended early: {error}"));
        }
        let (still, more) = chosen.sweep(desk);
        notes.extend(more);
        done = selected - chosen.len() - still;
    }
    desk.screen.put_report(&Report {
        operation: "discard",
        done_word: "discarded",
        dry_run: consent.dry_run,
        interrupted: desk.stop.is_set(),
        declined: chosen.is_none(),
        selected,
        done,
        notes,
        ..Report::default()
    })?;
    Ok(Left::if_any(if consent.dry_run { 0 } else { selected - done }))
}
