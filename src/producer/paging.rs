//! The query of a list: filters, and a cursor that only we understand.

use super::Problem;
use super::problem::{FieldError, Place};
use crate::domain::{AreaCode, ContactId, Invalid, NameKey, Region, State};
use crate::store::{After, Filter};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use url::form_urlencoded;
use uuid::Uuid;

/// Contacts in a page if the client does not say.
const DEFAULT_LIMIT: u32 = 50;
/// The most contacts in a page; more is cut to it.
const MAX_LIMIT: u32 = 200;
/// The first letter of a cursor says its layout: the last id, or the last id and name.
const BY_ID: &str = "a";
const BY_NAME: &str = "b";

const UNKNOWN: Invalid =
    Invalid { code: "unknown_parameter", detail: "is not a parameter: ddd, state, region, q, cursor, limit" };
const TWICE: Invalid = Invalid { code: "repeated", detail: "must be sent once" };
const LIMIT: Invalid = Invalid { code: "malformed", detail: "must be a whole number from 1 to 200" };
const CURSOR: Invalid = Invalid { code: "malformed", detail: "must be a cursor from the `next` of an earlier page" };
const OTHER_LIST: Invalid =
    Invalid { code: "other_list", detail: "must be a cursor from the `next` of a page with the same `q`" };

/// What to list.
#[derive(Debug, PartialEq, Eq)]
pub struct Listing {
    /// Which contacts.
    pub filter: Filter,
    /// The last contact of the page before.
    pub after: Option<After>,
    /// How many at most.
    pub limit: u32,
    area: Option<AreaCode>,
    state: Option<State>,
    region: Option<Region>,
}

impl Listing {
    /// Reads the query of a URL, without its question mark.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let mut listing = Self {
            filter: Filter::default(),
            after: None,
            limit: DEFAULT_LIMIT,
            area: None,
            state: None,
            region: None,
        };
        let mut errors = Vec::new();
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let result = match name.as_ref() {
                name if seen.iter().any(|known| known == name) => Err(TWICE),
                "ddd" => AreaCode::parse(&value).map(|area| listing.area = Some(area)),
                "state" => State::parse(&value).map(|state| listing.state = Some(state)),
                "region" => Region::parse(&value).map(|region| listing.region = Some(region)),
                "q" => NameKey::prefix(&value).map(|name| listing.filter.name = Some(name)),
                "limit" => limit(&value).map(|limit| listing.limit = limit),
                "cursor" => cursor(&value).map(|after| listing.after = Some(after)),
                _ => Err(UNKNOWN),
            };
            if let Err(invalid) = result {
                errors.push(FieldError::new(Place::Query, name.chars().take(40).collect::<String>(), invalid));
            }
            seen.push(name);
        }
        if errors.is_empty() && !listing.goes_on() {
            errors.push(FieldError::new(Place::Query, "cursor", OTHER_LIST));
        }
        listing.narrow();
        if errors.is_empty() { Ok(listing) } else { Err(Problem::validation(errors)) }
    }

    /// Whether the cursor, if there is one, is of a list in this order.
    fn goes_on(&self) -> bool {
        let Some(after) = &self.after else { return true };
        match (&self.filter.name, &after.name) {
            (Some(prefix), Some(last)) => last.begins_with(prefix),
            (None, None) => true,
            _ => false,
        }
    }

    /// Brings area, state and region into the filter.
    fn narrow(&mut self) {
        if let Some(area) = self.area {
            self.filter.within(std::iter::once(area));
        }
        if let Some(state) = self.state {
            self.filter.within(AreaCode::all().filter(|area| area.state() == state));
        }
        if let Some(region) = self.region {
            self.filter.within(AreaCode::all().filter(|area| area.state().region() == region));
        }
    }

    /// The cursor of the page after one that ends here.
    pub(super) fn cursor_after(last: &After) -> String {
        let id = last.id.uuid();
        match &last.name {
            None => format!("{BY_ID}{}", id.simple()),
            Some(name) => {
                let place = [id.as_bytes().as_slice(), name.as_str().as_bytes()].concat();
                format!("{BY_NAME}{}", BASE64_URL_SAFE_NO_PAD.encode(place))
            }
        }
    }

    /// The path of the page after one that ends here.
    pub fn path_after(&self, last: &After) -> String {
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
        if let Some(name) = &self.filter.name {
            query.append_pair("q", name.as_str());
        }
        query.append_pair("limit", &self.limit.to_string()).append_pair("cursor", &Self::cursor_after(last));
        format!("/contacts?{}", query.finish())
    }
}

fn limit(text: &str) -> Result<u32, Invalid> {
    let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(limit) if digits && limit > 0 => Ok(MAX_LIMIT.min(limit)),
        _ => Err(LIMIT),
    }
}

