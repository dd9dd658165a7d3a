//! The query of a list: filters, members to show, and the position of the page.

use super::cursor::{CursorError, CursorKey};
use super::views::Fields;
use crate::domain::{AreaCode, Email, Invalid, Phone, Region, Search, State};
use crate::producer::http::parameters::parse_query;
use crate::producer::problems::Problem;
use crate::producer::problems::{FieldError, FieldLocation};
use crate::store::{Filter, ListPosition, Sort};
use url::form_urlencoded;

/// Contacts in a page if the request has no `limit`.
pub(crate) const DEFAULT_LIMIT: u32 = 50;
/// The maximum number of contacts in a page. A greater `limit` is reduced to it.
const MAX_LIMIT: u32 = 200;

const UNKNOWN: Invalid = Invalid::new(
    "unknown_parameter",
    "is not a parameter: ddd, state, region, q, email, phone, sort, count, fields, cursor, limit",
);
const BAD_LIMIT: Invalid = Invalid::new("malformed", "must be a whole number from 1 to 200");
const BAD_SORT: Invalid = Invalid::new("unknown_value", "must be id, name or -updated_at");
const BAD_COUNT: Invalid = Invalid::new("unknown_value", "must be estimated");
const BAD_CURSOR: Invalid = Invalid::new("malformed", "must be a cursor from the `next` of an earlier page");
const OTHER_LIST: Invalid =
    Invalid::new("other_list", "must be a cursor from the `next` of a page with the same filters");

/// The filters of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContactQuery {
    pub(crate) filter: Filter,
    area: Option<AreaCode>,
    state: Option<State>,
    region: Option<Region>,
    /// The text of the search, as it was sent.
    q: String,
}

impl ContactQuery {
    /// Parses a filter parameter. Returns `None` if the parameter is not a filter.
    pub(crate) fn set_parameter(&mut self, name: &str, value: &str) -> Option<Result<(), Invalid>> {
        Some(match name {
            "ddd" => AreaCode::parse(value).map(|area| self.area = Some(area)),
            "state" => State::parse(value).map(|state| self.state = Some(state)),
            "region" => Region::parse(value).map(|region| self.region = Some(region)),
            "q" => Search::parse(value).map(|search| {
                value.clone_into(&mut self.q);
                self.filter.search = Some(search);
            }),
            "email" => Email::parse(value).map(|email| self.filter.email = Some(email)),
            "phone" => Phone::parse(value).map(|phone| self.filter.phone = Some(phone)),
            _ => return None,
        })
    }

    /// Restricts the filter to the area codes of `ddd`, `state` and `region`.
    pub(crate) fn apply_areas(&mut self) {
        if let Some(area) = self.area {
            self.filter.restrict_to(std::iter::once(area));
        }
        if let Some(state) = self.state {
            self.filter.restrict_to(AreaCode::all().filter(|area| area.state() == state));
        }
        if let Some(region) = self.region {
            self.filter.restrict_to(AreaCode::all().filter(|area| area.state().region() == region));
        }
    }

    /// The same filters as a query with a fixed order of parameters.
    fn canonical(&self) -> form_urlencoded::Serializer<'static, String> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(area) = self.area {
            query.append_pair("ddd", &area.to_string());
        }
        if let Some(state) = self.state {
            query.append_pair("state", state.as_str());
        }
        if let Some(region) = self.region {
            query.append_pair("region", region.as_str());
        }
        if self.filter.search.is_some() {
            query.append_pair("q", &self.q);
        }
        if let Some(email) = &self.filter.email {
            query.append_pair("email", email.as_str());
        }
        if let Some(phone) = &self.filter.phone {
            query.append_pair("phone", &phone.to_string());
        }
        if let Some(sort) = self.filter.sort {
            query.append_pair("sort", sort.as_str());
        }
        query
    }
}

/// A request for a page of contacts.
#[derive(Debug, PartialEq, Eq)]
pub struct Listing {
    pub(crate) query: ContactQuery,
    /// The last contact of the previous page.
    pub after: Option<ListPosition>,
    /// The maximum number of contacts in the page.
    pub limit: u32,
    /// The members to show. `None`: all.
    pub(crate) fields: Option<Fields>,
    /// Whether the page has an estimated total.
    pub(crate) count: bool,
}

