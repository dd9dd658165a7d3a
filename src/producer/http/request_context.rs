//! What is known about a request while it is handled: its place in a trace, the operation it asks for, its caller.

use crate::domain::OperationId;
use crate::telemetry::spans;
use crate::telemetry::trace::{MAX_TRACESTATE, TRACEPARENT, TRACESTATE, Trace};
use actix_web::http::header::HeaderMap;
use std::cell::{Cell, OnceCell};
use std::sync::Arc;

/// Where a request stands in its trace, and what it leads to.
pub(crate) struct RequestContext {
    pub(crate) trace: Trace,
    pub(crate) parent: Option<u64>,
    /// What other systems added to the trace, to be carried along.
    pub(crate) state: Option<String>,
    pub(crate) operation: Cell<Option<OperationId>>,
    pub(crate) caller: OnceCell<Arc<str>>,
}

impl RequestContext {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        // One that cannot be read begins a new trace, as the recommendation asks.
        let sender = text(TRACEPARENT).and_then(Trace::parse);
        Self {
            trace: sender.map_or_else(|| Trace::begin(spans::sample()), |sender| sender.child()),
            parent: sender.map(|sender| sender.span_id),
            state: text(TRACESTATE).filter(|text| sender.is_some() && text.len() <= MAX_TRACESTATE).map(str::to_owned),
            operation: Cell::new(None),
            caller: OnceCell::new(),
        }
    }

    /// Notes the operation that the request asks for.
    pub(crate) fn set_operation(&self, operation: OperationId) {
        self.operation.set(Some(operation));
    }

    /// Notes what the caller's key or client is called.
    pub(crate) fn set_caller(&self, name: Arc<str>) {
        // Once a request.
        let _ = self.caller.set(name);
    }
}
