//! `discard`: removes dead letters for good.

use crate::dlq::browse::{REMOVE_BATCH, SelectedMessages, select_and_confirm};
use crate::dlq::operator::{Activity, Answer};
use crate::dlq::report::{EndedEarly, Report};
use crate::dlq::resend::wait_while_paused;
use crate::dlq::summary::fingerprint;
use crate::dlq::{DlqError, Run, Selection};

/// Discards the selected dead letters.
pub(crate) fn run(run: &Run<'_>, selection: &Selection) -> Result<Report, DlqError> {
    let confirmed = select_and_confirm(run, selection, "discard", " for good")?;
    let report = Report {
        dry_run: confirmed.answer == Answer::DryRun,
        declined: confirmed.answer != Answer::Yes,
        selected: confirmed.count,
        remaining: confirmed.count,
        ..empty_report()
    };
    Ok(match confirmed.into_messages() {
        Some(mut messages) => discard(run, &mut messages),
        None => report,
    })
}

fn empty_report() -> Report {
    Report { operation: "discard", past_tense: "discarded", ..Report::default() }
}

/// Discards exactly these dead letters. Those that are not discarded stay in `selected`.
pub(crate) fn discard(run: &Run<'_>, selected: &mut SelectedMessages) -> Report {
    let count = selected.len();
    let (mut notes, mut ended_early) = (Vec::new(), None);
    let progress = run.operator.progress(Activity::Discard, count);
    while wait_while_paused(run, || {}) {
        let mut paused = false;
        let result = run.queue.browse(&mut |browser| {
            let (mut matches, mut found) = (selected.remaining_matches(), Vec::new());
            while let Some(dead_letter) = browser.next()? {
                if run.stop.is_set() {
                    return Ok(());
                }
                let fingerprint = fingerprint(&dead_letter.message);
                if matches.take(&fingerprint) {
                    browser.mark_for_removal();
                    found.push((dead_letter.tag, fingerprint));
                }
            }
            for batch in found.chunks(REMOVE_BATCH) {
                // A pause ends the browse, so that others can read the queue.
                paused = run.operator.is_paused();
                if paused || run.stop.is_set() {
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
            ended_early = Some(EndedEarly::QueueFailed);
        }
        if !paused || ended_early.is_some() {
            break;
        }
    }
    drop(progress);
    let (still_there, removal_notes) = selected.verify_removal(run);
    notes.extend(removal_notes);
    let remaining = selected.len() + still_there;
    if remaining > 0 && ended_early.is_none() && !run.stop.is_set() {
        ended_early = Some(EndedEarly::MessagesMissing);
    }
    Report {
        interrupted: run.stop.is_set(),
        selected: count,
        done: count - remaining,
        remaining,
        ended_early,
        notes,
        ..empty_report()
    }
}
