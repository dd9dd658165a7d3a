//! What must hold for any bytes from outside. The fuzz targets call these with bytes they make up, and `make test` with
//! the corpora.

use contacts::domain::{AREAS, Phone};
use contacts::message::{decode, encode};
use contacts::producer::Listing;

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
    let Some(listing) = str::from_utf8(text).ok().and_then(|text| Listing::parse(text).ok()) else { return };
    assert!((1..=200).contains(&listing.limit));
    let Some(last) = &listing.after else { return };
    let next = listing.path_after(last);
    let (path, query) = next.split_once('?').unwrap();
    assert_eq!((path, Listing::parse(query).unwrap()), ("/contacts", listing));
}
