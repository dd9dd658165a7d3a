//! `discard`: away for good.

use crate::dlq::browse::{TOGETHER, choose_with_consent};
use crate::dlq::facts::fingerprint;
use crate::dlq::output::Report;
use crate::dlq::{Completion, Confirmation, Context, DlqError, Selection};

pub(in crate::dlq) fn run(
    context: &Context,
    selection: &Selection,
    confirmation: Confirmation,
) -> Result<Completion, DlqError> {
    let (selected, mut chosen) = choose_with_consent(context, selection, confirmation, "discard", " for good")?;
    let (mut done, mut notes) = (0, Vec::new());
    if let Some(chosen) = &mut chosen {
        let result = context.letters.browse(&mut |letters| {
            let (mut ticket, mut tags) = (chosen.ticket(), Vec::new());
            let progress = context.console.progress("discarding", chosen.len());
            while let Some(letter) = letters.next()? {
                if context.stop.is_set() {
                    return Ok(());
                }
                let which = fingerprint(&letter.message);
                if ticket.take(&which) {
                    letters.mark_for_removal();
                    tags.push((letter.tag, which));
                }
            }
            for some in tags.chunks(TOGETHER) {
                if context.stop.is_set() {
                    return Ok(());
                }
                letters.remove(&some.iter().map(|(tag, _)| *tag).collect::<Vec<_>>())?;
                some.iter().for_each(|(_, which)| chosen.done(which));
                progress.advance(some.len());
            }
            Ok(())
        });
        if let Err(error) = result {
            notes.push(format!("it ended early: {error}"));
        }
        let (still, more) = chosen.sweep(context);
        notes.extend(more);
        done = selected - chosen.len() - still;
    }
    context.console.put_report(&Report {
        operation: "discard",
        done_word: "discarded",
        dry_run: confirmation.dry_run,
        interrupted: context.stop.is_set(),
        declined: chosen.is_none(),
        selected,
        done,
        notes,
        ..Report::default()
    })?;
    Ok(Completion::if_any(if confirmation.dry_run { 0 } else { selected - done }))
}
