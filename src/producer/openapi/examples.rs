//! Examples of bodies. All of them are about the same contact.

use super::headers::{AN_ID, ANOTHER_ID};
use serde_json::{Value, json};

const ACCEPTED_AT: &str = "2026-01-31T12:00:00.123456Z";

pub(super) fn an_input() -> Value {
    json!({ "name": "Ana Souza", "phone": "(11) 98765-4321", "email": "ana@example.com" })
}

pub(super) fn a_contact() -> Value {
    json!({
        "id": ANOTHER_ID, "name": "Ana Souza", "phone": "+5511987654321", "ddd": 11, "state": "SP", "region": "Sudeste",
        "email": "ana@example.com", "version": AN_ID, "created_at": ACCEPTED_AT, "updated_at": ACCEPTED_AT,
    })
}

pub(super) fn an_accepted() -> Value {
    json!({ "operation_id": AN_ID, "contact_id": ANOTHER_ID, "version": AN_ID, "status": "accepted" })
}

pub(super) fn a_history() -> Value {
    json!({
        "items": [{
            "operation_id": AN_ID, "operation": "patch", "status": "applied", "reason": null, "detail": null,
            "version": AN_ID, "changed": ["phone"], "caller": "web-shop", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            "accepted_at": ACCEPTED_AT, "completed_at": "2026-01-31T12:00:00.154321Z",
        }],
        "next": null, "pruned_before": null,
    })
}

/// The cursor of the change in the example.
const A_CURSOR: &str = "AQAAAAAAAQAAAZnwpH0cemCPbjsMXh0vSg";

pub(super) fn a_change() -> Value {
    json!({
        "cursor": A_CURSOR, "contact_id": ANOTHER_ID, "version": AN_ID, "operation": "insert",
        "completed_at": "2026-01-31T12:00:00.154321Z",
    })
}

pub(super) fn a_change_page() -> Value {
    json!({ "items": [a_change()], "next": A_CURSOR, "more": false })
}

pub(super) fn some_events() -> String {
    format!("retry: 2000\n\nid: {A_CURSOR}\nevent: change\ndata: {}\n\n: heartbeat\n\n", a_change())
}

pub(super) fn an_operation() -> Value {
    json!({
        "id": AN_ID, "contact_id": ANOTHER_ID, "operation": "insert",
        "status": "applied", "reason": null, "detail": null,
        "accepted_at": ACCEPTED_AT, "completed_at": "2026-01-31T12:00:00.154321Z",
    })
}
