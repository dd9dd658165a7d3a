//! Parses one content line of a vCard, `group.NAME;PARAM=VALUE:value` (RFC 6350 section 3.3), and its escapes.
//!
//! Only the properties of a contact have a kind of their own. This file does not know how lines are folded.

use crate::domain::Invalid;
use crate::formats::record::NOT_UTF8;
use std::borrow::Cow;

const UNSUPPORTED_ENCODING: Invalid =
    Invalid { code: "unsupported_encoding", detail: "must be plain text, not QUOTED-PRINTABLE or BASE64" };
const UNSUPPORTED_CHARSET: Invalid =
    Invalid { code: "unsupported_charset", detail: "must be in UTF-8, not in another charset" };

/// Whether this byte ends the name of a property.
pub(super) const fn ends_name(byte: u8) -> bool {
    matches!(byte, b':' | b';')
}

/// The kind of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Begin,
    End,
    Version,
    FullName,
    NameParts,
    Phone,
    Email,
    Other,
}

impl Kind {
    /// The kind of a line. `None` if the name of its property has no end.
    pub(super) fn of(line: &[u8]) -> Option<Self> {
        let end = line.iter().position(|byte| ends_name(*byte))?;
        let name = line.get(..end)?;
        // The group before the name is ignored.
        let name = name.rsplit(|byte| *byte == b'.').next()?.to_ascii_uppercase();
        Some(match name.as_slice() {
            b"BEGIN" => Self::Begin,
            b"END" => Self::End,
            b"VERSION" => Self::Version,
            b"FN" => Self::FullName,
            b"N" => Self::NameParts,
            b"TEL" => Self::Phone,
            b"EMAIL" => Self::Email,
            _ => Self::Other,
        })
    }
}

/// The value of a property, and the parameters that are used.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Property<'a> {
    value: &'a [u8],
    /// 1 is the most preferred. A property without a preference comes last.
    preference: Option<u8>,
    mobile: bool,
    /// A fax, pager or modem number.
    without_voice: bool,
    unsupported: Option<Invalid>,
}

impl<'a> Property<'a> {
    /// Parses a line. `None` if it has no value.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let (head, value) = split_once_unquoted(line, b':')?;
        let mut property = Self { value, ..Self::default() };
        for parameter in split_unquoted(head, b';').skip(1) {
            match split_once_unquoted(parameter, b'=') {
                Some((name, values)) => property.parameter(name, values),
                // vCard 2.1 has parameters without a name: `TEL;CELL:`.
                None => property.nameless_parameter(parameter),
            }
        }
        Some(property)
    }

    fn parameter(&mut self, name: &[u8], values: &[u8]) {
        let any_other_than = |allowed: &[&str]| words(values).any(|value| !allowed.contains(&&*value));
        match name.to_ascii_uppercase().as_slice() {
            b"TYPE" => words(values).for_each(|value| self.add_type(&value)),
            b"PREF" => self.preference = words(values).next().and_then(|value| value.parse().ok()),
            b"ENCODING" if any_other_than(&["7bit", "8bit"]) => self.unsupported = Some(UNSUPPORTED_ENCODING),
            b"CHARSET" if any_other_than(&["utf-8", "utf8", "us-ascii"]) => {
                self.unsupported = Some(UNSUPPORTED_CHARSET);
            }
            _ => {}
        }
    }

    fn nameless_parameter(&mut self, parameter: &[u8]) {
        for word in words(parameter) {
            match &*word {
                "quoted-printable" | "base64" | "b" => self.unsupported = Some(UNSUPPORTED_ENCODING),
                word => self.add_type(word),
            }
        }
    }

    fn add_type(&mut self, value: &str) {
        match value {
            "pref" => self.preference = self.preference.or(Some(1)),
            "cell" => self.mobile = true,
            "fax" | "pager" | "modem" => self.without_voice = true,
            _ => {}
        }
    }

    /// The property with the lowest rank is taken: by preference, then mobile, then other voice numbers, then the rest.
    pub(super) fn rank(&self) -> (u8, u8) {
        let kind = match (self.without_voice, self.mobile) {
            (false, true) => 0,
            (false, false) => 1,
            (true, _) => 2,
        };
        (self.preference.unwrap_or(u8::MAX), kind)
    }

    /// The value without spaces around it.
    pub(super) fn raw(&self) -> &'a [u8] {
        self.value.trim_ascii()
    }

    /// The value, still escaped.
    pub(super) fn text(&self) -> Result<&'a str, Invalid> {
        match self.unsupported {
            Some(invalid) => Err(invalid),
            None => std::str::from_utf8(self.value).map_err(|_error| NOT_UTF8),
        }
    }
}

