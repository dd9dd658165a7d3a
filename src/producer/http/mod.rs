//! HTTP itself: heads, bodies, conditional headers, connections, what is observed of each request.
//!
//! The rule this room keeps: it must not know contacts, queues or stores.

pub(crate) mod conditional;
pub(crate) mod connections;
pub(crate) mod cors;
pub(crate) mod head;
pub(crate) mod observe;
pub(crate) mod parameters;
pub(crate) mod prefer;
pub(crate) mod request_context;
pub(crate) mod request_metrics;
pub(crate) mod static_file;
