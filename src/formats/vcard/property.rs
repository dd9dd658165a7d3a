//! One content line of a vCard, `group.NAME;PARAM=VALUE:value` (RFC 6350 section 3.3), and the texts in it.
//!
//! Only the properties that a contact has are told apart. It must not know how lines are folded or what makes a card.

use crate::domain::Invalid;
use crate::formats::record::NOT_UTF8;
use std::borrow::Cow;

const ENCODED: Invalid =
    Invalid { code: "unsupported_encoding", detail: "must be plain text, not QUOTED-PRINTABLE or BASE64" };
const FOREIGN: Invalid = Invalid { code: "unsupported_charset", detail: "must be in UTF-8, not in another charset" };

/// Whether a property's name, and its group, end here.
pub(super) const fn ends_name(byte: u8) -> bool {
    matches!(byte, b':' | b';')
}

/// The properties that matter.
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
    /// What a line is, once it goes on beyond the property's name.
    pub(super) fn of(line: &[u8]) -> Option<Self> {
        let end = line.iter().position(|byte| ends_name(*byte))?;
        let name = line.get(..end)?;
        // A group before the name says nothing to us.
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

/// A property's value, and what its parameters say about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Property<'a> {
    value: &'a [u8],
    /// Of several: 1 is the most preferred, and what has no preference comes last.
    preference: Option<u8>,
    cell: bool,
    fax: bool,
    refused: Option<Invalid>,
}

impl<'a> Property<'a> {
    /// Reads a line that has a value.
    pub(super) fn read(line: &'a [u8]) -> Option<Self> {
        let (head, value) = halves(line, b':')?;
        let mut property = Self { value, ..Self::default() };
        for parameter in parts(head, b';').skip(1) {
            match halves(parameter, b'=') {
                Some((name, values)) => property.parameter(name, values),
                // As vCard 2.1 wrote it: `TEL;CELL:`.
                None => property.bare(parameter),
            }
        }
        Some(property)
    }

    fn parameter(&mut self, name: &[u8], values: &[u8]) {
        let any_but = |allowed: &[&str]| words(values).any(|value| !allowed.contains(&&*value));
        match name.to_ascii_uppercase().as_slice() {
            b"TYPE" => words(values).for_each(|value| self.type_of(&value)),
            b"PREF" => self.preference = words(values).next().and_then(|value| value.parse().ok()),
            b"ENCODING" if any_but(&["7bit", "8bit"]) => self.refused = Some(ENCODED),
            b"CHARSET" if any_but(&["utf-8", "utf8", "us-ascii"]) => self.refused = Some(FOREIGN),
            _ => {}
        }
    }

    fn bare(&mut self, parameter: &[u8]) {
        for word in words(parameter) {
            match &*word {
                "quoted-printable" | "base64" | "b" => self.refused = Some(ENCODED),
                word => self.type_of(word),
            }
        }
    }

    fn type_of(&mut self, value: &str) {
        match value {
            "pref" => self.preference = self.preference.or(Some(1)),
            "cell" => self.cell = true,
            "fax" | "pager" | "modem" => self.fax = true,
            _ => {}
        }
    }

    /// Of several, the least is taken: preferred ones, then mobile ones, then any, then those where nobody speaks.
    pub(super) fn rank(&self) -> (u8, u8) {
        let kind = match (self.fax, self.cell) {
            (false, true) => 0,
            (false, false) => 1,
            (true, _) => 2,
        };
        (self.preference.unwrap_or(u8::MAX), kind)
    }

    /// The value as it stands there, without blanks around it.
    pub(super) fn raw(&self) -> &'a [u8] {
        self.value.trim_ascii()
    }

    /// The value, still escaped.
    pub(super) fn text(&self) -> Result<&'a str, Invalid> {
        match self.refused {
            Some(invalid) => Err(invalid),
            None => std::str::from_utf8(self.value).map_err(|_error| NOT_UTF8),
        }
    }
}

