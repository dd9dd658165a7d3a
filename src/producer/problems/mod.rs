//! Problem documents (RFC 9457): every error of the API, in the language that the caller prefers.
//!
//! Rule of this module: code uses English texts, and a problem is translated when it is rendered. Codes, slugs and logs
//! are the same in every language.

pub(crate) mod explanations;
mod field_error;
mod kind;
pub(crate) mod localize;

use crate::domain::{Invalid, Reason};
use crate::producer::language::Language;
use crate::queue::PublishError;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ALLOW, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, VARY,
    WWW_AUTHENTICATE,
};
use actix_web::{Error, HttpResponse, ResponseError};
pub(crate) use field_error::{FieldError, FieldLocation};
pub(crate) use kind::Kind;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;

/// The value of `Retry-After` if the necessary time is unknown, in seconds.
const DEFAULT_RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// An error answer of the API.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    reason: Option<&'static str>,
    errors: Vec<FieldError>,
    headers: Vec<(HeaderName, HeaderValue)>,
    language: Language,
}

/// The JSON of a problem. The order of the members is the best one to read.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    r#type: String,
    title: Cow<'a, str>,
    status: u16,
    detail: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = detail.into();
        Self { kind, detail, reason: None, errors: Vec::new(), headers: Vec::new(), language: Language::English }
    }

    pub(crate) fn validation(errors: Vec<FieldError>) -> Self {
        let names: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        let detail = format!("Not valid: {}.", names.join(", "));
        Self { errors, ..Self::new(Kind::Validation, detail) }
    }

    pub(crate) fn field(location: FieldLocation, field: &str, code: &'static str, detail: &'static str) -> Self {
        Self::validation(vec![FieldError::new(location, field, Invalid::new(code, detail))])
    }

    pub(crate) fn reads_unavailable() -> Self {
        Self::reads_unavailable_because("The database does not answer. Changes may still be accepted.")
    }

    pub(crate) fn reads_unavailable_because(detail: &'static str) -> Self {
        Self::new(Kind::ReadsUnavailable, detail).with_header(RETRY_AFTER, DEFAULT_RETRY_AFTER)
    }

    /// The failure of an operation that the request waited for.
    pub(crate) fn failed(reason: Reason) -> Self {
        let kind = match reason {
            Reason::AlreadyExists => Kind::AlreadyExists,
            Reason::ContactNotFound => Kind::NotFound,
            Reason::ContactDeleted => Kind::ContactDeleted,
            Reason::VersionConflict => Kind::VersionConflict,
            Reason::Expired
            | Reason::SubjectErased
            | Reason::Undecodable
            | Reason::UnknownSchema
            | Reason::UnknownOperation
            | Reason::Invalid
            | Reason::RejectedByDatabase
            | Reason::Poison
            | Reason::DeliveryLimit => Kind::ChangeFailed,
        };
        Self { reason: Some(reason.as_str()), ..Self::new(kind, sentence(reason.sentence())) }
    }

    /// A 401 with the challenge of RFC 6750, section 3.
    pub(crate) fn unauthorized(key_was_sent: bool) -> Self {
        let challenge = if key_was_sent { "Bearer error=\"invalid_token\"" } else { "Bearer" };
        let detail = match key_was_sent {
            true => "The key or token is unknown or no longer valid.",
            false => "Send a key as `Authorization: Bearer KEY` or `X-API-Key: KEY`.",
        };
        Self::new(Kind::Unauthorized, detail).with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// A 401 for a request that names another host than this machine, while anyone on it may call.
    pub(crate) fn foreign_host() -> Self {
        let detail = "Without API keys the service answers only requests for localhost. Set http.api_keys, or \
                      http.allow_anonymous if a proxy on this machine authenticates the callers.";
        Self::new(Kind::Unauthorized, detail).with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same problem, to be rendered in this language.
    pub(crate) fn localized(&self, language: Language) -> Self {
        Self { language, ..self.clone() }
    }

    /// The kind of error.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Replaces the `detail`.
    pub(crate) fn set_detail(&mut self, detail: String) {
        self.detail = detail.into();
    }

    /// The `detail` in English.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The field errors.
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    pub(crate) const fn set_kind(&mut self, kind: Kind) {
        self.kind = kind;
    }

    /// The headers of this problem, without those that every problem has.
    pub(crate) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    pub(crate) fn document(&self, language: Language) -> Document<'_> {
        Document {
            r#type: format!("/problems/{}", self.kind.slug()),
            title: language.translate(self.kind.title()),
            status: self.kind.status().as_u16(),
            detail: language.translate(&self.detail),
            reason: self.reason,
            errors: self.errors.iter().map(|error| error.localized(language)).collect(),
        }
    }

    fn to_json(&self, language: Language) -> String {
        serde_json::to_string(&self.document(language)).unwrap_or_default()
    }

    pub(crate) fn render(&self, language: Language) -> HttpResponse {
        let mut response = HttpResponse::build(self.kind.status());
        for header in &self.headers {
            response.append_header(header.clone());
        }
        response
            .insert_header((CONTENT_TYPE, "application/problem+json"))
            .insert_header((CONTENT_LANGUAGE, language.tag()))
            // Appended, because other middleware may also set `Vary`.
            .append_header((VARY, "Accept-Language"))
            .body(self.to_json(language))
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        let advice = match error {
            // The queue may have the message.
            PublishError::TimedOut | PublishError::Closed => {
                "The change may still be applied. Send it again, with the same Idempotency-Key."
            }
            PublishError::Full
            | PublishError::Blocked
            | PublishError::Disconnected
            | PublishError::Unroutable
            | PublishError::Refused => "Send it again later, with the same Idempotency-Key.",
        };
        let detail = format!("{} {advice}", sentence(&error.to_string()));
        let problem = Self { reason: Some(error.as_str()), ..Self::new(Kind::NotAccepted, detail) };
        problem.with_header(RETRY_AFTER, DEFAULT_RETRY_AFTER)
    }
}

