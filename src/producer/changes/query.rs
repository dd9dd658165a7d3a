//! The parameters of `GET /changes`.

use super::cursor;
use crate::domain::Invalid;
use crate::producer::contacts::query_parameters::{DEFAULT_LIMIT, parse_limit};
use crate::producer::http::parameters::parse_query;
use crate::producer::problems::{FieldError, FieldLocation, Problem};
use crate::store::ChangePosition;
use actix_web::http::header::HeaderMap;

const UNKNOWN: Invalid = Invalid::new("unknown_parameter", "is not a parameter: after, limit, include");
const BAD_CURSOR: Invalid = Invalid::new("malformed", "must be `latest`, or a cursor of the change feed");
const BAD_EVENT_ID: Invalid = Invalid::new("malformed", "must be a cursor of the change feed");
const BAD_INCLUDE: Invalid = Invalid::new("unknown_value", "must be contact");
/// The value of `after` for the newest change.
const LATEST: &str = "latest";
/// The header with which a client of Server-Sent Events says what it has.
const LAST_EVENT_ID: &str = "last-event-id";

/// Where a client begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// The oldest change that is kept.
    Oldest,
    /// After all changes.
    Latest,
    /// After this change.
    After(ChangePosition),
}

/// A request for changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChangeQuery {
    pub(super) start: Start,
    pub(super) limit: u32,
    /// Whether each change has the contact as it is now.
    pub(super) with_contacts: bool,
}

impl ChangeQuery {
    /// Parses the query of a URL.
    pub(super) fn parse(query: &str) -> Result<Self, Problem> {
        let mut parsed = Self { start: Start::Oldest, limit: DEFAULT_LIMIT, with_contacts: false };
        let errors = parse_query(query, UNKNOWN, |name, value| match name {
            "after" if value == LATEST => {
                parsed.start = Start::Latest;
                Some(Ok(()))
            }
            "after" => {
                Some(cursor::decode(value).ok_or(BAD_CURSOR).map(|position| parsed.start = Start::After(position)))
            }
            "limit" => Some(parse_limit(value).map(|limit| parsed.limit = limit)),
            "include" if value == "contact" => {
                parsed.with_contacts = true;
                Some(Ok(()))
            }
            "include" => Some(Err(BAD_INCLUDE)),
            _ => None,
        });
        if errors.is_empty() { Ok(parsed) } else { Err(Problem::validation(errors)) }
    }
}

/// The last event that a client of Server-Sent Events has, if it says so.
pub(super) fn last_event(headers: &HeaderMap) -> Result<Option<ChangePosition>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else { return Ok(None) };
    let invalid = || Problem::validation(vec![FieldError::new(FieldLocation::Header, "Last-Event-ID", BAD_EVENT_ID)]);
    value.to_str().ok().and_then(cursor::decode).map(Some).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};

    fn codes(problem: &Problem) -> Vec<(String, &'static str)> {
        problem.errors().iter().map(|error| (error.field.clone(), error.code)).collect()
    }

    #[test]
    fn every_invalid_parameter_is_reported() {
        for (query, field, code) in [
            ("after=", "after", "malformed"),
            ("after=abc", "after", "malformed"),
            ("after=Latest", "after", "malformed"),
            ("after=latest&after=latest", "after", "repeated"),
            ("limit=0", "limit", "malformed"),
            ("include=", "include", "unknown_value"),
            ("include=contacts", "include", "unknown_value"),
            ("cursor=x", "cursor", "unknown_parameter"),
        ] {
            assert_eq!(codes(&ChangeQuery::parse(query).unwrap_err()), [(field.to_owned(), code)], "{query}");
        }
        assert_eq!(codes(&ChangeQuery::parse("x=1&limit=0&after=x").unwrap_err()).len(), 3);
    }

    #[test]
    fn cursors_are_read() {
        let id = cursor::encode(ChangePosition::START);
        let expected = ChangeQuery { start: Start::Latest, limit: 200, with_contacts: true };
        assert_eq!(ChangeQuery::parse("after=latest&limit=500&include=contact").unwrap(), expected);
        assert_eq!(ChangeQuery::parse(&format!("after={id}")).unwrap().start, Start::After(ChangePosition::START));
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(LAST_EVENT_ID), HeaderValue::from_str(value).unwrap());
            last_event(&headers)
        };
        assert_eq!(with(&id).unwrap(), Some(ChangePosition::START));
        assert_eq!(with("").unwrap(), None);
        assert_eq!(codes(&with("7").unwrap_err()), [("Last-Event-ID".to_owned(), "malformed")]);
    }
}
