//! Parses parameters of paths and queries. Every invalid parameter is reported.

use crate::domain::Invalid;
use crate::producer::problems::{FieldError, FieldLocation, Kind, Problem};
use std::borrow::Cow;
use std::str::FromStr;
use url::form_urlencoded;

const REPEATED: Invalid = Invalid::new("repeated", "must be sent once");
const BOOLEAN: Invalid = Invalid::new("malformed", "must be true or false");

/// Parses an id in a path. The answer to an invalid id is 404, because nothing has such an id.
pub(crate) fn parse_id<T: FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_malformed| {
        let mut problem = Problem::field(FieldLocation::Path, "id", "malformed", "must be a UUID");
        problem.set_kind(Kind::NotFound);
        problem
    })
}

/// Parses the parameters of a query and returns an error for each invalid one. Each parameter may be sent once.
///
/// `parse` returns `None` for an unknown parameter.
pub(crate) fn parse_query(
    query: &str,
    unknown: Invalid,
    mut parse: impl FnMut(&str, &str) -> Option<Result<(), Invalid>>,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen: Vec<Cow<'_, str>> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        // Many clients send a list by repeating its parameter.
        let repeated = seen.contains(&name) && name != "fields";
        let result = if repeated { Err(REPEATED) } else { parse(&name, &value).unwrap_or(Err(unknown)) };
        if let Err(invalid) = result {
            errors.push(FieldError::new(FieldLocation::Query, name.as_ref(), invalid));
        }
        seen.push(name);
    }
    errors
}

pub(crate) fn parse_boolean(text: &str) -> Result<bool, Invalid> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(BOOLEAN),
    }
}
