//! Splits chunks of bytes into physical lines, for the formats that consist of lines.
//!
//! At most [`LIMIT`] bytes of a line are kept. A line that lies within one chunk is not copied. This file does not know
//! the meaning of a line.

use super::record::LIMIT;

/// One line.
pub(super) struct Line<'a> {
    /// Its number, from 1.
    pub(super) number: u64,
    /// Its bytes without the line end; only the first [`LIMIT`] bytes of a longer line.
    pub(super) bytes: &'a [u8],
    /// Whether `bytes` is the whole line.
    pub(super) whole: bool,
}

impl<'a> Line<'a> {
    fn new(number: u64, bytes: &'a [u8], length: usize) -> Self {
        Self { number, bytes: bytes.get(..LIMIT).unwrap_or(bytes), whole: length <= LIMIT }
    }
}

/// The state between two chunks.
#[derive(Default)]
pub(super) struct Lines {
    /// How many lines are complete.
    count: u64,
    /// The first bytes of the incomplete line.
    buffer: Vec<u8>,
    /// The length of the incomplete line. It can be greater than the buffer.
    length: usize,
    /// Whether the last line ended with CR. Then an LF belongs to that line end.
    after_cr: bool,
}

impl Lines {
    /// Takes the next bytes and calls `each` for every line that they complete.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, rest) = bytes.split_at(end);
            let after_cr = std::mem::replace(&mut self.after_cr, rest.first() == Some(&b'\r'));
            bytes = rest.get(1..).unwrap_or_default();
            if after_cr && end == 0 && !self.after_cr && self.length == 0 {
                continue;
            }
            if self.length == 0 {
                self.count += 1;
                each(Line::new(self.count, line, line.len()));
            } else {
                self.append(line);
                self.complete(&mut each);
            }
        }
        self.after_cr &= bytes.is_empty();
        self.append(bytes);
    }

    /// Calls `each` for the last line, if it has no line end.
    pub(super) fn finish(&mut self, mut each: impl FnMut(Line<'_>)) {
        if self.length > 0 {
            self.complete(&mut each);
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        let free = LIMIT - self.buffer.len();
        self.buffer.extend_from_slice(bytes.get(..free).unwrap_or(bytes));
        self.length = self.length.saturating_add(bytes.len());
    }

    fn complete(&mut self, each: &mut impl FnMut(Line<'_>)) {
        self.count += 1;
        each(Line::new(self.count, &self.buffer, self.length));
        self.buffer.clear();
        self.length = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<(u64, Vec<u8>, bool)> {
        let mut seen = Vec::new();
        let mut lines = Lines::default();
        for chunk in chunks {
            lines.push(chunk, |line| seen.push((line.number, line.bytes.to_vec(), line.whole)));
        }
        lines.finish(|line| seen.push((line.number, line.bytes.to_vec(), line.whole)));
        seen
    }

    #[test]
    fn lines_are_numbered_and_have_no_line_end() {
        let expected =
            [(1, b"a".to_vec(), true), (2, b"".to_vec(), true), (3, b"b".to_vec(), true), (4, b"c".to_vec(), true)];
        assert_eq!(lines(&[b"a\r\n\nb\rc"]), expected);
        assert_eq!(lines(&[b"a\r", b"\n\r", b"\nb", b"\r", b"c\n"]), expected);
        assert_eq!(lines(&[]), []);
    }

    #[test]
    fn only_the_first_bytes_of_a_long_line_are_kept() {
        let long = vec![b'x'; LIMIT + 1];
        let kept = (1, vec![b'x'; LIMIT], false);
        assert_eq!(lines(&[&long, b"\n", b"y"]), [kept.clone(), (2, b"y".to_vec(), true)]);
        let (first, second) = long.split_at(1000);
        assert_eq!(lines(&[first, second]), [kept]);
        assert_eq!(lines(&[&long[1..]]), [(1, vec![b'x'; LIMIT], true)]);

        let mut lines = Lines::default();
        for _ in 0..100 {
            lines.push(&long, |_| {});
        }
        assert!(lines.buffer.capacity() <= 2 * LIMIT);
    }
}
