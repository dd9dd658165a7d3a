//! The query of a list: filters, and a cursor that only we understand.

use super::Problem;
use super::problem::{FieldError, Place};
use crate::domain::{AreaCode, ContactId, Invalid};
use crate::store::Filter;
use uuid::Uuid;

/// Contacts in a page if the client does not say.
const DEFAULT_LIMIT: u32 = 50;
/// The most contacts in a page; more is cut to it.
const MAX_LIMIT: u32 = 200;
/// The first letter of every cursor: another layout would have another.
const CURSOR_VERSION: char = 'a';

const UNKNOWN: Invalid = Invalid { code: "unknown_parameter", detail: "is not a parameter: ddd, cursor, limit" };
const TWICE: Invalid = Invalid { code: "repeated", detail: "must be sent once" };
const LIMIT: Invalid = Invalid { code: "malformed", detail: "must be a whole number from 1 to 200" };
const CURSOR: Invalid = Invalid { code: "malformed", detail: "must be a cursor from the `next` of an earlier page" };

/// What to list.
#[derive(Debug, PartialEq, Eq)]
pub struct Listing {
    /// Which contacts.
    pub filter: Filter,
    /// The last contact of the page before.
    pub after: Option<ContactId>,
    /// How many at most.
    pub limit: u32,
}

impl Listing {
    /// Reads the query of a URL, without its question mark.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let mut listing = Self { filter: Filter::default(), after: None, limit: DEFAULT_LIMIT };
        let mut errors = Vec::new();
        let mut seen = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let result = match name.as_ref() {
                name if seen.iter().any(|known| known == name) => Err(TWICE),
                "ddd" => AreaCode::parse(&value).map(|area| listing.filter.area = Some(area)),
                "limit" => limit(&value).map(|limit| listing.limit = limit),
                "cursor" => cursor(&value).map(|after| listing.after = Some(after)),
                _ => Err(UNKNOWN),
            };
            if let Err(invalid) = result {
                errors.push(FieldError::new(Place::Query, name.chars().take(40).collect::<String>(), invalid));
            }
            seen.push(name);
        }
        if errors.is_empty() { Ok(listing) } else { Err(Problem::validation(errors)) }
    }

    /// The cursor of the page after one that ends with this contact.
    pub(super) fn cursor_after(last: ContactId) -> String {
        format!("{CURSOR_VERSION}{}", last.uuid().simple())
    }

    /// The path of the page after one that ends with this contact.
    pub fn path_after(&self, last: ContactId) -> String {
        let cursor = Self::cursor_after(last);
        let area = self.filter.area.map(|area| format!("ddd={area}&")).unwrap_or_default();
        format!("/contacts?{area}limit={}&cursor={cursor}", self.limit)
    }
}

fn limit(text: &str) -> Result<u32, Invalid> {
    let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(limit) if digits && limit > 0 => Ok(MAX_LIMIT.min(limit)),
        _ => Err(LIMIT),
    }
}

fn cursor(text: &str) -> Result<ContactId, Invalid> {
    let id = text.strip_prefix(CURSOR_VERSION).filter(|id| id.len() == 32).and_then(|id| Uuid::try_parse(id).ok());
    id.map(ContactId::new).ok_or(CURSOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_page_is_asked_for_by_the_path_we_give() {
        let listing = Listing::parse("ddd=11&limit=500").unwrap();
        assert_eq!((listing.limit, listing.filter.area.map(AreaCode::number)), (200, Some(11)));
        let last = ContactId::new(Uuid::from_u128(77));
        let path = listing.path_after(last);
        let next = Listing::parse(path.split_once('?').unwrap().1).unwrap();
        assert_eq!(next, Listing { after: Some(last), ..listing });
    }

    #[test]
    fn every_wrong_parameter_is_named() {
        for (query, field, code) in [
            ("ddd=20", "ddd", "unknown_area_code"),
            ("ddd=", "ddd", "malformed"),
            ("ddd=11&ddd=12", "ddd", "repeated"),
            ("limit=0", "limit", "malformed"),
            ("limit=-1", "limit", "malformed"),
            ("limit=%2B5", "limit", "malformed"),
            ("limit=99999999999999", "limit", "malformed"),
            ("cursor=abc", "cursor", "malformed"),
            ("dd=11", "dd", "unknown_parameter"),
        ] {
            let problem = Listing::parse(query).unwrap_err();
            let named: Vec<_> = problem.errors().iter().map(|error| (error.field.as_str(), error.code)).collect();
            assert_eq!(named, [(field, code)], "{query}");
        }
        assert_eq!(Listing::parse("x=1&y=2&limit=0").unwrap_err().errors().len(), 3);
    }
}
