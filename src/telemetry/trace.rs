//! The trace context of requests and messages, as defined by the W3C recommendation "Trace Context".

use std::fmt;

/// The name of the trace context header, in HTTP and in messages.
pub const TRACEPARENT: &str = "traceparent";
/// The name of the header that other systems use for their data. We copy its value.
pub const TRACESTATE: &str = "tracestate";
/// The maximum length of a `tracestate`, in bytes. It is the minimum that the recommendation requires.
pub const MAX_TRACESTATE: usize = 512;

/// The trace context of one span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The id of the trace. Never 0.
    pub trace_id: u128,
    /// The id of the span. Never 0.
    pub span_id: u64,
    /// Whether the spans of the trace are recorded.
    pub sampled: bool,
}

impl Trace {
    /// Starts a new trace.
    pub fn begin(sampled: bool) -> Self {
        Self { trace_id: fastrand::u128(1..), span_id: new_span_id(), sampled }
    }

    /// A new span in the same trace, below this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span_id: new_span_id(), ..*self }
    }

    /// Parses a `traceparent`. An unknown version is parsed like version 00, as the recommendation requires.
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

    /// The id of the trace, for the log.
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

/// The id of a trace. It is displayed in hexadecimal.
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
    fn examples_of_the_recommendation_are_parsed() {
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
        fn a_formatted_trace_context_is_parsed_again(trace_id in 1u128.., span_id in 1u64.., sampled: bool) {
            let trace = Trace { trace_id, span_id, sampled };
            prop_assert_eq!(Trace::parse(&trace.to_string()), Some(trace));
        }

        #[test]
        fn any_text_is_parsed_without_a_panic(text in "\\PC{0,60}") {
            let _ = Trace::parse(&text);
        }
    }
}
