//! Reads vCard 2.1, 3.0 and 4.0: joins folded lines to properties, and properties to cards (versit vCard 2.1, RFC 2426,
//! RFC 6350).
//!
//! A malformed card does not affect other cards: the next card starts at the next `BEGIN:VCARD`. The reader does not
//! keep properties that a contact does not have, such as photos.

mod card;
mod property;
pub(super) mod writer;

use crate::domain::Invalid;
use crate::formats::lines::{Line, Lines};
use crate::formats::record::{Entry, LIMIT, RecordError};
use card::Card;
use property::{Kind, Property, ends_name, is_quoted_printable, name};

const OUTSIDE_CARD: Invalid = Invalid::new("malformed", "must be within BEGIN:VCARD and END:VCARD");

/// The reader for vCard.
#[derive(Default)]
pub(super) struct VCards {
    lines: Lines,
    unfolder: Unfolder,
}

impl VCards {
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<Entry>) {
        self.lines.push(bytes, |line| self.unfolder.take(&line, out));
    }

    pub(super) fn finish(&mut self, out: &mut Vec<Entry>) {
        self.lines.finish(|line| self.unfolder.take(&line, out));
        self.unfolder.complete(out);
        self.unfolder.cards.finish(out);
    }
}

/// The current property, which can continue in the next line. Its bytes are joined before they are decoded, because
/// some programs fold within a character.
#[derive(Default)]
struct Unfolder {
    cards: Cards,
    buffer: Vec<u8>,
    first_line: u64,
    whole: bool,
    /// Known when the name is complete. The rest of a property that is not needed is dropped.
    kind: Option<Kind>,
    quoted_printable: bool,
    /// Whether the last line ended with `=` in QUOTED-PRINTABLE: the value goes on in the next line.
    soft_break: bool,
}

impl Unfolder {
    fn take(&mut self, line: &Line<'_>, out: &mut Vec<Entry>) {
        // A card must end even if its last value promises another line.
        let ends_card = line.bytes.trim_ascii().eq_ignore_ascii_case(b"END:VCARD");
        match line.bytes.split_first() {
            _ if self.soft_break && !ends_card => self.append(line, line.bytes),
            Some((b' ' | b'\t', rest)) => self.append(line, rest),
            _ => {
                self.complete(out);
                self.quoted_printable = is_quoted_printable(line.bytes);
                self.append(line, line.bytes);
            }
        }
        self.soft_break = self.quoted_printable && line.bytes.ends_with(b"=");
        if self.soft_break && self.kind != Some(Kind::Other) && self.buffer.ends_with(b"=") {
            self.buffer.pop();
        }
    }

    fn append(&mut self, line: &Line<'_>, bytes: &[u8]) {
        if self.kind == Some(Kind::Other) {
            return;
        }
        if self.buffer.is_empty() {
            self.first_line = line.number;
            self.whole = true;
        }
        let free = LIMIT.saturating_sub(self.buffer.len());
        self.whole &= line.whole && bytes.len() <= free;
        let bytes = bytes.get(..free).unwrap_or(bytes);
        self.buffer.extend_from_slice(bytes);
        // Only the new bytes are searched, so many folds do not make the search slow.
        if self.kind.is_none() && bytes.iter().any(|byte| ends_name(*byte)) {
            self.kind = Kind::of(&self.buffer);
        }
    }

    fn complete(&mut self, out: &mut Vec<Entry>) {
        if !self.buffer.is_empty() {
            self.cards.take(self.first_line, &self.buffer, self.whole, out);
        }
        self.buffer.clear();
        self.kind = None;
    }
}

/// The current card, if any.
#[derive(Default)]
struct Cards {
    card: Option<Card>,
    /// Whether the current text outside of cards is reported. All its lines are one entry.
    outside_reported: bool,
    /// Whether the last property was an AGENT without a value. Then the next card is its value.
    after_agent: bool,
    /// The number of open cards within the current card.
    agent_depth: usize,
    /// Whether the last line belongs to a property that is not needed.
    after_skipped: bool,
}

