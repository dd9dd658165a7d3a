//! Finds the encoding of a file by its first bytes, and decodes it to UTF-8 as the bytes arrive.
//!
//! A byte order mark decides. Without one, a zero byte among the first two bytes means UTF-16. Otherwise the text is
//! UTF-8, unless the first character outside ASCII is not valid in UTF-8: then it is Windows-1252, which Excel writes in
//! Brazil. The result does not depend on how the bytes are cut into chunks.

use encoding_rs::{CoderResult, UTF_16BE, UTF_16LE, WINDOWS_1252};
use std::io::{ErrorKind, Read};

/// The encodings of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8, with or without a byte order mark.
    #[default]
    Utf8,
    /// UTF-16, the low byte first.
    Utf16Le,
    /// UTF-16, the high byte first.
    Utf16Be,
    /// Windows-1252, which contains ISO 8859-1.
    Windows1252,
}

impl Encoding {
    /// The name in the IANA registry of character sets.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
            Self::Windows1252 => "windows-1252",
        }
    }
}

enum State {
    /// There are too few bytes to find a byte order mark.
    Start,
    /// All bytes are ASCII so far.
    Ascii,
    /// Bytes pass unchanged, also invalid ones: the readers report those record by record.
    Utf8,
    Other(encoding_rs::Decoder),
}

/// Decodes bytes as they arrive.
pub(super) struct Decoder {
    state: State,
    encoding: Encoding,
    /// Whether the text can be Windows-1252.
    fallback: bool,
    /// The first bytes of the input, or of a character, while they do not yet decide.
    undecided: Vec<u8>,
    decoded: Vec<u8>,
}

impl Decoder {
    /// A decoder. With `fallback`, a text that is not UTF-8 is Windows-1252.
    pub(super) const fn new(fallback: bool) -> Self {
        Self { state: State::Start, encoding: Encoding::Utf8, fallback, undecided: Vec::new(), decoded: Vec::new() }
    }

    /// A text that is not UTF-8 stays as it is.
    pub(super) const fn disable_fallback(&mut self) {
        self.fallback = false;
    }

    /// The encoding, as far as the bytes have shown it.
    pub(super) const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Decodes the next bytes to UTF-8. `last` says that no more bytes follow.
    pub(super) fn decode<'a>(&'a mut self, bytes: &'a [u8], last: bool) -> &'a [u8] {
        if matches!(self.state, State::Utf8) {
            return bytes;
        }
        let mut input = std::mem::take(&mut self.undecided);
        input.extend_from_slice(bytes);
        self.decoded.clear();
        self.decode_undecided(&input, last);
        &self.decoded
    }

    fn decode_undecided(&mut self, mut bytes: &[u8], last: bool) {
        if matches!(self.state, State::Start) {
            // The longest byte order mark has three bytes.
            if bytes.len() < 3 && !last {
                self.undecided = bytes.to_vec();
                return;
            }
            bytes = self.find_mark(bytes);
        }
        if matches!(self.state, State::Ascii) {
            let length = bytes.iter().position(|byte| !byte.is_ascii()).unwrap_or(bytes.len());
            let (ascii, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
            self.decoded.extend_from_slice(ascii);
            bytes = rest;
            match starts_with_utf8(bytes) {
                _ if bytes.is_empty() => return,
                None if !last => {
                    self.undecided = bytes.to_vec();
                    return;
                }
                Some(true) => self.state = State::Utf8,
                _ if self.fallback => {
                    self.encoding = Encoding::Windows1252;
                    self.state = State::Other(WINDOWS_1252.new_decoder_without_bom_handling());
                }
                _ => self.state = State::Utf8,
            }
        }
        match &mut self.state {
            State::Other(decoder) => decode_all(decoder, bytes, last, &mut self.decoded),
            State::Start | State::Ascii | State::Utf8 => self.decoded.extend_from_slice(bytes),
        }
    }

    /// Finds a byte order mark, or UTF-16 without one, and returns the bytes after the mark.
    fn find_mark<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let little = || State::Other(UTF_16LE.new_decoder_without_bom_handling());
        let big = || State::Other(UTF_16BE.new_decoder_without_bom_handling());
        let (state, encoding, length) = match bytes {
            [0xef, 0xbb, 0xbf, ..] => (State::Utf8, Encoding::Utf8, 3),
            [0xff, 0xfe, ..] => (little(), Encoding::Utf16Le, 2),
            [0xfe, 0xff, ..] => (big(), Encoding::Utf16Be, 2),
            [first, 0, ..] if *first != 0 => (little(), Encoding::Utf16Le, 0),
            [0, second, ..] if *second != 0 => (big(), Encoding::Utf16Be, 0),
            _ => (State::Ascii, Encoding::Utf8, 0),
        };
        (self.state, self.encoding) = (state, encoding);
        bytes.get(length..).unwrap_or_default()
    }
}

