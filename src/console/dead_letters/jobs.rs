//! The routes of jobs, and the thread that runs one.
//!
//! Rule of this file: one job at a time. It ends with the process; the messages that it has not processed are then still
//! in the dead letter queue, and the page can start it again.

use super::archive::Archive;
use super::audit::audit;
use super::job::{Consent, Job, JobOperator, Kind};
use super::selection::SelectionRequest;
use super::{Console, code, problem, queue};
use crate::console::Parts;
use crate::console::access::{Operator, Writer};
use crate::console::problem::Problem;
use crate::dlq::{DlqError, Report, Run, SendOptions, discard, discard_selected, replay, select};
use crate::stop::Stop;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Json, Path};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;
use uuid::Uuid;

/// How long a request waits until the messages of its job are found.
const DECISION_TIMEOUT: Duration = Duration::from_secs(20);
const DEFAULT_RATE: u32 = 100;
const MAX_RATE: u32 = 100_000;
/// How long a replay waits for results after the last message.
const DEFAULT_WAIT_SECONDS: u64 = 60;
const MAX_WAIT_SECONDS: u64 = 3_600;

/// The current job, or the last one, and the last archive.
#[derive(Default)]
pub(super) struct Jobs {
    pub(super) current: Mutex<Option<Arc<Job>>>,
    pub(super) archive: Mutex<Option<Arc<Archive>>>,
}

impl Jobs {
    /// The job with this id, if it is the current one.
    fn get(&self, id: Uuid) -> Result<Arc<Job>, Problem> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.clone().filter(|job| job.id == id).ok_or_else(no_job)
    }

    /// Makes a job the current one, if no other runs. Returns the previous one.
    fn begin(&self, job: Arc<Job>) -> Result<Option<Arc<Job>>, Problem> {
        Ok(self.lock_idle()?.replace(job))
    }

    /// Lets a job that has ended run again, if no other runs.
    pub(super) fn begin_again(&self, job: &Arc<Job>, stop: Stop) -> Result<(), Problem> {
        let mut current = self.lock_idle()?;
        job.restart(stop);
        *current = Some(job.clone());
        Ok(())
    }

    /// The current job, which has ended.
    fn lock_idle(&self) -> Result<MutexGuard<'_, Option<Arc<Job>>>, Problem> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = current.as_ref().filter(|current| current.is_running()) {
            let detail = format!("{} runs a {} job. Wait until it ends.", running.operator, running.kind.name());
            return Err(Problem::new(StatusCode::CONFLICT, "job_running", detail).with("job", running.view()));
        }
        Ok(current)
    }

    /// Shows the previous job again, if this one was refused before it began.
    fn withdraw(&self, job: &Arc<Job>, previous: Option<Arc<Job>>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, job)) {
            *current = previous;
        }
    }

    pub(super) fn find_archive(&self, id: Uuid) -> Result<Arc<Archive>, Problem> {
        let archive = self.archive.lock().unwrap_or_else(PoisonError::into_inner);
        archive.clone().filter(|archive| archive.job.id == id).ok_or_else(|| {
            let detail = "This archive is no longer known. Select its messages again.";
            Problem::new(StatusCode::NOT_FOUND, "no_such_archive", detail)
        })
    }
}

fn no_job() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no_such_job", "There is no such job. It ended with its process, or never was.")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobRequest {
    kind: Kind,
    #[serde(default)]
    selection: Map<String, Value>,
    /// Discard exactly the messages of this archive.
    archive: Option<Uuid>,
    rate: Option<u32>,
    /// In seconds.
    wait: Option<u64>,
    canary: Option<bool>,
    /// How many messages the operator saw, and agreed to.
    expected: Option<usize>,
}

/// What a job does.
enum Plan {
    Replay { options: SendOptions, canary: bool },
    Discard,
    DiscardArchive(Arc<Archive>),
    Archive,
}