impl Cards {
    fn take(&mut self, first_line: u64, line: &[u8], whole: bool, out: &mut Vec<Entry>) {
        let kind = Kind::of(line);
        let property = Property::parse(line);
        let marks_card = property.as_ref().is_some_and(|property| property.raw().eq_ignore_ascii_case(b"VCARD"));
        if self.card.is_some() && self.skip_agent(kind, property.as_ref(), marks_card) {
            return;
        }
        let after_skipped = std::mem::take(&mut self.after_skipped);
        match (kind, property, &mut self.card) {
            (Some(Kind::Begin), _, card) if marks_card => {
                out.extend(card.replace(Card::new(first_line)).map(Card::unclosed));
                self.outside_reported = false;
            }
            (_, _, None) => {
                if !std::mem::replace(&mut self.outside_reported, true) {
                    out.push(Entry {
                        line: first_line,
                        result: Err(RecordError::whole_record(OUTSIDE_CARD)),
                        ignored: Vec::new(),
                    });
                }
            }
            (Some(Kind::End), _, card) if marks_card => out.extend(card.take().map(Card::finish)),
            (Some(Kind::Begin | Kind::End | Kind::Agent | Kind::Other), property, Some(card)) => {
                let has_value = property.is_none_or(|property| !property.raw().is_empty());
                if let Some(name) = name(line).filter(|_| has_value || kind == Some(Kind::Agent)) {
                    card.ignore(&name);
                }
                self.after_skipped = true;
            }
            (Some(kind), Some(property), Some(card)) => card.add(kind, &property, whole),
            // Not a property: probably the rest of a skipped property that was folded without a space.
            (None, _, Some(_)) if after_skipped => self.after_skipped = true,
            (_, _, Some(card)) => card.mark_malformed(),
        }
    }

    /// Skips the card that is the value of an AGENT property.
    fn skip_agent(&mut self, kind: Option<Kind>, property: Option<&Property<'_>>, marks_card: bool) -> bool {
        let after_agent = std::mem::take(&mut self.after_agent);
        match kind {
            Some(Kind::Begin) if marks_card && after_agent => self.agent_depth += 1,
            // A card that no AGENT announces: the cards before it have no end.
            Some(Kind::Begin) if marks_card => {
                self.agent_depth = 0;
                return false;
            }
            Some(Kind::End) if marks_card && self.agent_depth > 0 => self.agent_depth -= 1,
            Some(Kind::Agent) => {
                let value = property.map(Property::raw).unwrap_or_default();
                self.after_agent = value.is_empty();
                let within = self.agent_depth > 0;
                // Some programs write the first line of the other card behind the colon.
                self.agent_depth += usize::from(value.eq_ignore_ascii_case(b"BEGIN:VCARD"));
                return within;
            }
            _ => return self.agent_depth > 0,
        }
        true
    }

    fn finish(&mut self, out: &mut Vec<Entry>) {
        self.agent_depth = 0;
        out.extend(self.card.take().map(Card::unclosed));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, record::LIMIT};
    use crate::formats::testing::{read, summaries};

    const ANA: &str = "BEGIN:VCARD\nVERSION:3.0\nFN:Ana\nTEL:11987654321\nEMAIL:ana@example.com\nEND:VCARD\n";

    fn cards(text: impl AsRef<[u8]>) -> Vec<String> {
        summaries(&read(Format::VCard4, text.as_ref()))
    }

