//! HTTP: size limits, conditional headers, compression, parameters, connections, CORS, static files, and the log line and metrics of
//! each request.
//!
//! Rule of this module: it does not use contacts, queues or stores.

pub(crate) mod compress;
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