impl Listing {
    /// Parses the query of a URL, without the question mark.
    pub fn parse(query: &str, key: &CursorKey) -> Result<Self, Problem> {
        let mut listing =
            Self { query: ContactQuery::default(), after: None, limit: DEFAULT_LIMIT, fields: None, count: false };
        let mut cursor = None;
        let mut errors = parse_query(query, UNKNOWN, |name, value| match name {
            "limit" => Some(parse_limit(value).map(|limit| listing.limit = limit)),
            "sort" => Some(parse_sort(value).map(|sort| listing.query.filter.sort = Some(sort))),
            "count" if value == "estimated" => {
                listing.count = true;
                Some(Ok(()))
            }
            "count" => Some(Err(BAD_COUNT)),
            "fields" => Some(Fields::parse(value).map(|more| Fields::merge(&mut listing.fields, more))),
            "cursor" => {
                cursor = Some(value.to_owned());
                Some(Ok(()))
            }
            _ => listing.query.set_parameter(name, value),
        });
        if let Some(cursor) = cursor {
            let list = listing.query.canonical().finish();
            listing.after = Positions { key, list: &list }.read(&cursor, &mut errors);
        }
        listing.query.apply_areas();
        if errors.is_empty() { Ok(listing) } else { Err(Problem::validation(errors)) }
    }

    /// The cursor of the next page, if `last` is the last contact of this page.
    pub fn cursor_after(&self, last: &ListPosition, key: &CursorKey) -> String {
        key.encode(&self.query.canonical().finish(), last)
    }

    /// The path and query of the page at this cursor.
    pub fn path_at(&self, cursor: &str) -> String {
        let mut query = self.query.canonical();
        if let Some(fields) = &self.fields {
            query.append_pair("fields", &fields.to_string());
        }
        if self.count {
            query.append_pair("count", "estimated");
        }
        query.append_pair("limit", &self.limit.to_string()).append_pair("cursor", cursor);
        format!("/contacts?{}", query.finish())
    }
}

/// Reads the cursors of a list.
pub(super) struct Positions<'a> {
    pub(super) key: &'a CursorKey,
    /// The list that the cursors belong to.
    pub(super) list: &'a str,
}

impl Positions<'_> {
    /// The position of a cursor, or one more error. A cursor belongs to its filters. If a filter is invalid, `OtherList`
    /// would only be a second error.
    pub(super) fn read(&self, cursor: &str, errors: &mut Vec<FieldError>) -> Option<ListPosition> {
        let invalid = match self.key.decode(self.list, cursor) {
            Ok(position) => return Some(position),
            Err(CursorError::OtherList) if !errors.is_empty() => return None,
            Err(CursorError::OtherList) => OTHER_LIST,
            Err(CursorError::Malformed) => BAD_CURSOR,
        };
        errors.push(FieldError::new(FieldLocation::Query, "cursor", invalid));
        None
    }
}

fn parse_sort(text: &str) -> Result<Sort, Invalid> {
    Sort::ALL.into_iter().find(|sort| sort.as_str() == text).ok_or(BAD_SORT)
}

