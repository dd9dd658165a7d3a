//! What becomes of a message.

use crate::domain::Outcome;

/// What became of a message.
pub(super) enum Disposition {
    /// The domain or the decoder decided, in words for the operator.
    Decided(Outcome, String),
    /// SQL works, but not for this one at the moment: its row may be locked. It is tried again later, as it is.
    Deferred,
    /// It came back unacknowledged too often to be tried among others, and not often enough to be must_fail.
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
