//! `GET /contacts/duplicates`: groups of contacts with the same phone number or e-mail address.

use super::cursor::CursorKey;
use super::query_parameters::{Positions, parse_limit};
use crate::domain::{ContactId, Email, Invalid, Phone};
use crate::formats::ContactView;
use crate::producer::http::parameters::parse_query;
use crate::producer::problems::Problem;
use crate::producer::state::AppState;
use crate::store::{DuplicatesBy, Filter, ListPosition, SortKey};
use actix_web::http::header::LINK;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use uuid::Uuid;

const UNKNOWN: Invalid = Invalid::new("unknown_parameter", "is not a parameter: by, cursor, limit");
const BAD_FIELD: Invalid = Invalid::new("unknown_value", "must be phone or email");
/// How many contacts of a group are shown.
const MEMBERS: u32 = 10;

/// Contacts that have the same value.
#[derive(Serialize)]
struct Duplicates {
    value: String,
    count: u64,
    contacts: Vec<ContactView>,
}

#[derive(Serialize)]
struct Page {
    items: Vec<Duplicates>,
    next: Option<String>,
}

pub(crate) async fn list(
    api: Data<AppState>,
    cursors: Data<CursorKey>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (mut by, mut limit, mut cursor) = (DuplicatesBy::Phone, super::query_parameters::DEFAULT_LIMIT, None);
    let mut errors = parse_query(request.query_string(), UNKNOWN, |name, value| match name {
        "by" => Some(DuplicatesBy::parse(value).ok_or(BAD_FIELD).map(|field| by = field)),
        "limit" => Some(parse_limit(value).map(|parsed| limit = parsed)),
        "cursor" => {
            cursor = Some(value.to_owned());
            Some(Ok(()))
        }
        _ => None,
    });
    let list = format!("duplicates by={}", by.as_str());
    let positions = Positions { key: &cursors, list: &list };
    let from = cursor.and_then(|cursor| positions.read(&cursor, &mut errors));
    if !errors.is_empty() {
        return Err(Problem::validation(errors));
    }
    let from = match from {
        Some(ListPosition { key: Some(SortKey::Value(value)), .. }) => Some(value),
        _ => None,
    };
    let (items, next) = api
        .reader
        .read(move |store| {
            let page = store.duplicates(by, from.as_deref(), limit)?;
            let mut items = Vec::with_capacity(page.groups.len());
            for (value, count) in page.groups {
                let filter = match by {
                    DuplicatesBy::Phone => Filter { phone: Phone::parse(&value).ok(), ..Filter::default() },
                    DuplicatesBy::Email => Filter { email: Email::from_accepted(&value).ok(), ..Filter::default() },
                };
                let contacts = store.contacts(&filter, None, MEMBERS)?;
                items.push(Duplicates {
                    value,
                    count,
                    contacts: contacts.iter().filter_map(ContactView::new).collect(),
                });
            }
            Ok((items, page.next))
        })
        .await?;
    let position = |value| ListPosition { key: Some(SortKey::Value(value)), id: ContactId::new(Uuid::nil()) };
    let next = next.map(|value| cursors.encode(&list, &position(value)));
    let mut response = HttpResponse::Ok();
    if let Some(next) = &next {
        let path = format!("/contacts/duplicates?by={}&limit={limit}&cursor={next}", by.as_str());
        response.insert_header((LINK, format!("<{path}>; rel=\"next\"")));
    }
    Ok(response.json(Page { items, next }))
}
