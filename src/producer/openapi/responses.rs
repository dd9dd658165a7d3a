//! Descriptions of answers. There is one answer for each status of a problem, made from the problem types.

use super::headers;
use super::json::{object, reference, schema};
use crate::producer::problems::Kind;
use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

/// The component name of a status: its reason phrase without spaces.
pub(super) fn name_of(status: StatusCode) -> String {
    status.canonical_reason().unwrap_or("Unknown").split(' ').collect()
}

/// An answer with a body of this media type.
pub(super) fn response(description: &str, headers: Value, media_type: &str, content: Value) -> Value {
    json!({ "description": description, "headers": headers, "content": object([(media_type, content)]) })
}

/// An answer without a body.
pub(super) fn empty(description: &str, headers: Value) -> Value {
    json!({ "description": description, "headers": headers })
}

/// References to the problem answers with these statuses.
pub(super) fn failing(statuses: &[u16]) -> Map<String, Value> {
    let known = statuses.iter().filter_map(|status| StatusCode::from_u16(*status).ok());
    known.map(|status| (status.as_str().to_owned(), reference("responses", &name_of(status)))).collect()
}

/// All problem answers, by their component names.
pub(super) fn problems() -> Value {
    object(Kind::ALL.iter().map(|kind| (name_of(kind.status()), problem(kind.status()))))
}

/// The answer for all problem types with this status.
pub(super) fn problem(status: StatusCode) -> Value {
    let kinds = || Kind::ALL.iter().filter(|kind| kind.status() == status);
    let described: Vec<String> = kinds().map(|kind| format!("`{}`: {}.", kind.slug(), kind.title())).collect();
    let examples = object(kinds().map(|kind| (kind.slug(), json!({ "value": example(*kind) }))));
    let content = json!({ "schema": schema("Problem"), "examples": examples });
    let mut all = vec![("Content-Language", "ContentLanguage"), ("Vary", "Vary")];
    all.extend(match status {
        StatusCode::UNAUTHORIZED => Some(("WWW-Authenticate", "WWWAuthenticate")),
        StatusCode::METHOD_NOT_ALLOWED => Some(("Allow", "Allow")),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Some(("Retry-After", "Retry")),
        _ => None,
    });
    response(&described.join(" "), headers::of(&all), "application/problem+json", content)
}

fn example(kind: Kind) -> Value {
    let mut document = json!({
        "type": format!("/problems/{}", kind.slug()), "title": kind.title(), "status": kind.status().as_u16(),
        "detail": "What happened, and what the client can do.",
    });
    let more = match kind.slug() {
        "validation" => Some((
            "errors",
            json!([{ "in": "body", "field": "phone", "pointer": "/phone", "code": "unknown_area_code",
                     "detail": "is not one of Brazil's 67 area codes (DDD), such as 11 or 85" }]),
        )),
        "not-accepted" => Some(("reason", json!("disconnected"))),
        "change-failed" => Some(("reason", json!("rejected_by_database"))),
        _ => None,
    };
    if let (Some(members), Some((name, value))) = (document.as_object_mut(), more) {
        members.insert(name.into(), value);
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_describes_all_problem_types_of_a_status() {
        assert_eq!(name_of(StatusCode::UNPROCESSABLE_ENTITY), "UnprocessableEntity");
        let problems = problems();
        let unprocessable = problems["UnprocessableEntity"]["content"]["application/problem+json"]["examples"].clone();
        assert!(unprocessable.get("validation").is_some() && unprocessable.get("idempotency-key-reused").is_some());
        for kind in Kind::ALL {
            let name = name_of(kind.status());
            assert!(problems[&name]["description"].as_str().unwrap().contains(kind.slug()), "{name}");
        }
    }
}