/// Makes a sentence: with a capital letter and a full stop.
fn sentence(words: &str) -> String {
    let mut rest = words.chars();
    rest.next().into_iter().flat_map(char::to_uppercase).chain(rest).chain(['.']).collect()
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
        self.render(self.language)
    }
}

/// Translates an answer that was made from a problem, and keeps its headers. Other answers, and compressed ones, are
/// not changed.
pub(crate) fn localize_response<B: MessageBody + 'static>(
    response: ServiceResponse<B>,
    language: Language,
) -> ServiceResponse<EitherBody<B, String>> {
    let problem = response.response().error().and_then(|error| error.as_error::<Problem>());
    let localized = problem.filter(|problem| problem.language != language).map(|problem| problem.to_json(language));
    match localized {
        Some(text) if !response.headers().contains_key(CONTENT_ENCODING) => {
            let mut response = response.map_body(|_, _| EitherBody::right(text));
            response.headers_mut().insert(CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
            response
        }
        _ => response.map_into_left_body(),
    }
}

/// Translates a problem that is not an answer yet, for example an error of another middleware.
pub(crate) fn localize_error(error: Error, language: Language) -> Error {
    match error.as_error::<Problem>() {
        Some(problem) if problem.language != language => problem.localized(language).into(),
        _ => error,
    }
}

/// Answers a path that does not exist.
pub(crate) async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::new(Kind::NotFound, "This path does not exist. The API begins at /contacts."))
}

/// Answers a method that the path does not support.
pub(crate) async fn method_not_allowed(allowed: &'static str) -> Result<HttpResponse, Problem> {
    let problem = Problem::new(Kind::MethodNotAllowed, format!("This path supports {allowed}."));
    Err(problem.with_header(ALLOW, HeaderValue::from_static(allowed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_operation_is_a_problem_with_its_reason() {
        for reason in Reason::ALL {
            let problem = Problem::failed(*reason);
            let expected = match reason {
                Reason::AlreadyExists => 409,
                Reason::ContactNotFound => 404,
                Reason::ContactDeleted => 410,
                Reason::VersionConflict => 412,
                _ => 422,
            };
            assert_eq!(problem.status_code().as_u16(), expected);
            assert_eq!(problem.reason, Some(reason.as_str()));
            assert!(problem.detail.ends_with('.') && problem.detail.starts_with(char::is_uppercase));
        }
    }

    #[test]
    fn a_problem_is_rendered_in_the_given_language() {
        let problem = Problem::from(PublishError::TimedOut)
            .with_header(HeaderName::from_static("ratelimit"), HeaderValue::from_static("\"default\";r=0;t=1"));
        for (language, tag, title) in [
            (Language::English, "en", "The change was not accepted"),
            (Language::Portuguese, "pt-BR", "A alteração não foi aceita"),
        ] {
            let response = problem.render(language);
            let header = |name: HeaderName| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
            assert_eq!((response.status().as_u16(), header(RETRY_AFTER)), (503, "2".into()));
            assert_eq!((header(CONTENT_LANGUAGE), header(VARY)), (tag.into(), "Accept-Language".into()));
            assert_eq!(header(HeaderName::from_static("ratelimit")), "\"default\";r=0;t=1");
            assert_eq!(problem.document(language).title, title);
        }
        let shown = serde_json::to_value(problem.document(Language::Portuguese)).unwrap();
        assert_eq!(
            shown["detail"],
            "O broker não confirmou a tempo. A alteração ainda pode ser aplicada. \
             Envie-a de novo, com a mesma Idempotency-Key."
        );
    }
}
