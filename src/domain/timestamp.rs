//! Timestamps as text. Every message and every log line has one, so this code is fast.

use super::Timestamp;
use chrono::{Datelike, Timelike};
use std::fmt;

/// Shows a timestamp as RFC 3339 with six decimals, as in `2026-01-02T03:04:05.123456Z`. The length never changes.
pub struct Rfc3339Micros(pub Timestamp);

impl fmt::Display for Rfc3339Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(at) = self;
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        // A leap second is shown as the second before it.
        let micros = (at.nanosecond() / 1_000).min(999_999);
        let parts = [
            (0, 4, at.year().clamp(0, 9_999).unsigned_abs()),
            (5, 2, at.month()),
            (8, 2, at.day()),
            (11, 2, at.hour()),
            (14, 2, at.minute()),
            (17, 2, at.second()),
            (20, 6, micros),
        ];
        for (position, length, mut value) in parts {
            for digit in text.iter_mut().skip(position).take(length).rev() {
                *digit = b'0' + (value % 10) as u8;
                value /= 10;
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::Rfc3339Micros;
    use crate::domain::Timestamp;
    use chrono::SecondsFormat;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_text_is_the_same_as_that_of_chrono(micros in 0i64..253_402_300_799_999_999) {
            let at = Timestamp::from_timestamp_micros(micros).unwrap();
            prop_assert_eq!(Rfc3339Micros(at).to_string(), at.to_rfc3339_opts(SecondsFormat::Micros, true));
        }
    }
}
