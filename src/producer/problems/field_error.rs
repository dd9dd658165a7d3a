//! One wrong value of a request, as a problem names it.
//!
//! The rule this file keeps: a value itself is never repeated, only where it stands and what would be right. It must
//! not know the rules that values keep.

use crate::domain::Invalid;
use crate::producer::language::Language;
use serde::Serialize;
use std::borrow::Cow;

/// How much is shown of a name that the caller chose, in characters.
const NAME_SHOWN: usize = 40;

/// Where a wrong value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldLocation {
    /// A field of the JSON body.
    Body,
    /// A query parameter.
    Query,
    /// A part of the path.
    Path,
    /// A header.
    Header,
}

/// One wrong value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where it stands.
    #[serde(rename = "in")]
    pub place: FieldLocation,
    /// The field's, parameter's or header's name.
    pub field: String,
    /// Where a member of the body stands, as a JSON pointer (RFC 6901).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// A stable code for programs.
    pub code: &'static str,
    /// What would be right, for people.
    pub detail: Cow<'static, str>,
}

impl FieldError {
    /// Of a long name only the beginning is shown.
    pub(crate) fn new(place: FieldLocation, field: impl Into<String>, invalid: Invalid) -> Self {
        let mut field = field.into();
        let whole = match field.char_indices().nth(NAME_SHOWN) {
            Some((end, _)) => {
                field.truncate(end);
                false
            }
            None => true,
        };
        // What is no member has a name in parentheses; the beginning of a name points to nothing.
        let member = place == FieldLocation::Body && whole && !matches!(field.as_str(), "(body)" | "(line)");
        let pointer = member.then(|| format!("/{}", field.replace('~', "~0").replace('/', "~1")));
        Self { place, field, pointer, code: invalid.code, detail: invalid.detail.into() }
    }

    /// The same, with its sentence in this language.
    pub(crate) fn spoken(&self, language: Language) -> Self {
        Self { detail: language.say(&self.detail).into_owned().into(), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRONG: Invalid = Invalid { code: "malformed", detail: "must not be empty" };

    #[test]
    fn a_pointer_leads_to_a_member_of_the_body() {
        let pointer = |place, field: &str| FieldError::new(place, field, WRONG).pointer;
        assert_eq!(pointer(FieldLocation::Body, "name"), Some("/name".into()));
        assert_eq!(pointer(FieldLocation::Body, "a/b~c"), Some("/a~1b~0c".into()));
        assert_eq!(pointer(FieldLocation::Body, ""), Some("/".into()));
        assert_eq!(pointer(FieldLocation::Body, &"é".repeat(40)), Some(format!("/{}", "é".repeat(40))));
        for (place, field) in
            [(FieldLocation::Body, "(body)"), (FieldLocation::Body, "(line)"), (FieldLocation::Query, "q")]
        {
            assert_eq!(pointer(place, field), None);
        }
        let long = FieldError::new(FieldLocation::Body, "é".repeat(41), WRONG);
        assert_eq!((long.field, long.pointer), ("é".repeat(40), None));
    }
}
