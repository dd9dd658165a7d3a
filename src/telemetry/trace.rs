//! W3C Trace Context: where a request or a message stands in a trace. Source: the recommendation "Trace Context".

use std::fmt;

/// The header's name, in HTTP and in messages.
pub const TRACEPARENT: &str = "traceparent";
/// The header of what other systems add to a trace; carried along, never read.
pub const TRACESTATE: &str = "tracestate";
/// The most bytes of `tracestate` that are carried along, as the recommendation asks for at least.
pub const MAX_TRACESTATE: usize = 512;

/// A place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Names the whole trace; never 0.
    pub trace_id: u128,
    /// Names this place; never 0.
    pub span_id: u64,
    /// Whether spans of it are recorded.
    pub sampled: bool,
}

impl Trace {
    /// The first place of a new trace.
    pub fn begin(sampled: bool) -> Self {
        Self { trace_id: fastrand::u128(1..), span_id: new_span_id(), sampled }
    }

    /// A new place below this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span_id: new_span_id(), ..*self }
    }

    /// Reads a `traceparent`. A version we do not know is read as far as version 00 goes, as the recommendation asks.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (version, rest) = (text.get(..2)?, bytes.get(55));
        let dashes = [2, 35, 52].iter().all(|at| bytes.get(*at) == Some(&b'-'));
        let known = match version {
            "ff" => false,
            "00" => rest.is_none(),
            _ => rest.is_none_or(|next| *next == b'-'),
        };
        let lower_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let (trace_id, span_id, flags) = (text.get(3..35)?, text.get(36..52)?, text.get(53..55)?);
        if !(known && dashes && [version, trace_id, span_id, flags].into_iter().all(lower_hex)) {
            return None;
        }
        let trace = Self {
            trace_id: u128::from_str_radix(trace_id, 16).ok()?,
            span_id: u64::from_str_radix(span_id, 16).ok()?,
            sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        };
        (trace.trace_id != 0 && trace.span_id != 0).then_some(trace)
    }

    /// The trace's id as text.
    pub fn id(&self) -> TraceId {
        TraceId(self.trace_id)
    }
}

fn new_span_id() -> u64 {
    fastrand::u64(1..)
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

/// Shows the id of a trace as other systems write it.
#[derive(Clone, Copy, Debug)]
pub struct TraceId(u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_recommendations_examples() {
        let trace = Trace::parse(EXAMPLE).unwrap();
        assert_eq!(trace.to_string(), EXAMPLE);
        assert!(trace.sampled && trace.id().to_string() == "4bf92f3577b34da6a3ce929d0e0e4736");
        let child = trace.child();
        assert!(child.trace_id == trace.trace_id && child.span_id != trace.span_id && child.sampled);
        for wrong in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Trace::parse(wrong), None, "{wrong}");
        }
        let newer = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert_eq!(Trace::parse(newer), Some(trace));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace_id in 1u128.., span_id in 1u64.., sampled: bool) {
            let trace = Trace { trace_id, span_id, sampled };
            prop_assert_eq!(Trace::parse(&trace.to_string()), Some(trace));
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,60}") {
            let _ = Trace::parse(&text);
        }
    }
}
