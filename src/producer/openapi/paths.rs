//! The paths of the API, with the parameters and answers of each method.

use super::examples::{a_change_page, a_contact, a_history, an_accepted, an_input, an_operation, some_events};
use super::headers::{self, AN_ID, ANOTHER_ID};
use super::json::{object, schema};
use super::operations::Operation;
use super::responses::{empty, response};
use serde_json::{Value, json};

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const NDJSON: &str = "application/x-ndjson";
const CSV: &str = "text/csv";
const VCARD: &str = "text/vcard";
const EVENTS: &str = "text/event-stream";

const TAG: (&str, &str) = ("ETag", "ETag");
const APPLIED: (&str, &str) = ("Preference-Applied", "PreferenceApplied");
const FILTERS: [&str; 6] = ["Ddd", "State", "Region", "Search", "Email", "Phone"];

pub(super) fn all() -> Value {
    object([
        ("/contacts", contacts()),
        ("/contacts/duplicates", both(duplicates(), "headDuplicates")),
        ("/contacts/import", object([("post", import().into())])),
        ("/contacts/export", object([("get", export().into())])),
        ("/contacts/{id}", contact()),
        ("/contacts/{id}/history", both(history(), "headHistory")),
        ("/operations/{id}", both(operation(), "headOperation")),
        ("/changes", both(changes(), "headChanges")),
        ("/areas", both(areas(), "headAreas")),
        ("/subjects/find", subjects("findSubject")),
        ("/subjects/export", subjects("exportSubject")),
        ("/subjects/erase", subjects("eraseSubject")),
    ])
}

/// A path with this GET operation and its HEAD operation.
fn both(get: Operation, head: &str) -> Value {
    object([("head", get.head(head).into()), ("get", get.into())])
}

fn with_example(schema: Value, example: Value) -> Value {
    json!({ "schema": schema, "example": example })
}

fn accepted() -> Value {
    let headers = headers::of(&[("Location", "Operation"), TAG, ("Retry-After", "Retry"), APPLIED]);
    let content = with_example(schema("Accepted"), an_accepted());
    let mut accepted = response("The change is stored safely and will be applied.", headers, JSON, content);
    if let Some(parts) = accepted.as_object_mut() {
        parts.insert("links".into(), json!({ "operation": link("getOperation", "operation_id") }));
    }
    accepted
}

fn link(operation: &str, member: &str) -> Value {
    json!({ "operationId": operation, "parameters": { "id": format!("$response.body#/{member}") } })
}

/// A contact with all members, or with the members that `fields` names.
fn one_contact() -> Value {
    json!({ "anyOf": [schema("Contact"), schema("PartialContact")] })
}

fn contacts() -> Value {
    let page = with_example(
        json!({ "anyOf": [schema("ContactPage"), schema("PartialContactPage")] }),
        json!({ "items": [a_contact()], "next": null }),
    );
    let list = Operation::new("listContacts", "contacts", "A page of contacts")
        .described("Returns the contacts that match all filters.")
        .takes(&[&FILTERS[..], &["Sort", "Count", "Fields", "Limit", "Cursor"]].concat())
        .answers(200, response("A page. `next` leads to the next page.", headers::of(&[("Link", "Link")]), JSON, page))
        .fails(&[422, 503]);
    let headers = headers::of(&[("Location", "NewContact"), TAG, APPLIED]);
    let mut created = response(
        "With `Prefer: wait`: the contact was created.",
        headers,
        JSON,
        with_example(schema("Contact"), a_contact()),
    );
    if let Some(parts) = created.as_object_mut() {
        let to = |operation| link(operation, "id");
        let links = json!({ "read": to("getContact"), "replace": to("replaceContact"), "delete": to("deleteContact") });
        parts.insert("links".into(), links);
    }
    let create = Operation::new("createContact", "contacts", "Create a contact")
        .takes(&["IdempotencyKey", "Prefer"])
        .reads([(JSON, with_example(schema("ContactInput"), an_input()))])
        .answers(201, created)
        .answers(202, accepted())
        .fails(&[400, 408, 409, 413, 415, 422, 503]);
    object([("get", list.clone().into()), ("head", list.head("headContacts").into()), ("post", create.into())])
}

