//! A job: a run of `replay`, `discard` or `archive` that an operator started and can watch, pause and cancel.

use super::selection::SelectionRequest;
use crate::dlq::{Activity, Answer, DlqError, EndedEarly, Operator, Outcomes, Progress, Question, Report};
use crate::domain::Timestamp;
use crate::stop::Stop;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Replay,
    Discard,
    Archive,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Discard => "discard",
            Self::Archive => "archive",
        }
    }
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Done,
    Cancelled,
    Failed,
}

impl End {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Selecting,
    Canary,
    Running,
    WaitingForResults,
}

/// A job. Its thread and the requests share it.
pub(super) struct Job {
    pub(super) id: Uuid,
    pub(super) kind: Kind,
    pub(super) selection: SelectionRequest,
    /// The command line that does the same.
    pub(super) command: String,
    /// The operator who started it.
    pub(super) operator: String,
    started_at: Timestamp,
    status: Mutex<Status>,
}

struct Status {
    stop: Stop,
    phase: Phase,
    paused: bool,
    cancelled: bool,
    selected: Option<usize>,
    done: usize,
    outcomes: Outcomes,
    notes: Vec<String>,
    /// Why it did not do everything.
    code: Option<&'static str>,
    end: Option<(End, Timestamp)>,
}

impl Job {
    pub(super) fn new(kind: Kind, selection: SelectionRequest, command: String, operator: String, stop: Stop) -> Self {
        Self {
            id: Uuid::new_v4(),
            kind,
            selection,
            command,
            operator,
            started_at: chrono::Utc::now(),
            status: Mutex::new(Status {
                stop,
                phase: Phase::Selecting,
                paused: false,
                cancelled: false,
                selected: None,
                done: 0,
                outcomes: Outcomes::default(),
                notes: Vec::new(),
                code: None,
                end: None,
            }),
        }
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_running(&self) -> bool {
        self.status().end.is_none()
    }

    pub(super) fn stop(&self) -> Stop {
        self.status().stop.clone()
    }

    pub(super) fn selected(&self) -> usize {
        self.status().selected.unwrap_or_default()
    }

    pub(super) fn done(&self) -> usize {
        self.status().done
    }

    pub(super) fn set_selected(&self, count: usize) {
        self.status().selected = Some(count);
    }

    /// Runs again: an archive is downloaded after its messages were selected.
    pub(super) fn restart(&self, stop: Stop) {
        let mut status = self.status();
        (status.stop, status.phase, status.done, status.end) = (stop, Phase::Running, 0, None);
        (status.cancelled, status.code) = (false, None);
    }

    /// Pauses the job, or lets it go on. Returns false if it cannot be paused now.
    pub(super) fn set_paused(&self, paused: bool) -> bool {
        let mut status = self.status();
        let can_pause = self.kind != Kind::Archive
            && status.end.is_none()
            && matches!(status.phase, Phase::Selecting | Phase::Canary | Phase::Running);
        if can_pause {
            status.paused = paused;
        }
        can_pause
    }

    /// Stops the job after the message that it sends now. Returns false if it has ended.
    pub(super) fn cancel(&self) -> bool {
        let mut status = self.status();
        let is_running = status.end.is_none();
        if is_running {
            status.cancelled = true;
            status.stop.request();
        }
        is_running
    }

    pub(super) fn note(&self, text: &str) {
        self.status().notes.push(text.to_owned());
    }

    /// Records the end. Returns it.
    pub(super) fn finish(&self, result: Result<Report, (&'static str, String)>) -> End {
        let mut status = self.status();
        let mut end = End::Done;
        match result {
            Ok(report) => {
                (status.selected, status.done) = (Some(report.selected), report.done);
                status.notes.extend(report.notes);
                if let Some(outcomes) = report.outcomes {
                    status.outcomes = outcomes;
                }
                (status.code, end) = match report.ended_early {
                    None => (status.code, end),
                    Some(EndedEarly::MessagesMissing) => (Some("messages_missing"), end),
                    Some(EndedEarly::CanaryNotSent) => (Some("canary_not_sent"), End::Failed),
                    Some(EndedEarly::CanaryFailed) => (Some("canary_failed"), End::Failed),
                    Some(EndedEarly::QueueFailed) => (Some("queue_unavailable"), End::Failed),
                };
            }
            Err((code, detail)) => {
                status.code = Some(code);
                status.notes.push(detail);
                end = End::Failed;
            }
        }
        if status.stop.is_set() {
            end = End::Cancelled;
            if !status.cancelled {
                status.notes.push("the process stopped".to_owned());
            }
        }
        status.end = Some((end, chrono::Utc::now()));
        end
    }

    /// The job as the page shows it.
    pub(super) fn view(&self) -> Value {
        let status = self.status();
        let state = match (status.end, status.phase) {
            (Some((End::Done, _)), _) => "done",
            (Some((End::Cancelled, _)), _) => "cancelled",
            (Some((End::Failed, _)), _) => "failed",
            (None, Phase::WaitingForResults) => "waiting_for_results",
            (None, _) if status.paused => "paused",
            (None, Phase::Selecting) => "selecting",
            (None, Phase::Canary) => "canary",
            (None, Phase::Running) => "running",
        };
        let Outcomes { applied, superseded, failed_again, not_known } = &status.outcomes;
        json!({
            "id": self.id,
            "kind": self.kind.name(),
            "selection": self.selection.to_json(),
            "command": self.command,
            "state": state,
            "code": status.code,
            "selected": status.selected,
            "done": status.done,
            "outcomes": {
                "applied": applied,
                "superseded": superseded,
                "failed_again": failed_again.values().sum::<usize>(),
                "not_known": not_known,
            },
            "failed_again": failed_again,
            "notes": status.notes,
            "started_at": self.started_at,
            "ended_at": status.end.map(|(_, at)| at),
            "operator": self.operator,
        })
    }
}

/// What the operator's consent means for the messages that a job found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    Given,
    /// There are now more messages than the operator agreed to.
    Exceeded,
}

/// The operator of a job: agreed in advance, and watches through [`Job::view`].
pub(super) struct JobOperator<F> {
    pub(super) job: Arc<Job>,
    /// The most messages that the operator agreed to.
    pub(super) expected: usize,
    /// Called when the messages are found.
    pub(super) decided: F,
}

impl<F: Fn(Consent)> Operator for JobOperator<F> {
    fn confirm(&self, question: Question<'_>) -> Result<Answer, DlqError> {
        let mut status = self.job.status();
        status.selected = Some(question.count);
        let consent = if question.count > self.expected {
            status.code = Some("selection_changed");
            Consent::Exceeded
        } else {
            Consent::Given
        };
        drop(status);
        (self.decided)(consent);
        Ok(if consent == Consent::Given { Answer::Yes } else { Answer::No })
    }