pub(super) async fn start(
    console: Data<Console>,
    Writer(operator): Writer,
    request: Json<JobRequest>,
) -> Result<HttpResponse, Problem> {
    let (request, parts) = (request.into_inner(), console.parts()?);
    let (plan, selection, arguments) = plan(&console, &request)?;
    let expected = match (&plan, request.expected) {
        (Plan::Archive, expected) => expected.unwrap_or(usize::MAX),
        (Plan::DiscardArchive(_), _) => usize::MAX,
        (Plan::Replay { .. } | Plan::Discard, Some(expected)) => expected,
        (Plan::Replay { .. } | Plan::Discard, None) => {
            return Err(Problem::invalid("expected is the number of messages that you saw and agree to"));
        }
    };
    let folder = parts.data_folder.as_deref();
    let command = match plan {
        Plan::Archive => selection.command(folder, "export - --keep", "> dead-letters.ndjson"),
        Plan::DiscardArchive(_) => selection.command(folder, "export dead-letters.ndjson", &arguments),
        Plan::Replay { .. } | Plan::Discard => selection.command(folder, request.kind.name(), &arguments),
    };
    let job = Arc::new(Job::new(request.kind, selection, command, operator.name, parts.stop.child()));
    let previous = console.0.dead_letters.jobs.begin(job.clone())?;
    let (sender, decision) = oneshot::channel();
    let spawned = thread::Builder::new().name("console-job".into()).spawn({
        let (console, job) = (console.clone(), job.clone());
        move || run(&console, &parts, &job, plan, expected, sender)
    });
    if let Err(error) = spawned {
        console.0.dead_letters.jobs.withdraw(&job, previous);
        let detail = format!("A thread for the job could not be started: {error}.");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "failed", detail));
    }
    match tokio::time::timeout(DECISION_TIMEOUT, decision).await {
        Ok(Ok(Err(problem))) => {
            console.0.dead_letters.jobs.withdraw(&job, previous);
            Err(problem)
        }
        // Begun, ended, or still selecting: the page reads on.
        Ok(Ok(Ok(())) | Err(_)) | Err(_) => Ok(HttpResponse::Accepted().json(job.view())),
    }
}

/// What to do, with which messages, and the arguments of the command line.
fn plan(console: &Console, request: &JobRequest) -> Result<(Plan, SelectionRequest, String), Problem> {
    if let Some(id) = request.archive {
        if request.kind != Kind::Discard || !request.selection.is_empty() {
            return Err(Problem::invalid("archive is for a discard job without a selection"));
        }
        let archive = console.0.dead_letters.jobs.find_archive(id)?;
        if !archive.is_complete() {
            let detail = "The archive was not downloaded to its end, so nothing can be discarded.";
            return Err(Problem::new(StatusCode::CONFLICT, "archive_incomplete", detail));
        }
        let selection = archive.job.selection.clone();
        return Ok((Plan::DiscardArchive(archive), selection, "--yes".to_owned()));
    }
    let selection = SelectionRequest::from_json(request.selection.clone())?;
    if !selection.selection.has_criteria() {
        return Err(Problem::invalid("select the messages, or all of them with \"all\": true"));
    }
    let rate = request.rate.unwrap_or(DEFAULT_RATE);
    let wait = request.wait.unwrap_or(DEFAULT_WAIT_SECONDS);
    if !(1..=MAX_RATE).contains(&rate) || wait > MAX_WAIT_SECONDS {
        return Err(Problem::invalid(format!("rate is from 1 to {MAX_RATE}, wait is from 0 to {MAX_WAIT_SECONDS} s")));
    }
    Ok(match request.kind {
        Kind::Replay => {
            let canary = request.canary.unwrap_or(true);
            let mut arguments = format!("--rate {rate}");
            if wait != DEFAULT_WAIT_SECONDS {
                arguments.push_str(&format!(" --wait {wait}s"));
            }
            arguments.push_str(if canary { " --yes" } else { " --no-canary --yes" });
            let options = SendOptions { rate, wait: Duration::from_secs(wait) };
            (Plan::Replay { options, canary }, selection, arguments)
        }
        Kind::Discard => (Plan::Discard, selection, "--yes".to_owned()),
        Kind::Archive => (Plan::Archive, selection, String::new()),
    })
}

/// The decision whether a job begins, for the request that started it.
type Decision = oneshot::Sender<Result<(), Problem>>;

