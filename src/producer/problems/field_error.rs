//! Field errors: the invalid values of a request in a problem.
//!
//! Rule of this file: a field error never repeats the value. It says where the value is and what is valid.

use crate::domain::Invalid;
use crate::producer::language::Language;
use serde::Serialize;
use std::borrow::Cow;

/// The maximum length of a field name in an answer, in characters. The caller can choose any name.
const MAX_NAME_CHARS: usize = 40;

/// Where an invalid value is.
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

/// One invalid value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where the value is.
    #[serde(rename = "in")]
    pub location: FieldLocation,
    /// The name of the field, parameter or header.
    pub field: String,
    /// The position in the body as a JSON pointer (RFC 6901).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// A stable code for programs.
    pub code: &'static str,
    /// What is valid, as a text for people.
    pub detail: Cow<'static, str>,
    /// The value that was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl FieldError {
    /// Creates a field error. A long name is truncated.
    pub(crate) fn new(location: FieldLocation, field: impl Into<String>, invalid: Invalid) -> Self {
        let mut field = field.into();
        let whole = match field.char_indices().nth(MAX_NAME_CHARS) {
            Some((end, _)) => {
                field.truncate(end);
                false
            }
            None => true,
        };
        // A name in parentheses is not a member. A truncated name has no valid pointer.
        let member =
            location == FieldLocation::Body && whole && !matches!(field.as_str(), "(body)" | "(file)" | "(line)");
        let pointer = member.then(|| format!("/{}", field.replace('~', "~0").replace('/', "~1")));
        let suggestion = invalid.suggestion.map(|phone| phone.to_string());
        Self { location, field, pointer, code: invalid.code, detail: invalid.detail.into(), suggestion }
    }

    /// The same field error with its `detail` in this language.
    pub(crate) fn localized(&self, language: Language) -> Self {
        Self { detail: language.translate(&self.detail).into_owned().into(), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRONG: Invalid = Invalid::new("malformed", "must not be empty");

    #[test]
    fn only_members_of_the_body_have_a_pointer() {
        let pointer = |location, field: &str| FieldError::new(location, field, WRONG).pointer;
        assert_eq!(pointer(FieldLocation::Body, "name"), Some("/name".into()));
        assert_eq!(pointer(FieldLocation::Body, "a/b~c"), Some("/a~1b~0c".into()));
        assert_eq!(pointer(FieldLocation::Body, ""), Some("/".into()));
        assert_eq!(pointer(FieldLocation::Body, &"é".repeat(40)), Some(format!("/{}", "é".repeat(40))));
        for (location, field) in
            [(FieldLocation::Body, "(body)"), (FieldLocation::Body, "(line)"), (FieldLocation::Query, "q")]
        {
            assert_eq!(pointer(location, field), None);
        }
        let long = FieldError::new(FieldLocation::Body, "é".repeat(41), WRONG);
        assert_eq!((long.field, long.pointer), ("é".repeat(40), None));
    }
}
