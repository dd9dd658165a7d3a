//! Helper functions for JSON Schema.

use serde_json::{Map, Value, json};

/// A reference to a component.
pub(super) fn reference(place: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{place}/{name}") })
}

pub(super) fn schema(name: &str) -> Value {
    reference("schemas", name)
}

/// A JSON object with these members.
pub(super) fn object<K: Into<String>>(parts: impl IntoIterator<Item = (K, Value)>) -> Value {
    Value::Object(parts.into_iter().map(|(name, part)| (name.into(), part)).collect::<Map<_, _>>())
}

/// Schemas with their names.
pub(super) type Schemas = Vec<(&'static str, Value)>;

/// The schema of an object with these members and no others.
pub(super) fn record<'a>(
    description: &str,
    required: &[&str],
    members: impl IntoIterator<Item = (&'a str, Value)>,
) -> Value {
    json!({
        "type": "object", "description": description, "required": required, "properties": object(members),
        "additionalProperties": false,
    })
}

pub(super) fn one_of<T: Into<Value>>(kind: &str, description: &str, values: impl IntoIterator<Item = T>) -> Value {
    let values: Vec<Value> = values.into_iter().map(Into::into).collect();
    json!({ "type": kind, "description": description, "enum": values })
}

pub(super) fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

pub(super) fn uuid(description: &str) -> Value {
    json!({ "type": "string", "format": "uuid", "description": description })
}

pub(super) fn count(description: &str) -> Value {
    json!({ "type": "integer", "minimum": 0, "description": description })
}
