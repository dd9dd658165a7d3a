//! Parses one content line of a vCard, `group.NAME;PARAM=VALUE:value` (RFC 6350 section 3.3), and its escapes.
//!
//! It also reads vCard 2.1: parameters without a name (`TEL;CELL`), QUOTED-PRINTABLE, and charsets. Only the properties of
//! a contact have a kind of their own. This file does not know how lines are folded.

use crate::domain::Invalid;
use crate::formats::values::Preference;
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use std::borrow::Cow;

const UNSUPPORTED_ENCODING: Invalid =
    Invalid::new("unsupported_encoding", "must be plain text or QUOTED-PRINTABLE, not BASE64");
const UNSUPPORTED_CHARSET: Invalid =
    Invalid::new("unsupported_charset", "must be in UTF-8 or another charset of the WHATWG Encoding Standard");

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
    Organization,
    Phone,
    Email,
    /// Its value can be another card (vCard 2.1).
    Agent,
    Other,
}

impl Kind {
    /// The kind of a line. `None` if the name of its property has no end.
    pub(super) fn of(line: &[u8]) -> Option<Self> {
        Some(match name(line)?.as_slice() {
            b"BEGIN" => Self::Begin,
            b"END" => Self::End,
            b"VERSION" => Self::Version,
            b"FN" => Self::FullName,
            b"N" => Self::NameParts,
            b"ORG" => Self::Organization,
            b"TEL" => Self::Phone,
            b"EMAIL" => Self::Email,
            b"AGENT" => Self::Agent,
            _ => Self::Other,
        })
    }
}

/// The name of a property in upper case, without its group.
pub(super) fn name(line: &[u8]) -> Option<Vec<u8>> {
    let end = line.iter().position(|byte| ends_name(*byte))?;
    Some(line.get(..end)?.rsplit(|byte| *byte == b'.').next()?.to_ascii_uppercase())
}

/// Whether the parameters of a line say that its value is QUOTED-PRINTABLE (RFC 2045 section 6.7).
pub(super) fn is_quoted_printable(line: &[u8]) -> bool {
    split_once_unquoted(line, b':').is_some_and(|(head, _)| {
        split_unquoted(head, b';')
            .skip(1)
            .any(|parameter| parameter.to_ascii_lowercase().ends_with(b"quoted-printable"))
    })
}

/// The value of a property, and the parameters that are used.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Property<'a> {
    value: &'a [u8],
    /// 1 is the most preferred. A property without a preference comes last.
    preference: Option<u8>,
    mobile: bool,
    /// A fax, pager or modem number, or the number of an assistant.
    not_own_voice: bool,
    quoted_printable: bool,
    charset: Option<&'static Encoding>,
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
        match name.to_ascii_uppercase().as_slice() {
            b"TYPE" => words(values).for_each(|value| self.add_type(&value)),
            b"PREF" => self.preference = words(values).next().and_then(|value| value.parse().ok()),
            b"ENCODING" => words(values).for_each(|value| self.set_encoding(&value)),
            b"CHARSET" => {
                self.charset = words(values).next().and_then(|label| Encoding::for_label(label.as_bytes()));
                if self.charset.is_none() {
                    self.unsupported = Some(UNSUPPORTED_CHARSET);
                }
            }
            _ => {}
        }
    }

    fn nameless_parameter(&mut self, parameter: &[u8]) {
        for word in words(parameter) {
            match &*word {
                "quoted-printable" | "base64" | "b" | "7bit" | "8bit" => self.set_encoding(&word),
                word => self.add_type(word),
            }
        }
    }

    fn set_encoding(&mut self, value: &str) {
        match value {
            "quoted-printable" => self.quoted_printable = true,
            "7bit" | "8bit" => {}
            _ => self.unsupported = Some(UNSUPPORTED_ENCODING),
        }
    }

    fn add_type(&mut self, value: &str) {
        match value {
            "pref" => self.preference = self.preference.or(Some(1)),
            "cell" => self.mobile = true,
            "fax" | "pager" | "modem" | "x-assistant" | "assistant" => self.not_own_voice = true,
            _ => {}
        }
    }

    /// How much the parameters prefer this value.
    pub(super) fn preference(&self) -> Preference {
        match self.preference {
            _ if self.not_own_voice => Preference::NotOwnVoice,
            Some(preference) => Preference::Preferred(preference),
            None if self.mobile => Preference::Mobile,
            None => Preference::Plain,
        }
    }

    /// The value without spaces around it.
    pub(super) fn raw(&self) -> &'a [u8] {
        self.value.trim_ascii()
    }

    /// The value, decoded and still escaped. Without a charset it is UTF-8 or, if it is not valid, Windows-1252.
    pub(super) fn text(&self) -> Result<Cow<'a, str>, Invalid> {
        if let Some(invalid) = self.unsupported {
            return Err(invalid);
        }
        let bytes = if self.quoted_printable { decode_quoted_printable(self.value) } else { Cow::Borrowed(self.value) };
        let encoding = match self.charset {
            Some(charset) if charset != UTF_8 => charset,
            _ if std::str::from_utf8(&bytes).is_ok() => UTF_8,
            _ => WINDOWS_1252,
        };
        let (text, malformed) = match bytes {
            Cow::Borrowed(bytes) => encoding.decode_without_bom_handling(bytes),
            Cow::Owned(bytes) => {
                let (text, malformed) = encoding.decode_without_bom_handling(&bytes);
                (Cow::Owned(text.into_owned()), malformed)
            }
        };
        if malformed { Err(UNSUPPORTED_CHARSET) } else { Ok(text) }
    }
}

