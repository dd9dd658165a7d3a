//! Which language an answer for people is in: English, or Portuguese if the caller prefers it (RFC 9110, 12.5.4).
//!
//! The rule this file keeps: a header that cannot be read never makes a request fail, it only counts for nothing. It
//! must not know what is said.

mod portuguese;

use actix_web::http::header::{ACCEPT_LANGUAGE, HeaderMap};
use std::borrow::Cow;
use std::cmp::Reverse;

/// How many ranges of a header are read; nobody speaks more languages than that.
const MAX_RANGES: usize = 16;

/// A language that answers can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    /// Of Brazil.
    Portuguese,
}

impl Language {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 2] = [Self::English, Self::Portuguese];

    /// The tag for `Content-Language` and `lang`.
    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Portuguese => "pt-BR",
        }
    }

    /// An English text of this room in this language, or as it is if nobody has translated it.
    pub(crate) fn say(self, english: &str) -> Cow<'_, str> {
        match self {
            Self::English => Cow::Borrowed(english),
            Self::Portuguese => portuguese::portuguese(english).unwrap_or(Cow::Borrowed(english)),
        }
    }
}

/// What a header says about one of our languages.
#[derive(Default)]
struct Preference {
    /// How much it is wanted: in thousandths, and, of two equally wanted, the one that was named first.
    rank: Option<(u16, Reverse<usize>)>,
    /// Its weight is 0, which stands above any other mention.
    refused: bool,
}

/// The language to answer in, by the lookup of RFC 4647 section 3.4. `*` says nothing that the default does not.
pub(crate) fn negotiate(headers: &HeaderMap) -> Language {
    let (mut english, mut portuguese) = (Preference::default(), Preference::default());
    let lines = headers.get_all(ACCEPT_LANGUAGE).filter_map(|value| value.to_str().ok());
    let entries = lines.flat_map(|line| line.split(',')).map(str::trim).filter(|entry| !entry.is_empty());
    for (place, entry) in entries.take(MAX_RANGES).enumerate() {
        let Some((range, weight)) = weighted(entry) else { continue };
        let primary = range.split('-').next().unwrap_or_default();
        let (wish, region) = match primary {
            _ if primary.eq_ignore_ascii_case("en") => (&mut english, ""),
            _ if primary.eq_ignore_ascii_case("pt") => (&mut portuguese, "pt-br"),
            _ => continue,
        };
        if weight > 0 {
            wish.rank = wish.rank.max(Some((weight, Reverse(place))));
        } else if range.len() == primary.len() || range.eq_ignore_ascii_case(region) {
            // Another country's variant may be unwanted without ours being so.
            wish.refused = true;
        }
    }
    match (english.refused, portuguese.refused) {
        (_, true) => Language::English,
        (true, false) => Language::Portuguese,
        (false, false) if portuguese.rank > english.rank => Language::Portuguese,
        (false, false) => Language::English,
    }
}

/// A language range and its weight in thousandths; nothing if it is not well formed.
fn weighted(entry: &str) -> Option<(&str, u16)> {
    let (range, weight) = match entry.split_once(';') {
        None => (entry, 1000),
        Some((range, parameter)) => {
            let (name, value) = parameter.trim().split_once('=')?;
            (range.trim_end(), name.eq_ignore_ascii_case("q").then(|| thousandths(value)).flatten()?)
        }
    };
    let well_formed = |subtag: &str| matches!(subtag.len(), 1..=8) && subtag.bytes().all(|b| b.is_ascii_alphanumeric());
    range.split('-').all(well_formed).then_some((range, weight))
}

/// A qvalue of RFC 9110 section 12.4.2: 0 to 1 with at most three decimals.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1") || decimals.len() > 3 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    format!("{whole}{decimals:0<3}").parse().ok().filter(|weight| *weight <= 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn chosen(lines: &[&str]) -> &'static str {
        let request = lines.iter().fold(TestRequest::default(), |r, line| r.append_header((ACCEPT_LANGUAGE, *line)));
        negotiate(request.to_http_request().headers()).tag()
    }

    #[test]
    fn portuguese_is_for_those_who_prefer_it() {
        for line in [
            "pt",
            "pt-BR",
            "pt-PT",
            "PT-br",
            "pt-BR,pt;q=0.9,en-US;q=0.8,en;q=0.7",
            "de, pt;q=0.1",
            "en;q=0.5, pt;q=0.501",
            "en;q=0.8 , pt ; q=0.9",
            "*, pt;q=0.5",
            "en;q=0",
            "en;q=0, *",
            "pt-PT;q=0, pt;q=0.2",
            ",, pt",
            "en;q=2, pt;q=0.1",
        ] {
            assert_eq!(chosen(&[line]), "pt-BR", "{line}");
        }
        assert_eq!(chosen(&["de", "pt"]), "pt-BR");
    }

    #[test]
    fn english_is_for_everyone_else() {
        for line in [
            "",
            "*",
            "de",
            "en",
            "en-GB",
            "en, pt",
            "en-US,en;q=0.9,pt-BR;q=0.8",
            "pt;q=0",
            "pt;q=0.000, *",
            "pt-BR;q=0, pt",
            "pt-PT, pt;q=0",
            "en;q=0, pt;q=0",
            "*;q=0",
            "pt;q=1.1",
            "pt;q=0.1234",
            "pt;q=",
            "pt;q=-1",
            "pt;level=1",
            "pt;q=1;x=1",
            "pt_BR",
            "pt-",
            "ptt",
            "pt-ééé",
        ] {
            assert_eq!(chosen(&[line]), "en", "{line}");
        }
        assert_eq!(chosen(&[]), "en");
        assert_eq!(chosen(&[&format!("{}pt", "x,".repeat(MAX_RANGES))]), "en");
    }
}
