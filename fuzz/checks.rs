//! What must hold for any bytes from outside. The fuzz targets call these with bytes they make up, and `make test` with
//! the corpora.

use contacts::domain::{AREAS, Phone};
use contacts::message::{decode, encode};
use contacts::producer::{CursorKey, Listing};
use contacts::store::After;

/// A body is refused, or is a command that reads the same when written again.
pub fn message(body: &[u8]) {
    if let Ok(command) = decode(body) {
        assert_eq!(decode(&encode(&command)), Ok(command));
    }
}

/// A text is refused, or is a number of an area that exists, which reads the same when written again.
pub fn phone(text: &[u8]) {
    let Some(phone) = str::from_utf8(text).ok().and_then(|text| Phone::parse(text).ok()) else { return };
    let written = phone.to_string();
    assert_eq!(Phone::parse(&written).as_ref(), Ok(&phone));
    let national = written.strip_prefix("+55").unwrap();
    assert!(matches!(national.len(), 10 | 11) && national.bytes().all(|b| b.is_ascii_digit()), "{written}");
    assert!(AREAS.iter().any(|area| national.starts_with(&area.0.to_string())), "{written}");
}

/// A query is refused, or can be written as the query of the next page.
pub fn query(text: &[u8]) {
    let key = CursorKey::new("fuzz");
    let listing = str::from_utf8(text).ok().and_then(|text| Listing::parse(text, &key).ok());
    let Some(mut listing) = listing else { return };
    assert!((1..=200).contains(&listing.limit));
    let last = After { name: None, id: "01890000-0000-7000-8000-000000000001".parse().unwrap() };
    let next = listing.path_at(&listing.cursor_after(&last, &key));
    listing.after = Some(last);
    let (path, query) = next.split_once('?').unwrap();
    assert_eq!((path, Listing::parse(query, &key).unwrap()), ("/contacts", listing));
}