pub(crate) fn parse_limit(text: &str) -> Result<u32, Invalid> {
    let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(limit) if digits && limit > 0 => Ok(MAX_LIMIT.min(limit)),
        _ => Err(BAD_LIMIT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ContactId, NameKey, Timestamp};
    use crate::store::SortKey;
    use uuid::Uuid;

    const LAST: ContactId = ContactId::new(Uuid::from_u128(77));

    fn key() -> CursorKey {
        CursorKey::new("secret")
    }

    fn parse(query: &str) -> Result<Listing, Problem> {
        Listing::parse(query, &key())
    }

    fn next(listing: &Listing, last: &ListPosition) -> Listing {
        let path = listing.path_at(&listing.cursor_after(last, &key()));
        assert!(path.bytes().all(|b| b.is_ascii_graphic()), "{path}");
        parse(path.split_once('?').unwrap().1).unwrap()
    }

    fn areas(query: &str) -> Vec<u8> {
        parse(query).unwrap().query.filter.areas.unwrap().into_iter().map(AreaCode::number).collect()
    }

    fn error_codes(query: &str) -> Vec<(String, &'static str)> {
        let problem = parse(query).unwrap_err();
        problem.errors().iter().map(|error| (error.field.clone(), error.code)).collect()
    }

    #[test]
    fn the_path_of_the_next_page_has_the_same_filters() {
        for query in [
            "ddd=11&limit=500",
            "state=sp&limit=500",
            "region=centro-oeste&ddd=61&limit=500",
            "limit=200",
            "limit=200&fields=name,id",
            "limit=200&sort=id&count=estimated",
            "limit=200&sort=name&ddd=11",
            "limit=200&email=ANA%2Bx@Example.com&phone=(11)+98765-4321&state=SP",
        ] {
            let listing = parse(query).unwrap();
            assert_eq!(listing.limit, 200);
            let last = ListPosition { key: None, id: LAST };
            assert_eq!(next(&listing, &last), Listing { after: Some(last), ..listing });
        }
    }

    #[test]
    fn the_next_page_of_a_name_search_starts_after_the_last_name() {
        let listing = parse("q=Jos%C3%A9+%26&state=SP&region=Sudeste").unwrap();
        assert_eq!(listing.query.filter.search.as_ref().map(|search| search.text().as_str()), Some("jose &"));
        let key = SortKey::Name(NameKey::prefix("José & Łukasz").unwrap());
        let last = ListPosition { key: Some(key), id: LAST };
        assert_eq!(next(&listing, &last), Listing { after: Some(last), ..listing });
        let listing = parse("sort=-updated_at").unwrap();
        let key = SortKey::LastChanged(Timestamp::from_timestamp_micros(1_700_000_000_123_456).unwrap());
        let last = ListPosition { key: Some(key), id: LAST };
        assert_eq!(next(&listing, &last), Listing { after: Some(last), ..listing });
    }

    #[test]
    fn area_state_and_region_filters_are_combined() {
        assert_eq!(parse("").unwrap().query.filter.areas, None);
        assert_eq!(areas("ddd=11"), [11]);
        assert_eq!(areas("state=ES"), [27, 28]);
        assert_eq!(areas("region=SUDESTE&state=es"), [27, 28]);
        assert_eq!(areas("region=Sudeste&state=ES&ddd=28"), [28]);
        assert!(areas("region=Sudeste&ddd=85").is_empty());
        assert_eq!(areas("region=Sudeste").len(), 21);
    }

    #[test]
    fn a_cursor_belongs_to_its_list() {
        let last = ListPosition { key: None, id: LAST };
        let everyone = parse("").unwrap().cursor_after(&last, &key());
        let named = ListPosition { key: Some(SortKey::Name(NameKey::prefix("Ana").unwrap())), id: LAST };
        let of_names = parse("q=an").unwrap().cursor_after(&named, &key());
        assert_eq!(parse(&format!("q=an&limit=3&fields=id&cursor={of_names}")).unwrap().after, Some(named));
        for query in [
            format!("q=an&cursor={everyone}"),
            format!("cursor={of_names}"),
            format!("q=b&cursor={of_names}"),
            format!("q=an&sort=name&cursor={of_names}"),
            format!("ddd=11&cursor={everyone}"),
        ] {
            assert_eq!(error_codes(&query), [("cursor".to_owned(), "other_list")], "{query}");
        }
        assert_eq!(error_codes(&format!("ddd=1&cursor={everyone}")), [("ddd".to_owned(), "malformed")]);
        let changed = everyone.replacen("AQ", "AR", 1);
        assert_ne!(changed, everyone);
        assert_eq!(error_codes(&format!("cursor={changed}")), [("cursor".to_owned(), "malformed")]);
    }

    #[test]
    fn every_invalid_parameter_is_reported() {
        for (query, field, code) in [
            ("ddd=20", "ddd", "unknown_area_code"),
            ("ddd=", "ddd", "malformed"),
            ("ddd=11&ddd=12", "ddd", "repeated"),
            ("state=XX", "state", "unknown_state"),
            ("state=", "state", "unknown_state"),
            ("state=SP&state=RJ", "state", "repeated"),
            ("region=Leste", "region", "unknown_region"),
            ("q=", "q", "required"),
            ("q=+", "q", "required"),
            ("q=%00", "q", "control_character"),
            ("email=ana", "email", "malformed"),
            ("email=", "email", "required"),
            ("phone=123", "phone", "malformed"),
            ("sort=-name", "sort", "unknown_value"),
            ("count=exact", "count", "unknown_value"),
            ("fields=", "fields", "unknown_field"),
            ("fields=id,nome", "fields", "unknown_field"),
            ("limit=0", "limit", "malformed"),
            ("limit=-1", "limit", "malformed"),
            ("limit=%2B5", "limit", "malformed"),
            ("limit=99999999999999", "limit", "malformed"),
            ("cursor=abc", "cursor", "malformed"),
            ("cursor=", "cursor", "malformed"),
            ("cursor=%C3%A9", "cursor", "malformed"),
            ("q=a&cursor=b", "cursor", "malformed"),
            ("cursor=a&cursor=b", "cursor", "repeated"),
            ("dd=11", "dd", "unknown_parameter"),
        ] {
            let named = error_codes(query);
            assert!(named.contains(&(field.to_owned(), code)), "{query}: {named:?}");
        }
        assert_eq!(error_codes("x=1&y=2&limit=0").len(), 3);
        assert_eq!(error_codes(&format!("q={}", "a".repeat(101)))[0].1, "too_long");
    }
}