    fn note(&self, text: &str) -> Result<(), DlqError> {
        self.job.note(text);
        Ok(())
    }

    fn progress(&self, activity: Activity, _total: usize) -> Box<dyn Progress> {
        let mut status = self.job.status();
        status.phase = match (activity, status.phase) {
            (Activity::Canary, _) => Phase::Canary,
            (Activity::Replay | Activity::Discard | Activity::Export | Activity::Send, _) => Phase::Running,
            // The result of the canary.
            (Activity::Results, Phase::Canary) => Phase::Canary,
            (Activity::Results, _) => Phase::WaitingForResults,
            (Activity::Read | Activity::Search | Activity::Check, phase) => phase,
        };
        let counts = matches!(activity, Activity::Canary | Activity::Replay | Activity::Discard | Activity::Export);
        Box::new(JobProgress { job: self.job.clone(), counts })
    }

    fn results(&self, outcomes: &Outcomes) {
        self.job.status().outcomes = outcomes.clone();
    }

    fn is_paused(&self) -> bool {
        self.job.status().paused
    }
}

struct JobProgress {
    job: Arc<Job>,
    /// Whether the activity processes messages.
    counts: bool,
}

impl Progress for JobProgress {
    fn advance(&self, by: usize) {
        if self.counts {
            self.job.status().done += by;
        }
    }
}
