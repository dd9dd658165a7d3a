//! The header line of a CSV. It is kept until it is complete, because only then its delimiter is known.
//!
//! This file does not know the meaning of a header.

/// The delimiters that programs use. If two are equally frequent, the first is taken.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The header line, complete or not.
#[derive(Default)]
pub(super) struct Header {
    bytes: Vec<u8>,
    quoted: bool,
    /// Whether the last quote closed a cell.
    closed: bool,
    /// How often each delimiter occurs outside quotes.
    counts: [usize; 4],
    declared: Option<u8>,
}

/// What a summary calls a delimiter.
pub(super) const fn name(delimiter: u8) -> &'static str {
    match delimiter {
        b';' => "semicolon",
        b'\t' => "tab",
        b'|' => "pipe",
        _ => "comma",
    }
}

impl Header {
    /// A header after a line that declared its delimiter.
    pub(super) fn with_delimiter(delimiter: u8) -> Self {
        Self { declared: Some(delimiter), ..Self::default() }
    }

    /// The delimiter, if this line is a declaration such as `sep=;`.
    pub(super) fn declared_delimiter(&self) -> Option<u8> {
        match self.bytes.as_slice() {
            [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter, b'\r' | b'\n']
                if DELIMITERS.contains(delimiter) =>
            {
                Some(*delimiter)
            }
            _ => None,
        }
    }

    /// Adds a byte. Returns the delimiter when the line is complete.
    pub(super) fn push(&mut self, byte: u8) -> Option<u8> {
        let before = self.bytes.last().copied();
        self.bytes.push(byte);
        match byte {
            b'"' if self.quoted => (self.quoted, self.closed) = (false, true),
            // A quote opens at the start of a cell. A quote after a closing quote continues the cell.
            b'"' => {
                let continues = std::mem::take(&mut self.closed) && before == Some(b'"');
                self.quoted = continues || before.is_none_or(|before| DELIMITERS.contains(&before));
            }
            _ if self.quoted => {}
            b'\r' | b'\n' => return Some(self.delimiter()),
            _ => {
                for (count, _) in self.counts.iter_mut().zip(DELIMITERS).filter(|(_, delimiter)| *delimiter == byte) {
                    *count += 1;
                }
            }
        }
        None
    }

    fn delimiter(&self) -> u8 {
        if let Some(declared) = self.declared {
            return declared;
        }
        let counts = DELIMITERS.into_iter().zip(self.counts);
        // `max_by_key` takes the last of equal elements.
        counts.rev().max_by_key(|(_, count)| *count).map_or(b',', |(delimiter, _)| delimiter)
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
        let mut header = Header::default();
        line.bytes().find_map(|byte| header.push(byte)).map(|delimiter| (delimiter, header.len()))
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
            ("no\"\"te;a;b\n", b';'),
            ("name\n", b','),
        ] {
            assert_eq!(delimiter(line).map(|(found, _)| found), Some(expected), "{line:?}");
        }
    }

    #[test]
    fn a_line_end_within_quotes_does_not_end_the_header() {
        assert_eq!(delimiter("\"a\nb\"\"\n\",c\nd"), Some((b',', 11)));
        assert_eq!(delimiter("\"a,b\n"), None);
        assert_eq!(delimiter("a,b"), None);
    }
}
