//! Parameters of paths and queries, each wrong one named.

use crate::domain::Invalid;
use crate::producer::problems::{FieldError, FieldLocation, Kind, Problem};
use std::borrow::Cow;
use std::str::FromStr;
use url::form_urlencoded;

const TWICE: Invalid = Invalid { code: "repeated", detail: "must be sent once" };
const BOOLEAN: Invalid = Invalid { code: "malformed", detail: "must be true or false" };

/// An id in a path. A text that is no id names nothing, so it is a 404 that says so.
pub(crate) fn id<T: FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_malformed| {
        let mut problem = Problem::field(FieldLocation::Path, "id", "malformed", "must be a UUID");
        problem.set_kind(Kind::NotFound);
        problem
    })
}

/// Reads the parameters of a query, each at most once; names every wrong one.
pub(crate) fn parameters(
    query: &str,
    unknown: Invalid,
    mut take: impl FnMut(&str, &str) -> Option<Result<(), Invalid>>,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen: Vec<Cow<'_, str>> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        // Many clients send a list as a parameter for each of its members.
        let twice = seen.contains(&name) && name != "fields";
        let result = if twice { Err(TWICE) } else { take(&name, &value).unwrap_or(Err(unknown)) };
        if let Err(invalid) = result {
            errors.push(FieldError::new(FieldLocation::Query, name.as_ref(), invalid));
        }
        seen.push(name);
    }
    errors
}

pub(crate) fn boolean(text: &str) -> Result<bool, Invalid> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(BOOLEAN),
    }
}
