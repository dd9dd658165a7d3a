//! Problem documents: every error of the API, RFC 9457.

use crate::domain::Invalid;
use crate::queue::PublishError;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use std::fmt;

/// What kind of error; each has its own stable type URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A field, parameter or header is wrong.
    Validation,
    /// The body is not JSON.
    MalformedJson,
    /// The `Idempotency-Key` was used for another request.
    IdempotencyKeyReused,
    /// `If-Match` names a version that is not current.
    VersionConflict,
    /// No such route, contact or operation.
    NotFound,
    /// The route has other methods.
    MethodNotAllowed,
    /// The body is larger than allowed.
    BodyTooLarge,
    /// The body has another type than JSON.
    UnsupportedMediaType,
    /// The body did not arrive in time.
    RequestTimeout,
    /// No valid API key.
    Unauthorized,
    /// The queue did not confirm the change.
    NotAccepted,
    /// The database cannot be read now.
    ReadsUnavailable,
    /// A fault of ours.
    Internal,
}

impl Kind {
    const fn slug(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::MalformedJson => "malformed-json",
            Self::IdempotencyKeyReused => "idempotency-key-reused",
            Self::VersionConflict => "version-conflict",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::BodyTooLarge => "body-too-large",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::RequestTimeout => "request-timeout",
            Self::Unauthorized => "unauthorized",
            Self::NotAccepted => "not-accepted",
            Self::ReadsUnavailable => "reads-unavailable",
            Self::Internal => "internal",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Validation => "The request is not valid",
            Self::MalformedJson => "The body is not JSON",
            Self::IdempotencyKeyReused => "The Idempotency-Key was used for another request",
            Self::VersionConflict => "The contact has another version",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "The method is not allowed here",
            Self::BodyTooLarge => "The body is too large",
            Self::UnsupportedMediaType => "The body must be JSON",
            Self::RequestTimeout => "The body did not arrive in time",
            Self::Unauthorized => "A valid API key is needed",
            Self::NotAccepted => "The change was not accepted",
            Self::ReadsUnavailable => "The data cannot be read at the moment",
            Self::Internal => "Something went wrong here",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Validation | Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::MalformedJson => StatusCode::BAD_REQUEST,
            Self::VersionConflict => StatusCode::PRECONDITION_FAILED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotAccepted | Self::ReadsUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Where a wrong value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// A field of the JSON body.
    Body,
    /// A query parameter.
    Query,
    /// A part of the path.
    Path,
    /// A header.
    Header,
}

/// One wrong value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where it stands.
    #[serde(rename = "in")]
    pub place: Place,
    /// The field's, parameter's or header's name.
    pub field: String,
    /// A stable code for programs.
    pub code: &'static str,
    /// What would be right, for people.
    pub detail: &'static str,
}

impl FieldError {
    pub(super) fn new(place: Place, field: impl Into<String>, invalid: Invalid) -> Self {
        Self { place, field: field.into(), code: invalid.code, detail: invalid.detail }
    }
}

/// An error as the API answers it.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: Kind,
    detail: String,
    reason: Option<&'static str>,
    errors: Vec<FieldError>,
    header: Option<(actix_web::http::header::HeaderName, &'static str)>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), reason: None, errors: Vec::new(), header: None }
    }

    pub(super) fn validation(errors: Vec<FieldError>) -> Self {
        let names: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        let detail = format!("Not valid: {}.", names.join(", "));
        Self { errors, ..Self::new(Kind::Validation, detail) }
    }

    pub(super) fn field(place: Place, field: &str, code: &'static str, detail: &'static str) -> Self {
        Self::validation(vec![FieldError { place, field: field.into(), code, detail }])
    }

    pub(super) fn unauthorized() -> Self {
        Self {
            header: Some((WWW_AUTHENTICATE, "Bearer")),
            ..Self::new(Kind::Unauthorized, "Send a key as `Authorization: Bearer KEY` or `X-API-Key: KEY`.")
        }
    }

    pub(super) fn reads_unavailable() -> Self {
        Self {
            header: Some((RETRY_AFTER, "2")),
            ..Self::new(Kind::ReadsUnavailable, "The database does not answer. Changes may still be accepted.")
        }
    }

    /// The kind of error.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The wrong values.
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    pub(super) const fn set_kind(&mut self, kind: Kind) {
        self.kind = kind;
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        let advice = match error {
            // It may have reached the queue all the same.
            PublishError::TimedOut | PublishError::Closed => {
                "It is not known whether the change will be applied: send it again with the same Idempotency-Key."
            }
            PublishError::Full
            | PublishError::Blocked
            | PublishError::Disconnected
            | PublishError::Unroutable
            | PublishError::Refused => "Send it again later, with the same Idempotency-Key.",
        };
        Self {
            reason: Some(error.as_str()),
            header: Some((RETRY_AFTER, "2")),
            ..Self::new(Kind::NotAccepted, format!("{error}. {advice}"))
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.title(), self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.kind.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.kind.status());
        if let Some((name, value)) = &self.header {
            response.insert_header((name.clone(), *value));
        }
        let document = Document {
            r#type: format!("/problems/{}", self.kind.slug()),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            reason: self.reason,
            errors: &self.errors,
        };
        response
            .insert_header((CONTENT_TYPE, "application/problem+json"))
            .body(serde_json::to_string(&document).unwrap_or_default())
    }
}

/// Any path that is not ours.
pub(super) async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::new(Kind::NotFound, "There is nothing at this path; the API begins at /contacts."))
}

/// A path of ours with a method it does not have.
pub(super) async fn method_not_allowed(allowed: &'static str) -> Result<HttpResponse, Problem> {
    Err(Problem {
        header: Some((ALLOW, allowed)),
        ..Problem::new(Kind::MethodNotAllowed, format!("This path takes {allowed}."))
    })
}
