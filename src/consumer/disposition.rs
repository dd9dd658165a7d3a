//! The disposition of a message.

use crate::domain::Outcome;

/// What happens to a message after it was handled.
pub(super) enum Disposition {
    /// The domain or the decoder decided. The text explains it to the operator.
    Decided(Outcome, String),
    /// SQL works, but not for this command now: its row may be locked. It is published to the retry queue unchanged.
    Deferred,
    /// It was redelivered in a pack. It is published to the retry queue as a message of its own.
    Split,
    /// It reached the redelivery limit, but not the requeue limit. It is requeued.
    RedeliveredTooOften,
}

impl From<Outcome> for Disposition {
    fn from(outcome: Outcome) -> Self {
        let detail = match outcome {
            Outcome::Failed(reason) | Outcome::Wait(reason) => reason.sentence().to_owned(),
            Outcome::Applied | Outcome::Superseded | Outcome::Duplicate => String::new(),
        };
        Self::Decided(outcome, detail)
    }
}
