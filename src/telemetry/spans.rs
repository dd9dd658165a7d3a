//! Spans: the steps of a trace. A build with the feature `otlp` sends them to an OpenTelemetry collector.
//!
//! Without this feature no spans are recorded. Messages still carry the trace context, and the log still has trace ids.

use super::trace::Trace;
use crate::config::TraceSettings;
use std::time::SystemTime;

/// The kind of a span, as defined by OpenTelemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Handles a request.
    Server,
    /// Publishes a message.
    Producer,
    /// Processes a message.
    Consumer,
    /// Sends a request to another system.
    Client,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text without personal data.
    Text(String),
    /// A whole number.
    Number(i64),
}

/// One finished span.
#[derive(Clone, Debug)]
pub struct Span {
    /// The trace context of the span.
    pub trace: Trace,
    /// The id of the parent span.
    pub parent: Option<u64>,
    /// The name.
    pub name: String,
    /// The kind.
    pub kind: Kind,
    /// The start time.
    pub began: SystemTime,
    /// The end time.
    pub ended: SystemTime,
    /// Attributes, with the names of OpenTelemetry if there is one.
    pub attributes: Vec<(&'static str, Value)>,
    /// Whether the step failed.
    pub failed: bool,
}

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("trace.otlp_url: {0}")]
pub struct SpansError(String);

#[cfg(not(feature = "otlp"))]
mod otlp {
    use super::{Span, SpansError, TraceSettings};

    pub(super) fn start(settings: &TraceSettings, _service: &str) -> Result<(), SpansError> {
        match settings.otlp_url {
            Some(_) => Err(SpansError("this build cannot send traces: build with --features otlp".into())),
            None => Ok(()),
        }
    }

    pub(super) const fn sample() -> bool {
        false
    }

    pub(super) fn send(_span: Span) {}

    pub(super) const fn finish() {}
}

#[cfg(feature = "otlp")]
mod otlp {
    use super::{Kind, Span, SpansError, TraceSettings, Value};
    use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
    use opentelemetry::{InstrumentationScope, KeyValue};
    use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanProcessor};
    use std::sync::OnceLock;
    use std::time::Duration;

    /// The timeout of one export.
    const TIMEOUT: Duration = Duration::from_secs(5);

    static SENDER: OnceLock<Sender> = OnceLock::new();

    struct Sender {
        processor: BatchSpanProcessor,
        ratio: f64,
        scope: InstrumentationScope,
    }

    pub(super) fn start(settings: &TraceSettings, service: &str) -> Result<(), SpansError> {
        let Some(url) = &settings.otlp_url else { return Ok(()) };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(url.reveal())
            .with_timeout(TIMEOUT)
            .build()
            .map_err(|error| SpansError(error.to_string()))?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        processor.set_resource(
            &Resource::builder()
                .with_service_name(service.to_owned())
                .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
                .build(),
        );
        let scope = InstrumentationScope::builder("contacts").with_version(env!("CARGO_PKG_VERSION")).build();
        // Only tests start two roles in one process. They keep the sender of the first role.
        let _ = SENDER.set(Sender { processor, ratio: settings.sample_ratio, scope });
        Ok(())
    }

    pub(super) fn sample() -> bool {
        SENDER.get().is_some_and(|sender| fastrand::f64() < sender.ratio)
    }

    pub(super) fn send(span: Span) {
        let Some(sender) = SENDER.get() else { return };
        let (trace_id, span_id) = (TraceId::from(span.trace.trace_id), SpanId::from(span.trace.span_id));
        let attribute = |(name, value)| match value {
            Value::Text(text) => KeyValue::new(name, text),
            Value::Number(number) => KeyValue::new(name, number),
        };
        sender.processor.on_end(SpanData {
            span_context: SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, false, TraceState::default()),
            parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from),
            parent_span_is_remote: matches!(span.kind, Kind::Server | Kind::Consumer),
            span_kind: match span.kind {
                Kind::Server => SpanKind::Server,
                Kind::Producer => SpanKind::Producer,
                Kind::Consumer => SpanKind::Consumer,
                Kind::Client => SpanKind::Client,
            },
            name: span.name.into(),
            start_time: span.began,
            end_time: span.ended,
            attributes: span.attributes.into_iter().map(attribute).collect(),
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: if span.failed { Status::error("") } else { Status::Unset },
            instrumentation_scope: sender.scope.clone(),
        });
    }

    pub(super) fn finish() {
        if let Some(sender) = SENDER.get()
            && let Err(error) = sender.processor.shutdown_with_timeout(TIMEOUT)
        {
            tracing::warn!(%error, "the last spans could not be sent");
        }
    }
}

/// Starts to send spans to `trace.otlp_url`, if it is set.
pub fn start(settings: &TraceSettings, service: &str) -> Result<(), SpansError> {
    otlp::start(settings, service)
}

/// Decides whether a new trace is sampled.
pub fn sample() -> bool {
    otlp::sample()
}

/// Sends the span that `describe` returns, if its trace is sampled. Never blocks.
pub fn record(trace: &Trace, describe: impl FnOnce() -> Span) {
    if cfg!(feature = "otlp") && trace.sampled {
        otlp::send(describe());
    }
}

/// Sends the remaining spans. Blocks for a few seconds at most.
pub fn finish() {
    otlp::finish();
}
