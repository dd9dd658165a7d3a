//! The dead-lettered messages: groups, one message, fix and send, and jobs that replay, archive or discard.
//!
//! Rule of this module: it does with a dead letter only what an operation of `dlq` does. A changing job works on the
//! messages that it found at its start, and only if they are not more than the operator agreed to. Whoever may only
//! read sees no personal data. An act that changes something or shows personal data is a line in the log.

mod archive;
mod audit;
mod body;
mod fix;
mod groups;
mod job;
mod jobs;
mod messages;
mod queue;
mod selection;

use super::{Console, Parts};
use crate::console::problem::Problem;
use crate::dlq::{Answer, DlqError, NoProgress, Operator, Progress, Question, Run};
use crate::queue::{DeadLetterQueue, QueueError};
use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use groups::GroupsCache;
use jobs::Jobs;
use queue::Turns;

/// The state of the dead-lettered messages in the console: the job, and what was read last.
#[derive(Default)]
pub(super) struct DeadLetters {
    turns: Turns,
    groups: GroupsCache,
    jobs: Jobs,
}

impl DeadLetters {
    /// The queue, for a request that only reads. It waits its turn: a job of this process must not find the queue taken.
    pub(super) fn open_to_read(&self, parts: &Parts) -> Result<impl DeadLetterQueue, QueueError> {
        self.turns.open(parts, queue::Holder::Reader)
    }
}

/// Registers the paths below `/console/api/dead-letters`.
pub(super) fn routes(config: &mut ServiceConfig) {
    let paths = web::scope("/dead-letters")
        .route("/groups", web::get().to(groups::groups))
        .route("/messages", web::get().to(messages::messages))
        .route("/messages/{id}", web::get().to(messages::message))
        .route("/messages/{id}/reveal", web::post().to(messages::reveal))
        .route("/messages/{id}/fix", web::post().to(fix::send_fixed))
        .route("/jobs", web::post().to(jobs::start))
        .route("/jobs/current", web::get().to(jobs::current))
        .route("/jobs/{id}/pause", web::post().to(jobs::pause))
        .route("/jobs/{id}/resume", web::post().to(jobs::resume))
        .route("/jobs/{id}/cancel", web::post().to(jobs::cancel))
        .route("/jobs/{id}/archive", web::get().to(archive::download));
    config.service(paths);
}

/// Runs work that blocks on a thread for it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Problem> + Send + 'static) -> Result<T, Problem> {
    web::block(work).await.map_err(|_stopping| Problem::not_started())?
}

/// An operator who only reads: nobody waits at a terminal.
struct Reader;

impl Operator for Reader {
    fn confirm(&self, _question: Question<'_>) -> Result<Answer, DlqError> {
        Ok(Answer::No)
    }

    fn note(&self, _text: &str) -> Result<(), DlqError> {
        Ok(())
    }

    fn progress(&self, _activity: crate::dlq::Activity, _total: usize) -> Box<dyn Progress> {
        Box::new(NoProgress)
    }
}

/// Runs a reading operation on the dead letter queue.
fn with_queue<T>(
    console: &Console,
    parts: &Parts,
    work: impl FnOnce(&Run<'_>) -> Result<T, DlqError>,
) -> Result<T, Problem> {
    let result = console.0.dead_letters.open_to_read(parts).map_err(DlqError::Queue).and_then(|queue| {
        work(&Run {
            queue: &queue,
            publisher: &parts.publisher,
            open_store: &*parts.open_store,
            stop: &parts.stop,
            operator: &Reader,
        })
    });
    result.map_err(|error| problem(&error))
}

/// The code of an error, for the page.
const fn code(error: &DlqError) -> &'static str {
    match error {
        DlqError::Usage(_) => "invalid_request",
        DlqError::NoStore(_) => "database_unavailable",
        DlqError::Queue(QueueError::Busy(_)) => "queue_busy",
        DlqError::Queue(QueueError::Lost(_)) => "queue_unavailable",
        DlqError::Queue(QueueError::Misconfigured(_)) => "queue_misconfigured",
        DlqError::Failed(_) | DlqError::Output(_) => "failed",
    }
}

fn problem(error: &DlqError) -> Problem {
    let wait = match error {
        DlqError::Usage(detail) => return Problem::invalid(detail),
        DlqError::Queue(QueueError::Busy(_)) => 2,
        _ => 5,
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code(error), error.to_string()).retry_after(wait)
}