/// Splits at the separators outside double quotes.
fn split_unquoted(bytes: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    bytes.split(move |byte| {
        quoted ^= *byte == b'"';
        !quoted && *byte == separator
    })
}

/// Splits at the first separator outside double quotes.
fn split_once_unquoted(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let first = split_unquoted(bytes, separator).next()?;
    Some((first, bytes.get(first.len() + 1..)?))
}

/// The values of a parameter, `a,b` or `"a,b"`, in lower case. All values that are used are ASCII.
fn words(values: &[u8]) -> impl Iterator<Item = String> {
    let words = values.split(|byte| matches!(byte, b',' | b'"')).map(<[u8]>::trim_ascii);
    words.filter(|word| !word.is_empty()).map(|word| String::from_utf8_lossy(word).to_ascii_lowercase())
}

/// Splits at the separators that are not escaped.
pub(super) fn split_escaped(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c| {
        let splits = !escaped && c == separator;
        escaped = !escaped && c == '\\';
        splits
    })
}

/// Replaces the escapes of a text: `\n`, `\,`, `\;`, `\:` and `\\`.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut unescaped = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n' | 'N') => unescaped.push('\n'),
                Some(escaped @ ('\\' | ',' | ';' | ':')) => unescaped.push(escaped),
                other => unescaped.extend(std::iter::once('\\').chain(other)),
            },
            c => unescaped.push(c),
        }
    }
    Cow::Owned(unescaped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn property_names_are_known_in_any_case_and_group() {
        for (line, kind) in [
            ("BEGIN:VCARD", Some(Kind::Begin)),
            ("item1.tel;type=cell", Some(Kind::Phone)),
            ("fn:", Some(Kind::FullName)),
            ("N;", Some(Kind::NameParts)),
            ("NOTE:TEL", Some(Kind::Other)),
            ("TEL", None),
            ("", None),
        ] {
            assert_eq!(Kind::of(line.as_bytes()), kind, "{line}");
        }
    }

    #[test]
    fn parameters_decide_the_rank() {
        let ranks = |line: &'static str| Property::parse(line.as_bytes()).map(|p| (p.value, p.rank())).unwrap();
        let value = &b"1"[..];
        assert_eq!(ranks("TEL:1"), (value, (255, 1)));
        assert_eq!(ranks("TEL;CELL:1"), (value, (255, 0)));
        assert_eq!(ranks("TEL;TYPE=home,CELL;TYPE=pref:1"), (value, (1, 0)));
        assert_eq!(ranks("TEL;TYPE=\"fax,home\":1"), (value, (255, 2)));
        assert_eq!(ranks("TEL;PREF=7;X=\"a:b;c\":1"), (value, (7, 1)));
        assert_eq!(ranks("TEL;TYPE=pref;PREF=x;VALUE=uri:tel:1;2"), (&b"tel:1;2"[..], (255, 1)));
        assert_eq!(Property::parse(b"TEL;X=\"a:1"), None);
        assert_eq!(Property::parse(b"TEL"), None);
    }

    #[test]
    fn other_encodings_are_rejected() {
        let code = |line: &[u8]| Property::parse(line).unwrap().text().map(str::to_owned).map_err(|i| i.code);
        assert_eq!(code(b"FN;ENCODING=QUOTED-PRINTABLE:A=20B"), Err("unsupported_encoding"));
        assert_eq!(code(b"FN;QUOTED-PRINTABLE:A"), Err("unsupported_encoding"));
        assert_eq!(code(b"FN;ENCODING=b:QQ=="), Err("unsupported_encoding"));
        assert_eq!(code(b"FN;CHARSET=ISO-8859-1:A"), Err("unsupported_charset"));
        assert_eq!(code(b"FN:\xe9"), Err("not_utf8"));
        assert_eq!(code("FN;ENCODING=8BIT;CHARSET=\"UTF-8\":é".as_bytes()), Ok("é".into()));
    }

    #[test]
    fn escapes_are_replaced() {
        assert_eq!(unescape(r"a\,b\;c\\n\n\N\:\x\"), "a,b;c\\n\n\n:\\x\\");
        let split: Vec<_> = split_escaped(r"a\;b;c\\;;d", ';').collect();
        assert_eq!(split, [r"a\;b", r"c\\", "", "d"]);
    }

    proptest! {
        #[test]
        fn unescaping_restores_an_escaped_text(text in "[a-zé\\\\;,:n]{0,20}") {
            let escaped = text.replace('\\', "\\\\").replace(';', "\\;").replace(',', "\\,");
            prop_assert_eq!(split_escaped(&escaped, ';').collect::<Vec<_>>(), [escaped.as_str()]);
            prop_assert_eq!(unescape(&escaped), text);
        }
    }
}