fn contact() -> Value {
    let applied = "With `Prefer: wait`: the change was applied.";
    let example = || with_example(schema("Contact"), a_contact());
    let get = Operation::new("getContact", "contacts", "One contact")
        .takes(&["ContactId", "Fields", "IfNoneMatch"])
        .answers(200, response("The contact.", headers::of(&[TAG]), JSON, with_example(one_contact(), a_contact())))
        .answers(304, empty("The contact still has the version in `If-None-Match`.", headers::of(&[TAG])))
        .fails(&[404, 422, 503]);
    let replace = Operation::new("replaceContact", "contacts", "Replace a contact")
        .described(
            "Replaces all fields of the contact. If a newer change was applied first, the operation is `superseded`. \
             If the contact was never created, the operation fails after it has waited for the create.",
        )
        .takes(&["ContactId", "IdempotencyKey", "IfMatch", "Prefer"])
        .reads([(JSON, with_example(schema("ContactInput"), an_input()))])
        .answers(200, response(applied, headers::of(&[TAG, APPLIED]), JSON, example()))
        .answers(202, accepted())
        .fails(&[400, 404, 408, 409, 410, 412, 413, 415, 422, 503]);
    let patch = Operation::new("patchContact", "contacts", "Change single fields of a contact")
        .described(
            "A merge patch (RFC 7396): a field with a value is set, an `email` of `null` is removed, and every other field \
             keeps its value. Fields are merged one by one: of all changes of a field, the newest one counts. So two \
             patches of different fields both take effect, in any order.",
        )
        .takes(&["ContactId", "IdempotencyKey", "IfMatch", "Prefer"])
        .reads([
            (MERGE_PATCH, with_example(schema("ContactPatch"), json!({ "phone": "(11) 91234-5678" }))),
            (JSON, with_example(schema("ContactPatch"), json!({ "email": null }))),
        ])
        .answers(200, response(applied, headers::of(&[TAG, APPLIED]), JSON, example()))
        .answers(202, accepted())
        .fails(&[400, 404, 408, 409, 410, 412, 413, 415, 422, 503]);
    let delete = Operation::new("deleteContact", "contacts", "Delete a contact")
        .described("Deletes the contact. Its id is never used again.")
        .takes(&["ContactId", "IdempotencyKey", "IfMatch", "Prefer"])
        .answers(202, accepted())
        .answers(204, empty(applied, headers::of(&[APPLIED])))
        .fails(&[404, 409, 410, 412, 422, 503]);
    object([
        ("head", get.head("headContact").into()),
        ("get", get.into()),
        ("put", replace.into()),
        ("patch", patch.into()),
        ("delete", delete.into()),
    ])
}

fn history() -> Operation {
    let page = with_example(schema("HistoryPage"), a_history());
    Operation::new("getHistory", "contacts", "The history of a contact")
        .described(
            "Returns the finished operations of a contact, the newest first, also after it was deleted. An operation that is \
             pending, or that was pruned, is not among them.",
        )
        .takes(&["ContactId", "Limit", "Cursor"])
        .answers(
            200,
            response(
                "A page. `next` leads to the next page.",
                headers::of(&[("Link", "Link"), ("Vary", "Vary")]),
                JSON,
                page,
            ),
        )
        .fails(&[404, 422, 503])
}

