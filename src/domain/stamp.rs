//! The hybrid time that orders unconditional commands.

use std::sync::atomic::{AtomicI64, Ordering};

/// Bits of the counter below the milliseconds.
const COUNTER_BITS: u32 = 16;

/// A 64-bit hybrid time: milliseconds since 1970 in the upper 48 bits, a counter in the lower 16.
///
/// Two commands with the same stamp are ordered by their operation ids. Zero is older than every command: a contact
/// that was only created has it, so any update wins over the create.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(i64);

impl Stamp {
    /// Older than every command's stamp.
    pub const ZERO: Self = Self(0);

    /// Takes a stamp as it stands in a message or a row; negative ones do not exist.
    pub const fn new(raw: i64) -> Option<Self> {
        if raw >= 0 { Some(Self(raw)) } else { None }
    }

    /// The number that goes into messages and rows.
    pub const fn raw(self) -> i64 {
        self.0
    }

    /// The next greater stamp.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The first stamp of a millisecond since 1970.
    pub const fn at_millis(millis: i64) -> Self {
        Self(if millis < 0 { 0 } else { millis.saturating_mul(1 << COUNTER_BITS) })
    }
}

/// Makes stamps that never go back within one process, whatever the system clock does.
#[derive(Debug, Default)]
pub struct HybridClock {
    last: AtomicI64,
}

impl HybridClock {
    /// The stamp of a command accepted at `millis` since 1970: at least that time, and greater than any before.
    pub fn stamp(&self, millis: i64) -> Stamp {
        let wall = Stamp::at_millis(millis);
        let step = |last: i64| Some(wall.max(Stamp(last).next()).raw());
        // The closure never refuses, so both arms hold the value it replaced.
        let (Ok(last) | Err(last)) = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        wall.max(Stamp(last).next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn stamps_only_grow(readings in proptest::collection::vec(-5i64..2_000_000_000_000, 1..200)) {
            let clock = HybridClock::default();
            let stamps: Vec<Stamp> = readings.iter().map(|millis| clock.stamp(*millis)).collect();
            prop_assert!(stamps.windows(2).all(|pair| pair[0] < pair[1]));
            for (millis, stamp) in readings.iter().zip(&stamps) {
                prop_assert!(*stamp >= Stamp::at_millis(*millis) && *stamp > Stamp::ZERO);
            }
        }
    }
}