    #[test]
    fn a_card_starts_at_the_line_of_its_begin() {
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
    fn long_properties_that_are_not_needed_are_skipped() {
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
        // A property name without end. The test is fast only if the name is not searched again at every fold.
        assert_eq!(cards(ANA.replace("FN:", &format!("{}\nFN:", "A\n ".repeat(4 * LIMIT)))), ["1 (line):malformed"]);
    }

    #[test]
    fn a_malformed_card_does_not_affect_other_cards() {
        let cut = ANA.replace("END:VCARD\n", "");
        let broken = ANA.replace("Ana\n", "Ana\nSouza\n");
        let empty = "BEGIN:VCARD\nVERSION:4.0\nEND:VCARD\n";
        let text = format!("{cut}{ANA}{empty}{broken}hello\nworld\n{ANA}END:VCARD\n{cut}");
        assert_eq!(
            cards(text),
            [
                "1 (line):unclosed",
                "6 Ana",
                "12 name:required phone:required",
                "15 (line):malformed",
                "22 (line):malformed",
                "24 Ana",
                "30 (line):malformed",
                "31 (line):unclosed",
            ]
        );
    }

    #[test]
    fn vcard_2_1_is_read() {
        let card = "BEGIN:VCARD\r\nVERSION:2.1\r\nN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:Gon=C3=A7alves;Jo=\r\n=C3=A3o;;;\r\n\
                    TEL;CELL;PREF:11987654321\r\nTEL;FAX:1133334444\r\nEMAIL;INTERNET:ana@example.com\r\n\
                    NOTE;ENCODING=QUOTED-PRINTABLE:one=0D=0A=\r\nEND of a line=\r\n\r\n\
                    AGENT:\r\nBEGIN:VCARD\r\nN:Other\r\nTEL:1122223333\r\nEND:VCARD\r\nEND:VCARD\r\n";
        let entries = read(Format::VCard4, format!("{card}{card}").as_bytes());
        assert_eq!(summaries(&entries), ["1 João Gonçalves", "17 João Gonçalves"]);
        let ignored: Vec<_> = entries[0].ignored.iter().map(|i| format!("{} {}", i.field, i.reason)).collect();
        assert_eq!(ignored, ["NOTE no_field", "AGENT no_field", "phone other_value"]);
        assert_eq!(cards(card.replace("\r\n", "\r")), ["1 João Gonçalves"]);
        // A value that promises another line does not hide the end of its card.
        assert_eq!(cards(ANA.replace("END:", "NOTE;QUOTED-PRINTABLE:a=\nEND:")), ["1 Ana"]);
    }

    #[test]
    fn the_card_of_an_agent_does_not_replace_its_card_or_hide_others() {
        let agent = "AGENT:BEGIN:VCARD\nTEL;PREF:1122223333\nEND:VCARD\nEND:VCARD";
        let entries = read(Format::VCard4, ANA.replace("END:VCARD", agent).as_bytes());
        assert_eq!(entries[0].result.as_ref().unwrap().phone.to_string(), "+5511987654321");
        let broken = ANA.replace("END:VCARD\n", "AGENT:\nBEGIN:VCARD\nFN:Other\n");
        assert_eq!(cards(format!("{broken}{ANA}{ANA}")), ["1 (line):unclosed", "9 Ana", "15 Ana"]);
    }

    #[test]
    fn a_card_without_a_name_has_the_name_of_its_organization() {
        let company = ANA.replace("FN:Ana", "FN:\nN:;;;;\nORG:Padaria Sol\\, Filial;Caixa");
        assert_eq!(cards(&company), ["1 Padaria Sol, Filial"]);
        let entries = read(Format::VCard4, ANA.replace("FN:", "ORG:Padaria\nFN:").as_bytes());
        assert_eq!((summaries(&entries), entries[0].ignored[0].field.as_str()), (vec!["1 Ana".to_owned()], "ORG"));
    }

    #[test]
    fn other_versions_and_binary_texts_are_rejected() {
        assert_eq!(cards(ANA.replace("3.0", "1.0")), ["1 (line):unsupported_version"]);
        assert_eq!(cards(ANA.replace("FN:", "FN;ENCODING=BASE64:")), ["1 name:unsupported_encoding"]);
        assert_eq!(cards(ANA.replace("FN:", "FN;CHARSET=KLINGON:")), ["1 name:unsupported_charset"]);
    }
}
