//! Why a value was refused, in words for the person who sent it.

/// A refused value: a stable code for programs and a sentence for people.
///
/// The sentence never repeats the value itself, so it can be logged and dead-lettered without showing personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Invalid {
    /// A stable, lower-case code, such as `too_long`.
    pub code: &'static str,
    /// What is wrong and what would be right.
    pub detail: &'static str,
}

impl Invalid {
    pub(crate) const fn new(code: &'static str, detail: &'static str) -> Self {
        Self { code, detail }
    }
}