fn duplicates() -> Operation {
    let page = with_example(schema("DuplicatePage"), json!({ "items": [], "next": null }));
    Operation::new("listDuplicates", "contacts", "Contacts with the same phone number or e-mail address")
        .described(
            "Returns groups of contacts that have the same value, in the order of the values. A page reads a part of the \
             contacts, so it can have few groups or none although `next` leads to another page.",
        )
        .takes(&["DuplicatesBy", "Limit", "Cursor"])
        .answers(200, response("A page. `next` leads to the next page.", headers::of(&[("Link", "Link")]), JSON, page))
        .fails(&[422, 503])
}

fn operation() -> Operation {
    let headers = headers::of(&[("Retry-After", "RetryPending")]);
    let content = with_example(schema("Operation"), an_operation());
    Operation::new("getOperation", "operations", "One operation")
        .described("The status is `pending` until the change is applied, is superseded, or fails with a reason.")
        .takes(&["OperationId"])
        .answers(200, response("The operation.", headers, JSON, content))
        .fails(&[404, 503])
}

fn changes() -> Operation {
    let headers = headers::of(&[("Link", "Link"), ("Cache-Control", "CacheControl"), ("Vary", "Vary")]);
    let content = [
        (JSON, with_example(schema("ChangePage"), a_change_page())),
        (EVENTS, with_example(schema("ChangeEvents"), some_events().into())),
    ];
    let page = json!({
        "description": "A page of changes, or a stream of them.", "headers": headers, "content": object(content),
    });
    Operation::new("listChanges", "changes", "What was applied")
        .described(
            "Returns the changes of all contacts after a cursor. The changes of a contact are in the order in which they \
             took effect, and no change is skipped, also if its transaction is committed late. Go on with `next`, also \
             after an empty page. A client that accepts `text/event-stream` gets the changes as Server-Sent Events, as long \
             as it stays connected: events `change` with a change as their data, and `expired` with a problem as the last one.",
        )
        .takes(&["After", "ChangeLimit", "Include", "LastEventId"])
        .answers(200, page)
        .fails(&[410, 422, 503])
}

fn areas() -> Operation {
    let headers = || headers::of(&[TAG, ("Cache-Control", "CacheControl")]);
    let example = json!({ "items": [{ "ddd": 11, "state": "SP", "region": "Sudeste" }] });
    Operation::new("listAreas", "areas", "All area codes")
        .described("Brazil's 67 area codes (DDD). Each one has its main state and the region of that state.")
        .takes(&["IfNoneMatch"])
        .answers(200, response("All area codes.", headers(), JSON, with_example(schema("AreaPage"), example)))
        .answers(304, empty("The list has not changed.", headers()))
}

fn import() -> Operation {
    let input = an_input();
    let line = input.to_string();
    let csv = "name,phone,email\r\nAna Souza,(11) 98765-4321,ana@example.com\r\n";
    let card =
        "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Ana Souza\r\nTEL:+5511987654321\r\nEMAIL:ana@example.com\r\nEND:VCARD\r\n";
    let text = |example: &str| with_example(json!({ "type": "string" }), example.into());
    let results = format!(
        "{}\n{}\n",
        json!({ "line": 1, "status": "valid" }),
        json!({ "summary": {
            "records": 1, "accepted": 0, "valid": 1, "invalid": 0, "not_accepted": 0, "complete": true,
        } })
    );
    let content = with_example(schema("ImportResults"), results.into());
    Operation::new("importContacts", "transfer", "Import contacts")
        .described(
            "The service answers while it reads the body: one line for each record, in order, then a summary. Each \
             accepted record becomes its own operation. An `Idempotency-Key` applies to each record together \
             with its values, so you can send the same file again, and an edited file creates only what changed.",
        )
        .takes(&["DryRun", "SkipExisting", "NameColumn", "PhoneColumn", "EmailColumn", "IdempotencyKey"])
        .reads([(NDJSON, text(&format!("{line}\n"))), (CSV, text(csv)), (VCARD, text(card))])
        .answers(200, response("One result for each record, then a summary.", headers::of(&[]), NDJSON, content))
        .fails(&[400, 408, 413, 415, 422, 503])
}