/// Decodes QUOTED-PRINTABLE. What is not an escape stays as it is.
fn decode_quoted_printable(text: &[u8]) -> Cow<'_, [u8]> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| byte == b'=') {
            Some(code) => {
                decoded.push(code);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    Cow::Owned(decoded)
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
    fn parameters_decide_the_preference() {
        let preferences =
            |line: &'static str| Property::parse(line.as_bytes()).map(|p| (p.value, p.preference())).unwrap();
        let value = &b"1"[..];
        assert_eq!(preferences("TEL:1"), (value, Preference::Plain));
        assert_eq!(preferences("TEL;CELL:1"), (value, Preference::Mobile));
        assert_eq!(preferences("TEL;TYPE=home,CELL;TYPE=pref:1"), (value, Preference::Preferred(1)));
        assert_eq!(preferences("TEL;TYPE=\"fax,home\":1"), (value, Preference::NotOwnVoice));
        assert_eq!(preferences("TEL;PREF=7;X=\"a:b;c\":1"), (value, Preference::Preferred(7)));
        assert_eq!(preferences("TEL;TYPE=pref;PREF=x;VALUE=uri:tel:1;2"), (&b"tel:1;2"[..], Preference::Plain));
        assert_eq!(Property::parse(b"TEL;X=\"a:1"), None);
        assert_eq!(Property::parse(b"TEL"), None);
    }

    #[test]
    fn encodings_and_charsets_are_decoded() {
        let text = |line: &[u8]| Property::parse(line).unwrap().text().map(Cow::into_owned).map_err(|i| i.code);
        for line in [
            &b"FN;ENCODING=QUOTED-PRINTABLE:Jos=C3=A9"[..],
            b"FN;CHARSET=UTF-8;QUOTED-PRINTABLE:Jos=c3=a9",
            b"FN;CHARSET=ISO-8859-1;ENCODING=QUOTED-PRINTABLE:Jos=E9",
            b"FN;CHARSET=Windows-1252:Jos\xe9",
            b"FN:Jos\xe9",
            "FN;ENCODING=8BIT;CHARSET=\"UTF-8\":José".as_bytes(),
        ] {
            assert_eq!(text(line), Ok("José".into()), "{}", String::from_utf8_lossy(line));
        }
        assert_eq!(text(b"FN;QUOTED-PRINTABLE:100=25=Z=3"), Ok("100%=Z=3".into()));
        assert_eq!(text(b"FN;ENCODING=b:QQ=="), Err("unsupported_encoding"));
        assert_eq!(text(b"FN;CHARSET=KLINGON:A"), Err("unsupported_charset"));
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