/// Whether the bytes start with a character of UTF-8; `None` if the character is not complete.
fn starts_with_utf8(bytes: &[u8]) -> Option<bool> {
    let start = bytes.get(..4).unwrap_or(bytes);
    match std::str::from_utf8(start) {
        Ok(_) => Some(true),
        Err(error) if error.valid_up_to() > 0 => Some(true),
        Err(error) => error.error_len().map(|_| false),
    }
}

fn decode_all(decoder: &mut encoding_rs::Decoder, mut bytes: &[u8], last: bool, decoded: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    loop {
        let (result, read, written, _replaced) = decoder.decode_to_utf8(bytes, &mut buffer, last);
        decoded.extend_from_slice(buffer.get(..written).unwrap_or_default());
        bytes = bytes.get(read..).unwrap_or_default();
        if result == CoderResult::InputEmpty {
            return;
        }
    }
}

/// Reads a source in any of the encodings as UTF-8, without a byte order mark.
pub struct DecodingReader<R> {
    source: R,
    decoder: Decoder,
    decoded: Vec<u8>,
    position: usize,
    ended: bool,
}

impl<R: Read> DecodingReader<R> {
    /// Decodes this source. With `fallback`, a text that is not UTF-8 is Windows-1252.
    pub const fn new(source: R, fallback: bool) -> Self {
        Self { source, decoder: Decoder::new(fallback), decoded: Vec::new(), position: 0, ended: false }
    }
}

impl<R: Read> Read for DecodingReader<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let mut chunk = [0; 16 * 1024];
        while self.position == self.decoded.len() && !self.ended {
            let length = match self.source.read(&mut chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            };
            self.ended = length == 0;
            let bytes = self.decoder.decode(chunk.get(..length).unwrap_or_default(), self.ended);
            self.decoded.clear();
            self.decoded.extend_from_slice(bytes);
            self.position = 0;
        }
        let rest = self.decoded.get(self.position..).unwrap_or_default();
        let length = rest.len().min(out.len());
        let (Some(to), Some(from)) = (out.get_mut(..length), rest.get(..length)) else { return Ok(0) };
        to.copy_from_slice(from);
        self.position += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::Index;

    fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, fallback: bool) -> (Vec<u8>, Encoding) {
        let (mut decoder, mut decoded) = (Decoder::new(fallback), Vec::new());
        for chunk in chunks {
            decoded.extend_from_slice(decoder.decode(chunk, false));
        }
        decoded.extend_from_slice(decoder.decode(b"", true));
        (decoded, decoder.encoding())
    }

    fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    }

    #[test]
    fn every_encoding_is_found() {
        let text = "nome;telefone\r\nJosé da Conceição;1\r\n";
        let latin: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        let marked = format!("\u{feff}{text}");
        for (bytes, expected) in [
            (text.as_bytes().to_vec(), Encoding::Utf8),
            (marked.as_bytes().to_vec(), Encoding::Utf8),
            (latin, Encoding::Windows1252),
            (utf16(&marked, u16::to_le_bytes), Encoding::Utf16Le),
            (utf16(&marked, u16::to_be_bytes), Encoding::Utf16Be),
            (utf16(text, u16::to_le_bytes), Encoding::Utf16Le),
            (utf16(text, u16::to_be_bytes), Encoding::Utf16Be),
        ] {
            assert_eq!(decode([bytes.as_slice()], true), (text.as_bytes().to_vec(), expected), "{expected:?}");
            let mut read = Vec::new();
            DecodingReader::new(bytes.as_slice(), true).read_to_end(&mut read).unwrap();
            assert_eq!(read, text.as_bytes(), "{expected:?}");
        }
    }

    #[test]
    fn a_text_that_begins_as_utf8_stays_utf8() {
        assert_eq!(decode([&b"\xc3\xa9\xff"[..]], true), (b"\xc3\xa9\xff".to_vec(), Encoding::Utf8));
        assert_eq!(decode([&b"a\xff"[..]], false), (b"a\xff".to_vec(), Encoding::Utf8));
        assert_eq!(decode([&b"a\xc3"[..]], true), ("aÃ".as_bytes().to_vec(), Encoding::Windows1252));
        assert_eq!(decode([&b"\x80"[..]], true), ("€".as_bytes().to_vec(), Encoding::Windows1252));
        assert_eq!(decode([&b""[..]], true), (Vec::new(), Encoding::Utf8));
    }

    proptest! {
        #[test]
        fn the_chunks_make_no_difference(
            bytes in proptest::collection::vec(prop_oneof![Just(0), Just(b'a'), Just(0xc3), Just(0xef), Just(0xbb), Just(0xbf), Just(0xff), Just(0xfe), any::<u8>()], 0..40),
            cuts in proptest::collection::vec(any::<Index>(), 0..6),
            fallback: bool,
        ) {
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            places.extend([0, bytes.len()]);
            places.sort_unstable();
            let chunks = places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
            prop_assert_eq!(decode(chunks, fallback), decode([bytes.as_slice()], fallback));
            prop_assert_eq!(decode(bytes.chunks(1), fallback), decode([bytes.as_slice()], fallback));
        }
    }
}
