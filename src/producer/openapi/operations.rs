//! A builder for one operation of the OpenAPI document: its parameters, body and answers.

use super::json::object;
use super::parameters;
use super::responses::{self, failing};
use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

/// The error statuses of every operation: authentication, size of the head, rate limit, internal error.
const ALWAYS: [u16; 6] = [401, 403, 414, 429, 431, 500];

#[derive(Clone)]
pub(super) struct Operation {
    members: Map<String, Value>,
    responses: Map<String, Value>,
}

impl Operation {
    /// Creates an operation. Generated clients use `id` as its name.
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

    /// Sets the parameters, by their component names.
    pub(super) fn takes(self, names: &[&str]) -> Self {
        let names: Vec<&str> = names.iter().copied().chain(["AcceptLanguage"]).collect();
        self.with("parameters", parameters::of(&names))
    }

    /// Sets the required body, by media type.
    pub(super) fn reads<'a>(self, content: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        self.with("requestBody", json!({ "required": true, "content": object(content) }))
    }

    pub(super) fn answers(mut self, status: u16, response: Value) -> Self {
        self.responses.insert(status.to_string(), response);
        self
    }

    /// Adds error statuses to those that every operation has.
    pub(super) fn fails(mut self, statuses: &[u16]) -> Self {
        self.responses.extend(failing(statuses));
        self
    }

    /// The HEAD operation of this GET operation. Its answers have no body.
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
        let summary = format!("{summary} (headers only)");
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