/// Splits where no double quotes are around.
fn parts(bytes: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    bytes.split(move |byte| {
        quoted ^= *byte == b'"';
        !quoted && *byte == separator
    })
}

/// What is before and after the first separator outside quotes.
fn halves(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let first = parts(bytes, separator).next()?;
    Some((first, bytes.get(first.len() + 1..)?))
}

/// The values of a parameter, `a,b` or `"a,b"`, in lower case. Those that matter are ASCII.
fn words(values: &[u8]) -> impl Iterator<Item = String> {
    let words = values.split(|byte| matches!(byte, b',' | b'"')).map(<[u8]>::trim_ascii);
    words.filter(|word| !word.is_empty()).map(|word| String::from_utf8_lossy(word).to_ascii_lowercase())
}

/// Splits where the separator is not escaped.
pub(super) fn split_escaped(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c| {
        let splits = !escaped && c == separator;
        escaped = !escaped && c == '\\';
        splits
    })
}

/// A text without its escapes: `\n`, `\,`, `\;`, `\:` and `\\`.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n' | 'N') => plain.push('\n'),
                Some(escaped @ ('\\' | ',' | ';' | ':')) => plain.push(escaped),
                other => plain.extend(std::iter::once('\\').chain(other)),
            },
            c => plain.push(c),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_known_in_any_case_and_group() {
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
    fn parameters_say_what_a_value_is() {
        let ranks = |line: &'static str| Property::read(line.as_bytes()).map(|p| (p.value, p.rank())).unwrap();
        let value = &b"1"[..];
        assert_eq!(ranks("TEL:1"), (value, (255, 1)));
        assert_eq!(ranks("TEL;CELL:1"), (value, (255, 0)));
        assert_eq!(ranks("TEL;TYPE=home,CELL;TYPE=pref:1"), (value, (1, 0)));
        assert_eq!(ranks("TEL;TYPE=\"fax,home\":1"), (value, (255, 2)));
        assert_eq!(ranks("TEL;PREF=7;X=\"a:b;c\":1"), (value, (7, 1)));
        assert_eq!(ranks("TEL;TYPE=pref;PREF=x;VALUE=uri:tel:1;2"), (&b"tel:1;2"[..], (255, 1)));
        assert_eq!(Property::read(b"TEL;X=\"a:1"), None);
        assert_eq!(Property::read(b"TEL"), None);
    }

    #[test]
    fn other_encodings_are_refused() {
        let code = |line: &[u8]| Property::read(line).unwrap().text().map(str::to_owned).map_err(|i| i.code);
        assert_eq!(code(b"FN;ENCODING=QUOTED-PRINTABLE:A=20B"), Err("unsupported_encoding"));
        assert_eq!(code(b"FN;QUOTED-PRINTABLE:A"), Err("unsupported_encoding"));
        assert_eq!(code(b"FN;ENCODING=b:QQ=="), Err("unsupported_encoding"));
        assert_eq!(code(b"FN;CHARSET=ISO-8859-1:A"), Err("unsupported_charset"));
        assert_eq!(code(b"FN:\xe9"), Err("not_utf8"));
        assert_eq!(code("FN;ENCODING=8BIT;CHARSET=\"UTF-8\":é".as_bytes()), Ok("é".into()));
    }

    #[test]
    fn escapes_are_taken_back() {
        assert_eq!(unescape(r"a\,b\;c\\n\n\N\:\x\"), "a,b;c\\n\n\n:\\x\\");
        let split: Vec<_> = split_escaped(r"a\;b;c\\;;d", ';').collect();
        assert_eq!(split, [r"a\;b", r"c\\", "", "d"]);
    }

    proptest! {
        #[test]
        fn what_is_escaped_comes_back(text in "[a-zé\\\\;,:n]{0,20}") {
            let escaped = text.replace('\\', "\\\\").replace(';', "\\;").replace(',', "\\,");
            prop_assert_eq!(split_escaped(&escaped, ';').collect::<Vec<_>>(), [escaped.as_str()]);
            prop_assert_eq!(unescape(&escaped), text);
        }
    }
}