fn export() -> Operation {
    let headers = headers::of(&[("Content-Disposition", "ContentDisposition"), ("Vary", "Vary")]);
    let text = |example: String| with_example(json!({ "type": "string" }), example.into());
    let contact = a_contact();
    let csv = "id,name,phone,ddd,state,region,email,version,created_at,updated_at\r\n";
    let card = format!("BEGIN:VCARD\r\nVERSION:4.0\r\nUID:urn:uuid:{ANOTHER_ID}\r\nFN:Ana Souza\r\nEND:VCARD\r\n");
    let content = [
        (NDJSON, with_example(schema("ContactLines"), format!("{contact}\n").into())),
        (CSV, text(csv.to_owned())),
        (VCARD, text(card)),
    ];
    let contacts = json!({
        "description": "All contacts that match all filters, as a stream of one snapshot, sorted by id.",
        "headers": headers, "content": object(content),
    });
    Operation::new("exportContacts", "transfer", "Export contacts")
        .takes(&[&["Format"][..], &FILTERS[..]].concat())
        .answers(200, contacts)
        .fails(&[406, 422, 503])
}

const A_BACKUP: &str = "backups of the database, of the broker and of a data folder";

/// A contact with all its members.
fn a_subject_contact() -> Value {
    let mut contact = a_contact();
    if let Some(members) = contact.as_object_mut() {
        members.insert("created_by".into(), AN_ID.into());
    }
    contact
}

/// A path for the data of a person.
fn subjects(id: &str) -> Value {
    let (summary, description, answer, name) = match id {
        "findSubject" => (
            "Find what is stored about a person",
            "Returns contacts and dead-lettered messages that have one of the values. The messages of the other queues are only \
             counted. One search runs at a time; it reads the whole dead letter queue.",
            "What was found.",
            "FoundSubject",
        ),
        "exportSubject" => (
            "Export what is stored about a person",
            "Returns everything that was found, with operations and the bodies of messages.",
            "Everything that was found.",
            "ExportedSubject",
        ),
        _ => (
            "Erase a person",
            "Deletes the contacts, discards the dead-lettered messages, and rejects changes that were accepted before and arrive \
             later: they fail with the reason `subject_erased`. A later request of the same person is applied. The same \
             request again finishes an erasure that was interrupted.",
            "The report. It has no personal data.",
            "ErasedSubject",
        ),
    };
    let input = with_example(schema("Subject"), json!({ "email": "ana@example.com" }));
    let (waiting, contact) = (json!({ "work": 0, "retry": 0 }), a_subject_contact());
    let example = match name {
        "FoundSubject" => json!({
            "contacts": [contact], "dead_letters": [], "old_values": [], "waiting": waiting, "not_searched": [A_BACKUP],
        }),
        "ExportedSubject" => json!({
            "schema": 1, "exported_at": "2026-08-02T12:00:00Z",
            "searched": { "phones": [], "emails": ["ana@example.com"], "names": [], "contacts": [] },
            "contacts": [contact], "operations": [], "dead_letters": [], "waiting": waiting, "not_searched": [A_BACKUP],
        }),
        _ => json!({
            "erasure_id": ANOTHER_ID, "erased_at": "2026-08-02T12:00:00Z", "complete": true, "contacts": [ANOTHER_ID],
            "dead_letters": 0, "old_values": 0, "undecodable": 0, "later": 0, "suppressed": { "contacts": 1, "phones": 1, "emails": 1 }, "not_suppressed": 0,
            "waiting": waiting, "notes": [], "not_reached": [A_BACKUP],
        }),
    };
    let content = with_example(schema(name), example);
    let operation = Operation::new(id, "subjects", summary)
        .described(description)
        .takes(&[])
        .reads([(JSON, input)])
        .answers(200, response(answer, headers::of(&[]), JSON, content))
        .fails(&[400, 408, 413, 415, 422, 503]);
    object([("post", operation.into())])
}
