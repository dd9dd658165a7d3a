//! `GET /contacts/{id}/history`: the finished operations of a contact, the newest first.

use super::cursor::CursorKey;
use super::query_parameters::{DEFAULT_LIMIT, Positions, parse_limit};
use super::read::contact_not_found;
use crate::domain::{ContactId, Invalid, OperationId, Reason, Status, Timestamp};
use crate::formats::OldValuesView;
use crate::producer::http::parameters::{parse_id, parse_query};
use crate::producer::language::{self, Language};
use crate::producer::problems::Problem;
use crate::producer::state::AppState;
use crate::store::{HistoryPage, HistoryPosition, ListPosition, Operation, SortKey};
use actix_web::http::header::{LINK, VARY};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use uuid::Uuid;

const UNKNOWN: Invalid = Invalid::new("unknown_parameter", "is not a parameter: cursor, limit");

/// A finished operation in a history.
#[derive(Serialize)]
pub(crate) struct HistoryItem {
    operation_id: Uuid,
    operation: &'static str,
    status: &'static str,
    reason: Option<&'static str>,
    detail: Option<String>,
    /// The version that the contact got. Null if the operation changed nothing.
    version: Option<Uuid>,
    /// Null: an older version of the service recorded the operation.
    changed: Option<Vec<&'static str>>,
    /// Only if they were kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_values: Option<OldValuesView>,
    caller: Option<String>,
    trace_id: Option<String>,
    accepted_at: Timestamp,
    completed_at: Timestamp,
}

impl HistoryItem {
    pub(crate) fn new(operation: &Operation, language: Language) -> Self {
        let (status, reason) = match operation.status {
            Status::Applied => ("applied", None),
            Status::Superseded => ("superseded", None),
            Status::Failed(reason) => ("failed", Some(reason)),
        };
        let is_applied = operation.status == Status::Applied;
        let changed = operation.changed.map(|changed| {
            let members = [("name", changed.name), ("phone", changed.phone), ("email", changed.email)];
            members.into_iter().filter(|(_, is_changed)| *is_changed).map(|(name, _)| name).collect()
        });
        Self {
            operation_id: operation.id.uuid(),
            operation: operation.kind.as_str(),
            status,
            reason: reason.map(Reason::as_str),
            detail: reason.map(|reason| language.translate(reason.sentence()).into_owned()),
            version: is_applied.then(|| operation.id.uuid()),
            changed: if is_applied { changed } else { Some(Vec::new()) },
            old_values: operation.old_values.as_ref().map(OldValuesView::new),
            caller: operation.origin.caller.as_deref().map(str::to_owned),
            trace_id: operation.origin.trace_id.map(|id| format!("{id:032x}")),
            accepted_at: operation.accepted_at,
            completed_at: operation.completed_at,
        }
    }
}

/// A page of a history.
#[derive(Serialize)]
pub(crate) struct HistoryView {
    pub(crate) items: Vec<HistoryItem>,
    pub(crate) next: Option<String>,
    /// Operations from before this time can be missing. Null: nothing was ever pruned.
    pub(crate) pruned_before: Option<Timestamp>,
}

/// A place in a history, as a cursor keeps it.
fn to_text(place: HistoryPosition) -> String {
    format!("{} {} {}", place.completed_at.timestamp_micros(), place.position, place.id)
}

fn from_text(text: &str) -> Option<HistoryPosition> {
    let mut parts = text.split(' ');
    Some(HistoryPosition {
        completed_at: Timestamp::from_timestamp_micros(parts.next()?.parse().ok()?)?,
        position: parts.next()?.parse().ok()?,
        id: parts.next()?.parse::<OperationId>().ok()?,
    })
}

pub(crate) async fn history(
    api: Data<AppState>,
    cursors: Data<CursorKey>,
    request: HttpRequest,
    path: Path<String>,
) -> Result<HttpResponse, Problem> {
    let contact: ContactId = parse_id(&path)?;
    if contact.uuid().is_nil() {
        // The contact of operations whose message names none.
        return Err(contact_not_found());
    }
    let (mut limit, mut cursor) = (DEFAULT_LIMIT, None);
    let mut errors = parse_query(request.query_string(), UNKNOWN, |name, value| match name {
        "limit" => Some(parse_limit(value).map(|parsed| limit = parsed)),
        "cursor" => {
            cursor = Some(value.to_owned());
            Some(Ok(()))
        }
        _ => None,
    });
    let list = format!("history {contact}");
    let positions = Positions { key: &cursors, list: &list };
    let before = cursor.and_then(|cursor| positions.read(&cursor, &mut errors));
    if !errors.is_empty() {
        return Err(Problem::validation(errors));
    }
    let before = match before {
        Some(ListPosition { key: Some(SortKey::Value(text)), .. }) => from_text(&text),
        _ => None,
    };
    let is_first = before.is_none();
    // The query asks for one operation more, to know whether there is a next page.
    let page = HistoryPage { contact, before, limit: limit + 1 };
    let (mut operations, pruned_before, exists) = api
        .reader
        .read(move |store| {
            let operations = store.history(&page)?;
            // The create of a contact can be pruned.
            let exists = !is_first || !operations.is_empty() || store.contact(contact)?.is_some();
            Ok((operations, store.pruned_before()?, exists))
        })
        .await?;
    if !exists {
        return Err(contact_not_found());
    }
    let more = operations.len() > limit as usize;
    operations.truncate(limit as usize);
    let last = operations.last().filter(|_| more).map(Operation::history_position);
    let next = last.map(|place| {
        let position = ListPosition { key: Some(SortKey::Value(to_text(place))), id: contact };
        cursors.encode(&list, &position)
    });
    let mut response = HttpResponse::Ok();
    response.insert_header((VARY, "Accept-Language"));
    if let Some(next) = &next {
        response
            .insert_header((LINK, format!("</contacts/{contact}/history?limit={limit}&cursor={next}>; rel=\"next\"")));
    }
    let language = language::negotiate(&request);
    let items = operations.iter().map(|operation| HistoryItem::new(operation, language)).collect();
    Ok(response.json(HistoryView { items, next, pruned_before }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_keeps_the_place(micros in 0i64..4_000_000_000_000_000, position in 0i64.., id: u128) {
            let completed_at = Timestamp::from_timestamp_micros(micros).unwrap();
            let place = HistoryPosition { completed_at, position, id: OperationId::new(Uuid::from_u128(id)) };
            prop_assert_eq!(from_text(&to_text(place)), Some(place));
        }
    }
}
