//! An example of each problem type, for its page.
//!
//! Rule of this file: the code that creates real problems also creates the examples, so that both look the same.

use crate::domain::{Email, Name, Phone, Reason};
use crate::producer::language::Language;
use crate::producer::problems::{FieldError, FieldLocation, Kind, Problem};
use crate::queue::PublishError;
use actix_web::http::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER};

/// The reasons that problems of this type can have, each with its meaning.
pub(crate) fn reasons(kind: Kind) -> Vec<(&'static str, String)> {
    match kind {
        Kind::NotAccepted => PublishError::ALL.iter().map(|error| (error.as_str(), error.to_string())).collect(),
        _ => {
            let of_kind = Reason::ALL.iter().filter(|reason| Problem::failed(**reason).kind() == kind);
            of_kind.map(|reason| (reason.as_str(), reason.sentence().to_owned())).collect()
        }
    }
}

/// The problem as an HTTP answer.
pub(crate) fn render_example(problem: &Problem, language: Language) -> String {
    let mut text = format!("HTTP/1.1 {}\ncontent-type: application/problem+json\n", problem.kind().status());
    text.push_str(&format!("content-language: {}\n", language.tag()));
    for (name, value) in problem.headers() {
        text.push_str(&format!("{name}: {}\n", value.to_str().unwrap_or_default()));
    }
    text.push('\n');
    text.push_str(&serde_json::to_string_pretty(&problem.document(language)).unwrap_or_default());
    text
}

/// An example of this problem type.
pub(crate) fn example(kind: Kind) -> Problem {
    let new = |detail: &'static str| Problem::new(kind, detail);
    match kind {
        Kind::Validation => {
            let (name, phone, email) = (Name::parse(""), Phone::parse("0800 123 4567"), Email::parse("ana"));
            let wrong = [("name", name.err()), ("phone", phone.err()), ("email", email.err())];
            let error = |(field, invalid)| Some(FieldError::new(FieldLocation::Body, field, invalid?));
            Problem::validation(wrong.into_iter().filter_map(error).collect())
        }
        Kind::MalformedJson => new("At line 1 column 8: not valid JSON."),
        Kind::IdempotencyKeyReused => {
            new("This key belongs to an earlier request that was different. Use a new key for a new request.")
        }
        Kind::VersionConflict => Problem::failed(Reason::VersionConflict),
        Kind::AlreadyExists => Problem::failed(Reason::AlreadyExists),
        Kind::ContactDeleted => Problem::failed(Reason::ContactDeleted),
        Kind::ChangeFailed => Problem::failed(Reason::RejectedByDatabase),
        Kind::NotFound => {
            new("There is no contact with this id. Perhaps it was deleted, or its create is not applied yet.")
        }
        Kind::MethodNotAllowed => {
            new("This path supports GET, HEAD.").with_header(ALLOW, HeaderValue::from_static("GET, HEAD"))
        }
        Kind::NotAcceptable => new("Accept application/x-ndjson, text/csv or text/vcard."),
        Kind::BodyTooLarge => new("The body may have at most 16384 bytes."),
        Kind::UriTooLong => new("The path and query may have at most 4096 bytes."),
        Kind::HeadersTooLarge => new("All headers together may have at most 32768 bytes."),
        Kind::UnsupportedMediaType => new("Send `Content-Type: application/json`."),
        Kind::RequestTimeout => new("Send the whole body at once."),
        Kind::Unauthorized => Problem::unauthorized(false),
        Kind::Forbidden => new("This request needs the scope contacts:write. The key or token does not have it."),
        Kind::RateLimited => {
            let limits = [("ratelimit-policy", "\"default\";q=100;w=1"), ("ratelimit", "\"default\";r=0;t=1")];
            let refused = new("This caller sends too many requests. Try again in 1 s.")
                .with_header(RETRY_AFTER, HeaderValue::from_static("1"));
            limits.into_iter().fold(refused, |problem, (name, value)| {
                problem.with_header(HeaderName::from_static(name), HeaderValue::from_static(value))
            })
        }
        Kind::NotAccepted => PublishError::TimedOut.into(),
        Kind::ReadsUnavailable => Problem::reads_unavailable(),
        Kind::CursorExpired => {
            new("Changes after this cursor were removed, or the database was restored. Start again: read \
             /changes?after=latest and keep its cursor, then read /contacts/export, then the changes after the cursor.")
        }
        Kind::Internal => new("This version cannot read the data."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_type_has_an_example_in_both_languages() {
        for kind in Kind::ALL {
            let problem = example(kind);
            assert_eq!(problem.kind(), kind);
            let [english, portuguese] =
                Language::ALL.map(|language| serde_json::to_value(problem.document(language)).unwrap());
            assert_ne!(english["title"], portuguese["title"]);
            assert_ne!(english["detail"], portuguese["detail"]);
            assert_eq!(english["type"], format!("/problems/{}", kind.slug()));
        }
        let shown = render_example(&example(Kind::RateLimited), Language::Portuguese);
        assert!(
            shown.starts_with("HTTP/1.1 429 Too Many Requests\ncontent-type: application/problem+json\n"),
            "{shown}"
        );
        assert!(shown.contains("\nretry-after: 1\n") && shown.contains("\n\n{\n  \"type\""), "{shown}");
    }

    #[test]
    fn every_reason_is_explained_on_one_page() {
        let explained: usize = Kind::ALL.map(|kind| reasons(kind).len()).iter().sum();
        assert_eq!(explained, Reason::ALL.len() + PublishError::ALL.len());
    }
}
