//! `discard`: removes dead letters for good.

use crate::dlq::browse::{REMOVE_BATCH, select_and_confirm};
use crate::dlq::output::Report;
use crate::dlq::summary::fingerprint;
use crate::dlq::{Completion, Confirmation, Context, DlqError, Selection};

pub(in crate::dlq) fn run(
    context: &Context,
    selection: &Selection,
    confirmation: Confirmation,
) -> Result<Completion, DlqError> {
    let (count, mut selected) = select_and_confirm(context, selection, confirmation, "discard", " for good")?;
    let (mut done, mut notes) = (0, Vec::new());
    if let Some(selected) = &mut selected {
        let result = context.queue.browse(&mut |browser| {
            let (mut matches, mut found) = (selected.remaining_matches(), Vec::new());
            let progress = context.console.progress("discarding", selected.len());
            while let Some(dead_letter) = browser.next()? {
                if context.stop.is_set() {
                    return Ok(());
                }
                let fingerprint = fingerprint(&dead_letter.message);
                if matches.take(&fingerprint) {
                    browser.mark_for_removal();
                    found.push((dead_letter.tag, fingerprint));
                }
            }
            for batch in found.chunks(REMOVE_BATCH) {
                if context.stop.is_set() {
                    return Ok(());
                }
                browser.remove(&batch.iter().map(|(tag, _)| *tag).collect::<Vec<_>>())?;
                batch.iter().for_each(|(_, fingerprint)| selected.mark_done(fingerprint));
                progress.advance(batch.len());
            }
            Ok(())
        });
        if let Err(error) = result {
            notes.push(format!("stopped early: {error}"));
        }
        let (still_there, removal_notes) = selected.verify_removal(context);
        notes.extend(removal_notes);
        done = count - selected.len() - still_there;
    }
    context.console.print_report(&Report {
        operation: "discard",
        past_tense: "discarded",
        dry_run: confirmation.dry_run,
        interrupted: context.stop.is_set(),
        declined: selected.is_none(),
        selected: count,
        done,
        notes,
        ..Report::default()
    })?;
    Ok(Completion::from_remaining(if confirmation.dry_run { 0 } else { count - done }))
}
