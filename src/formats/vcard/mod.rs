//! vCard 3.0 and 4.0: physical lines unfolded to properties, properties gathered to cards (RFC 6350, RFC 2426).
//!
//! A card that cannot be read harms no other: the next begins at the next `BEGIN:VCARD`. Properties that do not matter,
//! such as photos, are not kept.

mod card;
mod property;
pub(super) mod writer;

use crate::domain::Invalid;
use crate::formats::lines::{Line, Lines};
use crate::formats::record::{Entry, LIMIT, RecordError};
use card::Card;
use property::{Kind, Property, ends_name};

const OUTSIDE: Invalid = Invalid { code: "malformed", detail: "must be within BEGIN:VCARD and END:VCARD" };

/// The cards so far.
#[derive(Default)]
pub(super) struct VCards {
    lines: Lines,
    unfolding: Unfolding,
}

impl VCards {
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<Entry>) {
        self.lines.push(bytes, |line| self.unfolding.take(&line, out));
    }

    pub(super) fn finish(mut self, out: &mut Vec<Entry>) {
        self.lines.finish(|line| self.unfolding.take(&line, out));
        self.unfolding.complete(out);
        self.unfolding.cards.finish(out);
    }
}

/// The property that may go on in the next line. Its bytes are joined before they are decoded, because some programs
/// fold within a character.
#[derive(Default)]
struct Unfolding {
    cards: Cards,
    held: Vec<u8>,
    first: u64,
    whole: bool,
    /// What it is, once its name is complete. The rest of one that nobody needs is dropped.
    kind: Option<Kind>,
}

impl Unfolding {
    fn take(&mut self, line: &Line<'_>, out: &mut Vec<Entry>) {
        match line.bytes.split_first() {
            Some((b' ' | b'\t', rest)) => self.append(line, rest),
            _ => {
                self.complete(out);
                self.append(line, line.bytes);
            }
        }
    }

    fn append(&mut self, line: &Line<'_>, bytes: &[u8]) {
        if self.kind == Some(Kind::Other) {
            return;
        }
        if self.held.is_empty() {
            self.first = line.number;
            self.whole = true;
        }
        let room = LIMIT.saturating_sub(self.held.len());
        self.whole &= line.whole && bytes.len() <= room;
        let bytes = bytes.get(..room).unwrap_or(bytes);
        self.held.extend_from_slice(bytes);
        // All of it is searched only once, however often it is folded.
        if self.kind.is_none() && bytes.iter().any(|byte| ends_name(*byte)) {
            self.kind = Kind::of(&self.held);
        }
    }

    fn complete(&mut self, out: &mut Vec<Entry>) {
        if !self.held.is_empty() {
            self.cards.take(self.first, &self.held, self.whole, out);
        }
        self.held.clear();
        self.kind = None;
    }
}

/// The card that is read, if any.
#[derive(Default)]
struct Cards {
    card: Option<Card>,
    /// Whether the text outside of cards was reported; it is one entry, however long.
    outside: bool,
    after_skipped: bool,
}

impl Cards {
    fn take(&mut self, first: u64, line: &[u8], whole: bool, out: &mut Vec<Entry>) {
        let kind = Kind::of(line);
        let property = Property::read(line);
        let marks_card = property.as_ref().is_some_and(|property| property.raw().eq_ignore_ascii_case(b"VCARD"));
        let after_skipped = std::mem::take(&mut self.after_skipped);
        match (kind, property, &mut self.card) {
            (Some(Kind::Begin), _, card) if marks_card => {
                out.extend(card.replace(Card::new(first)).map(Card::unclosed));
                self.outside = false;
            }
            (_, _, None) => {
                if !std::mem::replace(&mut self.outside, true) {
                    out.push(Entry { line: first, result: Err(RecordError::whole(OUTSIDE)) });
                }
            }
            (Some(Kind::End), _, card) if marks_card => out.extend(card.take().map(Card::ended)),
            (Some(Kind::Begin | Kind::End | Kind::Other), _, _) => self.after_skipped = true,
            (Some(kind), Some(property), Some(card)) => card.take(kind, &property, whole),
            // No property, so rather the rest of one that was folded without a blank; no harm if that one is not read.
            (None, _, Some(_)) if after_skipped => self.after_skipped = true,
            (_, _, Some(card)) => card.broken(),
        }
    }

