//! The header line of a CSV, kept until it is complete: only then its delimiter is known.
//!
//! It must not know what the headers mean.

/// What stands between cells, by the program that wrote them; of two that are as frequent the first is taken.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// The header line so far.
#[derive(Default)]
pub(super) struct Heading {
    bytes: Vec<u8>,
    quoted: bool,
    seen: [usize; 3],
}

impl Heading {
    /// Takes a byte; once the line is complete, gives its delimiter.
    pub(super) fn take(&mut self, byte: u8) -> Option<u8> {
        let before = self.bytes.last().copied();
        self.bytes.push(byte);
        match byte {
            b'"' if self.quoted => self.quoted = false,
            // A quote opens at the begin of a cell; after a closing one it only was a doubled one.
            b'"' => self.quoted = before.is_none_or(|before| before == b'"' || DELIMITERS.contains(&before)),
            _ if self.quoted => {}
            b'\r' | b'\n' => return Some(self.delimiter()),
            _ => {
                for (seen, _) in self.seen.iter_mut().zip(DELIMITERS).filter(|(_, delimiter)| *delimiter == byte) {
                    *seen += 1;
                }
            }
        }
        None
    }

    fn delimiter(&self) -> u8 {
        let counted = DELIMITERS.into_iter().zip(self.seen);
        // Of equal ones `max_by_key` takes the last.
        counted.rev().max_by_key(|(_, seen)| *seen).map_or(b',', |(delimiter, _)| delimiter)
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delimiter(line: &str) -> Option<(u8, usize)> {
        let mut heading = Heading::default();
        line.bytes().find_map(|byte| heading.take(byte)).map(|delimiter| (delimiter, heading.len()))
    }

    #[test]
    fn the_delimiter_is_the_most_frequent_outside_quotes() {
        for (line, expected) in [
            ("name,phone,email\nAna;;;;;", b','),
            ("name;phone;e,mail\r\n", b';'),
            ("name\tphone\temail\r", b'\t'),
            ("\"a,b,c\";\"d\"\"e,f,\"\"\";g\n", b';'),
            ("\"a,\nb,c\";d\n", b';'),
            ("a\",b\";c,d\n", b','),
            ("a,b;c\n", b','),
            ("name\n", b','),
        ] {
            assert_eq!(delimiter(line).map(|(found, _)| found), Some(expected), "{line:?}");
        }
    }

    #[test]
    fn a_line_end_within_quotes_is_not_its_end() {
        assert_eq!(delimiter("\"a\nb\"\"\n\",c\nd"), Some((b',', 11)));
        assert_eq!(delimiter("\"a,b\n"), None);
        assert_eq!(delimiter("a,b"), None);
    }
}
