//! `GET /console/api/dead-letters/groups`: how many messages wait, by reason and operation.
//!
//! Rule of this file: reading the queue excludes every other reader, so an answer is used again for some seconds.

use super::selection::SelectionRequest;
use super::{blocking, with_queue};
use crate::console::access::Operator;
use crate::console::problem::Problem;
use crate::console::{Console, Parts};
use crate::dlq::{group, rfc3339};
use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer is used again.
const FRESH: Duration = Duration::from_secs(3);
/// The most selections whose answers are kept.
const MAX_ANSWERS: usize = 32;

/// The last answers. Locked while the queue is read, so that equal requests read it once.
#[derive(Default)]
pub(super) struct GroupsCache(Mutex<Vec<(String, Instant, Value)>>);

impl GroupsCache {
    /// Forgets the answers, because the queue was changed.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn get_or_read(&self, key: String, read: impl FnOnce() -> Result<Value, Problem>) -> Result<Value, Problem> {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|(_, at, _)| at.elapsed() < FRESH);
        if let Some((_, _, answer)) = answers.iter().find(|(cached, ..)| *cached == key) {
            return Ok(answer.clone());
        }
        let answer = read()?;
        if answers.len() < MAX_ANSWERS {
            answers.push((key, Instant::now(), answer.clone()));
        }
        Ok(answer)
    }
}

pub(super) async fn groups(
    console: Data<Console>,
    _operator: Operator,
    parameters: Query<Vec<(String, String)>>,
) -> Result<HttpResponse, Problem> {
    let request = SelectionRequest::from_parameters(parameters.into_inner())?;
    let parts = console.parts()?;
    let answer = blocking(move || {
        let cache = &console.0.dead_letters.groups;
        cache.get_or_read(request.text(), || read(&console, &parts, &request))
    });
    Ok(HttpResponse::Ok().json(answer.await?))
}

fn read(console: &Console, parts: &Parts, request: &SelectionRequest) -> Result<Value, Problem> {
    let read_at = chrono::Utc::now();
    let (groups, others) = with_queue(console, parts, |run| group(run, &request.selection))?;
    let selected = groups.total();
    let groups: Vec<Value> = groups
        .sorted()
        .into_iter()
        .map(|((reason, operation), group)| {
            json!({
                "reason": reason,
                "operation": operation,
                "messages": group.count,
                "oldest": group.oldest.map(rfc3339),
                "newest": group.newest.map(rfc3339),
                "last_hour": group.last_hour,
            })
        })
        .collect();
    Ok(json!({
        "read_at": rfc3339(read_at),
        "total": selected + others.total(),
        "selected": selected,
        "groups": groups,
        "command": request.command(parts.data_folder.as_deref(), "list", ""),
    }))
}