    fn finish(&mut self, out: &mut Vec<Entry>) {
        out.extend(self.card.take().map(Card::unclosed));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, record::LIMIT};
    use crate::formats::testing::{read, said};

    const ANA: &str = "BEGIN:VCARD\nVERSION:3.0\nFN:Ana\nTEL:11987654321\nEMAIL:ana@example.com\nEND:VCARD\n";

    fn cards(text: impl AsRef<[u8]>) -> Vec<String> {
        said(&read(Format::VCard4, text.as_ref()))
    }

    #[test]
    fn a_card_begins_where_it_says() {
        let text = format!("\u{feff}{ANA}\r\n\r\n{}", ANA.replace('\n', "\r\n").to_lowercase());
        assert_eq!(cards(text), ["1 Ana", "9 ana"]);
        assert_eq!(cards(ANA.trim_end()), ["1 Ana"]);
        assert_eq!(cards(""), [""; 0]);
    }

    #[test]
    fn folded_lines_are_joined_before_they_are_decoded() {
        let folded = ANA.replace("FN:Ana", "F\r\n N:Jos\u{0}\r\n \u{1} da\r\n  Silva\r\n \r\n\tX");
        let folded: Vec<u8> = folded
            .bytes()
            .map(|byte| match byte {
                0 => 0xc3,
                1 => 0xa9,
                byte => byte,
            })
            .collect();
        assert_eq!(cards(folded), ["1 José da SilvaX"]);
    }

    #[test]
    fn what_nobody_needs_is_skipped_however_long() {
        for photo in [
            format!("PHOTO;ENCODING=b:{}", "A".repeat(2 * LIMIT)),
            format!("PHOTO;ENCODING=b:{}", "AAAA\n ".repeat(LIMIT)),
            "PHOTO;ENCODING=BASE64:AAAA\nAAAA\nAAAA=\n".into(),
            "X-A;B=\"never closed:\n".into(),
        ] {
            assert_eq!(cards(ANA.replace("FN:", &format!("{photo}\nFN:"))), ["1 Ana"], "{photo:.50}");
        }
        for name in ["A".repeat(LIMIT), "AAAA\n ".repeat(LIMIT)] {
            assert_eq!(cards(ANA.replace("Ana", &name)), ["1 name:too_long"]);
        }
        // A name that never ends: this test ends only if it is not searched at every fold.
        assert_eq!(cards(ANA.replace("FN:", &format!("{}\nFN:", "A\n ".repeat(4 * LIMIT)))), ["1 (line):malformed"]);
    }

    #[test]
    fn a_card_that_cannot_be_read_harms_no_other() {
        let cut = ANA.replace("END:VCARD\n", "");
        let broken = ANA.replace("Ana\n", "Ana\nSouza\n");
        let empty = "BEGIN:VCARD\nVERSION:4.0\nEND:VCARD\n";
        let text = format!("{cut}{ANA}{empty}{broken}hello\nworld\n{ANA}END:VCARD\n{cut}");
        assert_eq!(
            cards(text),
            [
                "1 (line):unclosed",
                "6 Ana",
                "12 name:required phone:required email:required",
                "15 (line):malformed",
                "22 (line):malformed",
                "24 Ana",
                "30 (line):malformed",
                "31 (line):unclosed",
            ]
        );
    }

    #[test]
    fn old_versions_and_encodings_are_refused() {
        assert_eq!(cards(ANA.replace("3.0", "2.1")), ["1 (line):unsupported_version"]);
        let printable = ANA.replace("FN:Ana", "FN;ENCODING=QUOTED-PRINTABLE:Jos=C3=A9");
        assert_eq!(cards(printable), ["1 name:unsupported_encoding"]);
        assert_eq!(cards(ANA.replace("FN:", "FN;CHARSET=ISO-8859-1:")), ["1 name:unsupported_charset"]);
    }
}
