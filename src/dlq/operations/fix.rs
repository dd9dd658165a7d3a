//! `fix`: sends a fixed command in the place of one dead letter, as `export`, a change and `import` do together.

use super::export::ExportLine;
use super::import::prepare_line;
use super::replay::open_reachable_store;
use crate::dlq::resend::publish;
use crate::dlq::summary::message_id;
use crate::dlq::{DlqError, Run};
use crate::message::Message;
use crate::queue::{PublishError, QueueError};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// The dead letters of one message: after a crash, the queue may contain a message twice.
#[derive(Default)]
pub(crate) struct Copies {
    /// The one that was replayed most often, and of those the one that failed last.
    pub(crate) latest: Option<Message>,
    pub(crate) count: usize,
}

impl Copies {
    /// Adds a dead letter with the same id.
    pub(crate) fn add(&mut self, message: &Message) {
        self.count += 1;
        let order = |message: &Message| {
            (message.headers.replays(), message.headers.failure().and_then(|failure| failure.last_at))
        };
        if self.latest.as_ref().is_none_or(|latest| order(latest) <= order(message)) {
            self.latest = Some(message.clone());
        }
    }
}

/// The body to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FixedBody {
    /// The body of the dead letter: it is replayed.
    Unchanged,
    /// JSON: it becomes a new operation.
    Changed(String),
}

/// What was sent in the place of a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replacement {
    /// The operation that was sent.
    pub(crate) operation_id: String,
    /// Whether the dead letter left the queue. If not, the same fix may be sent again: it takes effect once.
    pub(crate) removed: bool,
}

/// Why nothing was sent.
#[derive(Debug)]
pub(crate) enum FixError<E> {
    /// There is no dead letter with this id.
    NotFound,
    /// The caller refused the dead letter.
    Refused(E),
    /// The fixed body is not a command.
    Invalid(String),
    NotConfirmed(PublishError),
    Queue(DlqError),
}

/// Sends the body that `fix` returns in the place of the dead letter with this id. Removes the dead letter and its
/// copies with the same body after the publisher confirm.
pub(crate) fn run<E>(
    run: &Run<'_>,
    id: &str,
    fix: impl Fn(&Message) -> Result<FixedBody, E>,
) -> Result<Replacement, FixError<E>> {
    let mut result = Err(FixError::NotFound);
    let browsed = run.queue.browse(&mut |browser| {
        let (mut copies, mut tags) = (Copies::default(), HashMap::<_, Vec<u64>>::new());
        while let Some(dead_letter) = browser.next()? {
            if run.stop.is_set() {
                return Err(QueueError::Lost("interrupted".into()));
            }
            if message_id(&dead_letter.message) == id {
                browser.mark_for_removal();
                tags.entry(Sha256::digest(&dead_letter.message.body)).or_default().push(dead_letter.tag);
                copies.add(&dead_letter.message);
            }
        }
        let Some(original) = copies.latest else { return Ok(()) };
        match send(run, &original, &fix) {
            Ok(operation_id) => {
                result = Ok(Replacement { operation_id, removed: true });
                browser.remove(tags.get(&Sha256::digest(&original.body)).map_or(&[], Vec::as_slice))
            }
            Err(error) => {
                result = Err(error);
                Ok(())
            }
        }
    });
    match (browsed, result) {
        (Err(_), Ok(replacement)) => Ok(Replacement { removed: false, ..replacement }),
        (Err(error), Err(FixError::NotFound)) => Err(FixError::Queue(error.into())),
        (_, result) => result,
    }
}

/// Returns the operation that was sent.
fn send<E>(
    run: &Run<'_>,
    original: &Message,
    fix: &impl Fn(&Message) -> Result<FixedBody, E>,
) -> Result<String, FixError<E>> {
    let line = ExportLine::of(original);
    let line = match fix(original).map_err(FixError::Refused)? {
        FixedBody::Unchanged => line,
        FixedBody::Changed(body) => line.with_body(&body),
    };
    let prepared = prepare_line(&line).map_err(FixError::Invalid)?;
    // Only a replay of the same operation needs the database, and without it the replay is only less sure to be a new
    // attempt.
    let store = if prepared.is_changed { None } else { open_reachable_store(run).ok() };
    let mut messages = [prepared.message];
    for published in publish(run, store.as_deref(), &mut messages) {
        published.map_err(FixError::NotConfirmed)?;
    }
    let [message] = messages;
    Ok(message.id)
}
