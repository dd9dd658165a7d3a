//! `POST /subjects/find`, `/export` and `/erase`: the rights of a person, for a caller with a scope of its own.
//!
//! Rule of this file: an error never repeats a value of the person.

use super::body;
use crate::domain::{ContactId, Email, Invalid, Name, Phone};
use crate::producer::auth::require_subjects;
use crate::producer::problems::{FieldError, FieldLocation, Kind, Problem};
use crate::producer::state::AppState;
use crate::store::StoreError;
use crate::subject::{self, ErasedView, FoundView, Sources, Subject, SubjectError};
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{self, Data, Payload};
use actix_web::{HttpRequest, HttpResponse, Route};
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Opens the database and the queues for one request.
pub type OpenSources = Arc<dyn Fn() -> Result<Sources, SubjectError> + Send + Sync>;

/// Searches for a person. There is one at a time: each reads the whole dead letter queue.
pub(crate) struct Subjects {
    open: OpenSources,
    permit: Arc<Semaphore>,
}

impl Subjects {
    pub(crate) fn new(open: OpenSources) -> Self {
        Self { open, permit: Arc::new(Semaphore::new(1)) }
    }

    /// Does the work on a blocking thread. It continues if the client leaves: half of an erasure is no answer.
    async fn run<T: Serialize + Send + 'static>(
        &self,
        work: impl FnOnce(&mut Sources) -> Result<T, SubjectError> + Send + 'static,
    ) -> Result<HttpResponse, Problem> {
        let busy =
            || Problem::reads_unavailable_because("Another search for a person runs. Send the request again later.");
        let permit = self.permit.clone().try_acquire_owned().map_err(|_busy| busy())?;
        let open = self.open.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&mut open()?)
        });
        let failed = |error: SubjectError| {
            tracing::warn!(%error, "a search for a person failed");
            match error {
                SubjectError::Store(StoreError::Misconfigured(_)) => {
                    Problem::new(Kind::Internal, "This version cannot read the data.")
                }
                _ => Problem::reads_unavailable_because(
                    "The database or the dead letter queue cannot be used now. An erasure that began is finished by the \
                     same request.",
                ),
            }
        };
        let result = task.await.map_err(|_panicked| Problem::new(Kind::Internal, "The search did not finish."))?;
        let view = result.map_err(failed)?;
        Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(view))
    }
}

const UNKNOWN: Invalid = Invalid::new("unknown_field", "is not a field: phone, email, name, id");
const NOT_TEXT: Invalid = Invalid::new("wrong_type", "must be a string");
const NOT_AN_ID: Invalid = Invalid::new("malformed", "must be a UUID");
const NOT_OBJECT: Invalid = Invalid::new("wrong_type", "must be an object with phone, email, name or id");
const EMPTY: Invalid = Invalid::new("required", "must have at least one of phone, email, name, id");

/// Reads the person of a request.
async fn read(api: &AppState, request: &HttpRequest, payload: Payload) -> Result<Subject, Problem> {
    let members = body::read_members(api, request, payload, NOT_OBJECT).await?;
    let error = |field: &str, invalid| FieldError::new(FieldLocation::Body, field, invalid);
    let (mut subject, mut errors) = (Subject::default(), Vec::new());
    for (name, value) in &members {
        let parsed = match (name.as_str(), value.as_str()) {
            ("phone", Some(text)) => Phone::parse(text).map(|phone| subject.phones.push(phone)),
            ("email", Some(text)) => Email::from_accepted(text).map(|email| subject.emails.push(email)),
            ("name", Some(text)) => Name::from_accepted(text).map(|name| subject.names.push(name)),
            ("id", Some(text)) => {
                text.parse().map(|id: ContactId| subject.contacts.push(id)).map_err(|_malformed| NOT_AN_ID)
            }
            ("phone" | "email" | "name" | "id", None) => Err(NOT_TEXT),
            _ => Err(UNKNOWN),
        };
        errors.extend(parsed.err().map(|invalid| error(name, invalid)));
    }
    if errors.is_empty() && subject.is_empty() {
        errors.push(error("(body)", EMPTY));
    }
    if errors.is_empty() { Ok(subject) } else { Err(Problem::validation(errors)) }
}

/// A `POST` that names a person and answers with the result of `work`.
fn route<T: Serialize + Send + 'static>(work: fn(&mut Sources, &Subject) -> Result<T, SubjectError>) -> Route {
    web::post().to(
        move |api: Data<AppState>, subjects: Data<Subjects>, request: HttpRequest, payload: Payload| async move {
            require_subjects(&request)?;
            let subject = read(&api, &request, payload).await?;
            subjects.run(move |sources| work(sources, &subject)).await
        },
    )
}

pub(crate) fn find() -> Route {
    route(|sources, subject| Ok(FoundView::from(&subject::find(sources, subject)?)))
}

pub(crate) fn export() -> Route {
    route(subject::export)
}

pub(crate) fn erase() -> Route {
    route(|sources, subject| Ok(ErasedView::from(&subject::erase(sources, subject)?)))
}
