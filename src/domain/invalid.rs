//! Why a value is not valid.

use std::fmt;

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
    /// The phone number that was probably meant. Only the caller who sent the value may see it.
    pub suggestion: Option<SuggestedPhone>,
}

impl Invalid {
    pub(crate) const fn new(code: &'static str, detail: &'static str) -> Self {
        Self { code, detail, suggestion: None }
    }

    /// Suggests a phone number: the digits of its E.164 form.
    pub(crate) const fn suggest_phone(self, digits: u64) -> Self {
        Self { suggestion: Some(SuggestedPhone(digits)), ..self }
    }
}

/// A phone number that was probably meant. Shown as E.164.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SuggestedPhone(u64);

impl fmt::Display for SuggestedPhone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.0)
    }
}

impl fmt::Debug for SuggestedPhone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SuggestedPhone(***)")
    }
}
