//! Why a value is not valid.

/// An invalid value: a stable code for programs and a sentence for people.
///
/// The sentence never contains the value, so logs and dead letters do not show personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Invalid {
    /// A stable, lower-case code, such as `too_long`.
    pub code: &'static str,
    /// What is wrong, and what is valid.
    pub detail: &'static str,
}

impl Invalid {
    pub(crate) const fn new(code: &'static str, detail: &'static str) -> Self {
        Self { code, detail }
    }
}
