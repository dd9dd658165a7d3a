//! The dead-lettered messages: groups, one message, edit and retry, and jobs that replay, archive or discard.

use actix_web::web::ServiceConfig;

/// The state of the dead-lettered messages in the console: the job, and what was read last.
#[derive(Default)]
pub(super) struct DeadLetters {}

/// Registers the paths below `/console/api/dead-letters`.
pub(super) fn routes(_config: &mut ServiceConfig) {}
