//! Stamps: they order the unconditional commands on one contact.

use std::sync::atomic::{AtomicI64, Ordering};

/// The number of bits of the counter.
const COUNTER_BITS: u32 = 16;

/// A hybrid timestamp: milliseconds since 1970 in the upper 48 bits, a counter in the lower 16.
///
/// Operation ids order two commands with the same stamp. Zero is older than every command. A contact that was created
/// and not changed has stamp zero, so any update is newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(i64);

impl Stamp {
    /// Older than every command's stamp.
    pub const ZERO: Self = Self(0);

    /// Makes a stamp from the number in a message or a row. A negative number is not a stamp.
    pub const fn new(raw: i64) -> Option<Self> {
        if raw >= 0 { Some(Self(raw)) } else { None }
    }

    /// The number for messages and rows.
    pub const fn raw(self) -> i64 {
        self.0
    }

    /// The next stamp.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The first stamp of this millisecond since 1970.
    pub const fn at_millis(millis: i64) -> Self {
        Self(if millis < 0 { 0 } else { millis.saturating_mul(1 << COUNTER_BITS) })
    }
}

/// Makes stamps that only grow within one process, even if the system clock goes back.
#[derive(Debug, Default)]
pub struct HybridClock {
    last: AtomicI64,
}

impl HybridClock {
    /// Makes the stamp of a command that was accepted at `millis` since 1970. It is at least that time, and greater
    /// than every earlier stamp.
    pub fn stamp(&self, millis: i64) -> Stamp {
        let now = Stamp::at_millis(millis);
        let update = |last: i64| Some(now.max(Stamp(last).next()).raw());
        // The closure always returns a value, so `Ok` and `Err` both hold the replaced value.
        let (Ok(last) | Err(last)) = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        now.max(Stamp(last).next())
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
