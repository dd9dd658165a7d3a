//! Physical lines out of chunks, for the formats that are made of lines.
//!
//! No more of a line is kept than the limit, and a line that lies within a chunk is not copied. It must not know what
//! the lines mean.

use super::record::LIMIT;

/// One line.
pub(super) struct Line<'a> {
    /// Its number, from 1.
    pub(super) number: u64,
    /// Its bytes without the line end; of a longer line the first [`LIMIT`].
    pub(super) bytes: &'a [u8],
    /// Whether that is all of it.
    pub(super) whole: bool,
}

impl<'a> Line<'a> {
    fn new(number: u64, bytes: &'a [u8], length: usize) -> Self {
        let whole = length <= LIMIT;
        let bytes =
            if whole { bytes.strip_suffix(b"\r").unwrap_or(bytes) } else { bytes.get(..LIMIT).unwrap_or(bytes) };
        Self { number, bytes, whole }
    }
}

/// What is known of the line that is not complete.
#[derive(Default)]
pub(super) struct Lines {
    before: u64,
    held: Vec<u8>,
    /// Of the line, held or not.
    length: usize,
}

impl Lines {
    /// Takes the next bytes and gives each line that they complete.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            if self.length == 0 {
                self.before += 1;
                each(Line::new(self.before, line, line.len()));
            } else {
                self.hold(line);
                self.give(&mut each);
            }
        }
        self.hold(bytes);
    }

    /// Gives the last line, if no line end followed it.
    pub(super) fn finish(&mut self, mut each: impl FnMut(Line<'_>)) {
        if self.length > 0 {
            self.give(&mut each);
        }
    }

    fn hold(&mut self, bytes: &[u8]) {
        let room = LIMIT - self.held.len();
        self.held.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.length = self.length.saturating_add(bytes.len());
    }

    fn give(&mut self, each: &mut impl FnMut(Line<'_>)) {
        self.before += 1;
        each(Line::new(self.before, &self.held, self.length));
        self.held.clear();
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
    fn lines_are_numbered_and_lose_their_end() {
        let expected = [(1, b"a".to_vec(), true), (2, b"".to_vec(), true), (3, b"b\rc".to_vec(), true)];
        assert_eq!(lines(&[b"a\r\n\nb\rc"]), expected);
        assert_eq!(lines(&[b"a\r", b"\n\r", b"\nb", b"\r", b"c\n"]), expected);
        assert_eq!(lines(&[]), []);
    }

    #[test]
    fn of_a_long_line_no_more_is_kept_than_the_limit() {
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
        assert!(lines.held.capacity() <= 2 * LIMIT);
    }
}
