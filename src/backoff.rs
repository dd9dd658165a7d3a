//! Waits longer after each failure. Jitter keeps many instances from retrying at the same time.

use std::time::Duration;

/// Exponential backoff: each wait is a random time between half of the step and the whole step.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    step: Duration,
}

impl Backoff {
    /// Starts at `first` and doubles up to `max`.
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, step: first }
    }

    /// How long to wait before the next try.
    pub fn next_wait(&mut self) -> Duration {
        let step = self.step;
        self.step = step.saturating_mul(2).min(self.max);
        step.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Starts again at `first`, after a success.
    pub fn reset(&mut self) {
        self.step = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_the_maximum_and_resets() {
        let (first, max) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new(first, max);
        for step in [100, 200, 400, 800, 1000, 1000] {
            let step = Duration::from_millis(step);
            let wait = backoff.next_wait();
            assert!(wait >= step / 2 && wait <= step, "{wait:?} of {step:?}");
        }
        backoff.reset();
        assert!(backoff.next_wait() <= first);
    }
}
