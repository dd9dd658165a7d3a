//! Chooses the language of texts for people: English, or Portuguese if the caller prefers it (RFC 9110, 12.5.4).
//!
//! Rule of this module: an invalid `Accept-Language` is ignored and never makes a request fail.

mod portuguese;

use actix_web::HttpMessage;
use actix_web::http::header::{self, AcceptLanguage, Header, Quality};
use std::borrow::Cow;
use std::cmp::Reverse;

/// A language of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    /// Brazilian Portuguese.
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

    /// Translates an English text. Returns the text itself if there is no translation.
    pub(crate) fn translate(self, english: &str) -> Cow<'_, str> {
        match self {
            Self::English => Cow::Borrowed(english),
            Self::Portuguese => portuguese::translate(english).unwrap_or(Cow::Borrowed(english)),
        }
    }
}

/// The preference of a caller for one language.
#[derive(Default)]
struct Preference {
    /// The weight, then the position in the header: of two equal weights the first wins.
    rank: Option<(Quality, Reverse<usize>)>,
    /// The weight is 0. This overrides every other range.
    excluded: bool,
}

/// Chooses the language of the answer by the lookup of RFC 4647 section 3.4. `*` has no effect: it means the default.
pub(crate) fn negotiate(request: &impl HttpMessage) -> Language {
    let (mut english, mut portuguese) = (Preference::default(), Preference::default());
    let accepted = AcceptLanguage::parse(request).map(|header| header.0).unwrap_or_default();
    for (position, range) in accepted.iter().enumerate() {
        let header::Preference::Specific(tag) = &range.item else { continue };
        let (preference, region) = match tag.primary_language().to_ascii_lowercase().as_str() {
            "en" => (&mut english, ""),
            "pt" => (&mut portuguese, "pt-br"),
            _ => continue,
        };
        if range.quality > Quality::ZERO {
            preference.rank = preference.rank.max(Some((range.quality, Reverse(position))));
        } else if tag.as_str().len() == tag.primary_language().len() || tag.as_str().eq_ignore_ascii_case(region) {
            // A caller may exclude the variant of another country, such as `pt-PT`, and still accept ours.
            preference.excluded = true;
        }
    }
    match (english.excluded, portuguese.excluded) {
        (_, true) => Language::English,
        (true, false) => Language::Portuguese,
        (false, false) if portuguese.rank > english.rank => Language::Portuguese,
        (false, false) => Language::English,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::ACCEPT_LANGUAGE;
    use actix_web::test::TestRequest;

    fn negotiated(lines: &[&str]) -> &'static str {
        let request =
            lines.iter().fold(TestRequest::default(), |request, line| request.append_header((ACCEPT_LANGUAGE, *line)));
        negotiate(&request.to_http_request()).tag()
    }

    #[test]
    fn portuguese_is_chosen_if_the_caller_prefers_it() {
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
            assert_eq!(negotiated(&[line]), "pt-BR", "{line}");
        }
        assert_eq!(negotiated(&["de", "pt"]), "pt-BR");
    }

    #[test]
    fn english_is_the_default() {
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
            assert_eq!(negotiated(&[line]), "en", "{line}");
        }
        assert_eq!(negotiated(&[]), "en");
    }
}
