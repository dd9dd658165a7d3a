//! The request context: trace, operation and caller of a request while it is handled.

use crate::domain::OperationId;
use crate::telemetry::spans;
use crate::telemetry::trace::{MAX_TRACESTATE, TRACEPARENT, TRACESTATE, Trace};
use actix_web::http::header::HeaderMap;
use std::cell::{Cell, OnceCell};
use std::sync::Arc;

/// The trace, the operation and the caller of one request.
pub(crate) struct RequestContext {
    pub(crate) trace: Trace,
    pub(crate) parent_span_id: Option<u64>,
    /// The `tracestate` of the request. The message carries it.
    pub(crate) tracestate: Option<String>,
    pub(crate) operation: Cell<Option<OperationId>>,
    pub(crate) caller: OnceCell<Arc<str>>,
}

impl RequestContext {
    pub(crate) fn from_headers(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        // An invalid `traceparent` starts a new trace, as the recommendation requires.
        let remote = text(TRACEPARENT).and_then(Trace::parse);
        Self {
            trace: remote.map_or_else(|| Trace::begin(spans::sample()), |remote| remote.child()),
            parent_span_id: remote.map(|remote| remote.span_id),
            tracestate: text(TRACESTATE)
                .filter(|text| remote.is_some() && text.len() <= MAX_TRACESTATE)
                .map(str::to_owned),
            operation: Cell::new(None),
            caller: OnceCell::new(),
        }
    }

    /// Sets the operation that the request creates.
    pub(crate) fn set_operation(&self, operation: OperationId) {
        self.operation.set(Some(operation));
    }

    /// Sets the name of the caller's key or client.
    pub(crate) fn set_caller(&self, name: Arc<str>) {
        // `auth::admit` calls this once for each request.
        let _ = self.caller.set(name);
    }
}
