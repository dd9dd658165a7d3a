//! One operation of the API, put together from what it takes and what it answers.

use super::json::object;
use super::parameters;
use super::responses::{self, failing};
use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

/// What every operation may answer, whatever it does: a wrong key, too long a head, too many requests, a fault.
const ALWAYS: [u16; 6] = [401, 403, 414, 429, 431, 500];

#[derive(Clone)]
pub(super) struct Operation {
    members: Map<String, Value>,
    responses: Map<String, Value>,
}

impl Operation {
    /// `id` is what generated clients call it.
    pub(super) fn new(id: &str, tag: &str, summary: &str) -> Self {
        let members = [
            ("operationId".to_owned(), id.into()),
            ("tags".to_owned(), json!([tag])),
            ("summary".to_owned(), summary.into()),
        ];
        Self { members: members.into_iter().collect(), responses: failing(&ALWAYS) }
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.into(), value);
        self
    }

    pub(super) fn described(self, description: &str) -> Self {
        self.with("description", description.into())
    }

    /// What it takes besides a body, by the names in the components.
    pub(super) fn takes(self, names: &[&str]) -> Self {
        let names: Vec<&str> = names.iter().copied().chain(["AcceptLanguage"]).collect();
        self.with("parameters", parameters::of(&names))
    }

    /// Its body, which it needs, by media type.
    pub(super) fn reads<'a>(self, content: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        self.with("requestBody", json!({ "required": true, "content": object(content) }))
    }

    pub(super) fn answers(mut self, status: u16, response: Value) -> Self {
        self.responses.insert(status.to_string(), response);
        self
    }

    /// Which problems it may answer besides those of all operations, by their statuses.
    pub(super) fn fails(mut self, statuses: &[u16]) -> Self {
        self.responses.extend(failing(statuses));
        self
    }

    /// The same by HEAD: no answer has a body, so none is described to have one.
    pub(super) fn head(&self, id: &str) -> Self {
        let bare = |(status, response): (&String, &Value)| {
            let code = status.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
            let mut response = match (response.get("$ref"), code) {
                (Some(_), Some(code)) => responses::problem(code),
                _ => response.clone(),
            };
            if let Some(parts) = response.as_object_mut() {
                parts.retain(|name, _| matches!(name.as_str(), "description" | "headers"));
            }
            (status.clone(), response)
        };
        let summary = self.members.get("summary").and_then(Value::as_str).unwrap_or_default();
        let summary = format!("{summary} (only the head)");
        Self { responses: self.responses.iter().map(bare).collect(), ..self.clone() }
            .with("operationId", id.into())
            .with("summary", summary.into())
    }
}

impl From<Operation> for Value {
    fn from(operation: Operation) -> Self {
        let responses = Self::Object(operation.responses);
        Self::Object(operation.members.into_iter().chain([("responses".to_owned(), responses)]).collect())
    }
}