/// The thread of a job.
fn run(console: &Console, parts: &Parts, job: &Arc<Job>, plan: Plan, expected: usize, decision: Decision) {
    let decision = Mutex::new(Some(decision));
    // The request may not wait any more.
    let decide = |result| {
        let sender = decision.lock().unwrap_or_else(PoisonError::into_inner).take();
        sender.is_some_and(|sender| sender.send(result).is_ok())
    };
    let line = |messages, outcome: &str| {
        audit(&job.operator, job.kind.name(), &job.selection.text(), messages, outcome);
    };
    let decided = |consent| match consent {
        Consent::Given => {
            line(job.selected(), "started");
            decide(Ok(()));
        }
        Consent::Exceeded => {
            let selected = job.selected();
            let detail = format!("The selection now has {selected} messages. You agreed to {expected}.");
            let problem = Problem::new(StatusCode::CONFLICT, "selection_changed", detail);
            decide(Err(problem.with("selected", selected)));
        }
    };
    let operator = JobOperator { job: job.clone(), expected, decided: &decided };
    // A job must not stop a role, so its panic ends here.
    let result = catch_unwind(AssertUnwindSafe(|| {
        let queue = console.0.dead_letters.turns.open(parts, queue::Holder::Job)?;
        let stop = &job.stop();
        let (publisher, open_store) = (&parts.publisher, &*parts.open_store);
        perform(console, job, plan, &Run { queue: &queue, publisher, open_store, stop, operator: &operator }, decided)
    }));
    console.0.dead_letters.groups.clear();
    let result = match result {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(error)) => {
            decide(Err(problem(&error)));
            Err((code(&error), error.to_string()))
        }
        Err(_panic) => Err(("failed", "the job failed: the log has the reason".to_owned())),
    };
    let refused = result.as_ref().is_ok_and(|report| report.declined);
    let result = if refused { Err(("selection_changed", "nothing was changed".to_owned())) } else { result };
    let end = job.finish(result);
    line(job.done(), if refused { "selection_changed" } else { end.as_str() });
}

fn perform(
    console: &Console,
    job: &Arc<Job>,
    plan: Plan,
    run: &Run<'_>,
    decided: impl Fn(Consent),
) -> Result<Report, DlqError> {
    match plan {
        Plan::Replay { options, canary } => replay(run, &job.selection.selection, &options, canary),
        Plan::Discard => discard_selected(run, &job.selection.selection),
        Plan::DiscardArchive(archive) => {
            let mut messages = archive.take_copied();
            job.set_selected(messages.len());
            decided(Consent::Given);
            let report = discard(run, &mut messages);
            // What is left can be discarded later.
            archive.set_copied(messages);
            Ok(report)
        }
        Plan::Archive => {
            let (messages, _, _) = select(run, &job.selection.selection)?;
            job.set_selected(messages.len());
            let report = Report::of(messages.len(), 0);
            let archive = Archive::new(job.clone(), messages);
            *console.0.dead_letters.jobs.archive.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Arc::new(archive));
            decided(Consent::Given);
            Ok(report)
        }
    }
}

pub(super) async fn current(console: Data<Console>, _operator: Operator) -> Result<HttpResponse, Problem> {
    let jobs = &console.0.dead_letters.jobs;
    let job = jobs.current.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(no_job)?;
    let mut view = job.view();
    if let (Ok(archive), Some(view)) = (jobs.find_archive(job.id), view.as_object_mut()) {
        view.insert("archive".to_owned(), archive.view());
    }
    Ok(HttpResponse::Ok().json(view))
}

pub(super) async fn pause(console: Data<Console>, writer: Writer, id: Path<Uuid>) -> Result<HttpResponse, Problem> {
    set_paused(&console, &writer, id.into_inner(), true)
}

pub(super) async fn resume(console: Data<Console>, writer: Writer, id: Path<Uuid>) -> Result<HttpResponse, Problem> {
    set_paused(&console, &writer, id.into_inner(), false)
}

fn set_paused(console: &Console, Writer(operator): &Writer, id: Uuid, paused: bool) -> Result<HttpResponse, Problem> {
    let job = console.0.dead_letters.jobs.get(id)?;
    if !job.set_paused(paused) {
        let detail = "The job has ended, or it only waits for results.";
        return Err(Problem::new(StatusCode::CONFLICT, "job_cannot_pause", detail).with("job", job.view()));
    }
    let outcome = if paused { "paused" } else { "resumed" };
    audit(&operator.name, job.kind.name(), &job.selection.text(), job.done(), outcome);
    Ok(HttpResponse::Ok().json(job.view()))
}

pub(super) async fn cancel(
    console: Data<Console>,
    Writer(operator): Writer,
    id: Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let job = console.0.dead_letters.jobs.get(id.into_inner())?;
    if job.cancel() {
        audit(&operator.name, job.kind.name(), &job.selection.text(), job.done(), "cancel requested");
    }
    Ok(HttpResponse::Ok().json(job.view()))
}