fn cursor(text: &str) -> Result<After, Invalid> {
    let after = match text.split_at_checked(1) {
        Some((BY_ID, id)) => by_id(id),
        Some((BY_NAME, place)) => by_name(place),
        _ => None,
    };
    after.ok_or(CURSOR)
}

fn by_id(text: &str) -> Option<After> {
    let id = Some(text).filter(|id| id.len() == 32).and_then(|id| Uuid::try_parse(id).ok())?;
    Some(After { name: None, id: ContactId::new(id) })
}

fn by_name(text: &str) -> Option<After> {
    let place = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let (id, name) = place.split_first_chunk::<16>()?;
    let name = NameKey::read(str::from_utf8(name).ok()?)?;
    Some(After { name: Some(name), id: ContactId::new(Uuid::from_bytes(*id)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: ContactId = ContactId::new(Uuid::from_u128(77));

    fn next(listing: &Listing, last: &After) -> Listing {
        let path = listing.path_after(last);
        assert!(path.bytes().all(|b| b.is_ascii_graphic()), "{path}");
        Listing::parse(path.split_once('?').unwrap().1).unwrap()
    }

    fn areas(query: &str) -> Vec<u8> {
        Listing::parse(query).unwrap().filter.areas.unwrap().into_iter().map(AreaCode::number).collect()
    }

    #[test]
    fn a_next_page_is_asked_for_by_the_path_we_give() {
        for query in ["ddd=11&limit=500", "state=sp&limit=500", "region=centro-oeste&ddd=61&limit=500", "limit=200"] {
            let listing = Listing::parse(query).unwrap();
            assert_eq!(listing.limit, 200);
            let last = After { name: None, id: LAST };
            assert_eq!(next(&listing, &last), Listing { after: Some(last), ..listing });
        }
    }

    #[test]
    fn a_next_page_of_names_goes_on_after_the_last_name() {
        let listing = Listing::parse("q=Jos%C3%A9+%26&state=SP&region=Sudeste").unwrap();
        assert_eq!(listing.filter.name.as_ref().map(NameKey::as_str), Some("jose &"));
        let last = After { name: Some(NameKey::prefix("José & Łukasz").unwrap()), id: LAST };
        assert_eq!(next(&listing, &last), Listing { after: Some(last), ..listing });
    }

    #[test]
    fn areas_states_and_regions_narrow_each_other() {
        assert_eq!(Listing::parse("").unwrap().filter.areas, None);
        assert_eq!(areas("ddd=11"), [11]);
        assert_eq!(areas("state=ES"), [27, 28]);
        assert_eq!(areas("region=SUDESTE&state=es"), [27, 28]);
        assert_eq!(areas("region=Sudeste&state=ES&ddd=28"), [28]);
        assert!(areas("region=Sudeste&ddd=85").is_empty());
        assert_eq!(areas("region=Sudeste").len(), 21);
    }

    #[test]
    fn a_cursor_belongs_to_its_order() {
        let by_id = Listing::cursor_after(&After { name: None, id: LAST });
        let ana = After { name: Some(NameKey::prefix("Ana").unwrap()), id: LAST };
        let by_name = Listing::cursor_after(&ana);
        assert_eq!(by_id, format!("a{}", LAST.uuid().simple()));
        assert_eq!(Listing::parse(&format!("q=an&cursor={by_name}")).unwrap().after, Some(ana));
        for query in [format!("q=an&cursor={by_id}"), format!("cursor={by_name}"), format!("q=b&cursor={by_name}")] {
            let problem = Listing::parse(&query).unwrap_err();
            assert_eq!((problem.errors()[0].field.as_str(), problem.errors()[0].code), ("cursor", "other_list"));
        }
    }

    #[test]
    fn every_wrong_parameter_is_named() {
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
            ("limit=0", "limit", "malformed"),
            ("limit=-1", "limit", "malformed"),
            ("limit=%2B5", "limit", "malformed"),
            ("limit=99999999999999", "limit", "malformed"),
            ("cursor=abc", "cursor", "malformed"),
            ("cursor=", "cursor", "malformed"),
            ("cursor=%C3%A9", "cursor", "malformed"),
            ("q=a&cursor=b", "cursor", "malformed"),
            ("q=a&cursor=bAAAA", "cursor", "malformed"),
            ("q=a&cursor=bAAAAAAAAAAAAAAAAAAAAAAA", "cursor", "malformed"),
            ("dd=11", "dd", "unknown_parameter"),
        ] {
            let problem = Listing::parse(query).unwrap_err();
            let named: Vec<_> = problem.errors().iter().map(|error| (error.field.as_str(), error.code)).collect();
            assert_eq!(named, [(field, code)], "{query}");
        }
        assert_eq!(Listing::parse("x=1&y=2&limit=0").unwrap_err().errors().len(), 3);
        let long = format!("q={}", "a".repeat(101));
        assert_eq!(Listing::parse(&long).unwrap_err().errors()[0].code, "too_long");
    }
}
