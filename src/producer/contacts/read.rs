//! Reads contacts: one by its id, or a page of a list.

use super::cursor::CursorKey;
use super::query_parameters::Listing;
use super::views::{ContactBody, Fields, Page};
use crate::domain::Invalid;
use crate::formats::ContactView;
use crate::producer::http::conditional::none_match;
use crate::producer::http::parameters::{parse_id, parse_query};
use crate::producer::problems::{Kind, Problem};
use crate::producer::state::AppState;
use actix_web::http::header::{ETAG, LINK};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};

const ONLY_FIELDS: Invalid = Invalid::new("unknown_parameter", "is not a parameter: fields");

pub(crate) fn contact_not_found() -> Problem {
    Problem::new(
        Kind::NotFound,
        "There is no contact with this id. Perhaps it was deleted, or its create is not applied yet.",
    )
}

pub(crate) async fn contact(
    api: Data<AppState>,
    request: HttpRequest,
    path: Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = parse_id(&path)?;
    let mut fields = None;
    let errors = parse_query(request.query_string(), ONLY_FIELDS, |name, value| {
        (name == "fields").then(|| Fields::parse(value).map(|more| Fields::merge(&mut fields, more)))
    });
    if !errors.is_empty() {
        return Err(Problem::validation(errors));
    }
    let contact = api.reader.read(move |store| store.contact(id)).await?.ok_or_else(contact_not_found)?;
    let view = ContactView::new(&contact).ok_or_else(contact_not_found)?;
    let etag = format!("\"{}\"", contact.version);
    if none_match(&request, contact.version) {
        return Ok(HttpResponse::NotModified().insert_header((ETAG, etag)).finish());
    }
    Ok(HttpResponse::Ok().insert_header((ETAG, etag)).json(ContactBody::new(view, fields.as_ref())))
}

pub(crate) async fn list(
    api: Data<AppState>,
    cursors: Data<CursorKey>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let listing = Listing::parse(request.query_string(), &cursors)?;
    let (filter, after, limit) = (listing.query.filter.clone(), listing.after.clone(), listing.limit);
    let first = after.is_none();
    // The query asks for one contact more, to know whether there is a next page.
    let mut contacts = api.reader.read(move |store| store.contacts(&filter, after.as_ref(), limit + 1)).await?;
    let more = contacts.len() > limit as usize;
    contacts.truncate(limit as usize);
    let last = contacts.last().filter(|_| more).map(|last| listing.query.filter.position_of(last));
    let next = last.as_ref().map(|last| listing.cursor_after(last, &cursors));
    let estimated_total = match listing.count {
        true if first && !more => u64::try_from(contacts.len()).ok(),
        true => {
            let filter = listing.query.filter.clone();
            Some(api.reader.read(move |store| store.estimated_total(&filter)).await?)
        }
        false => None,
    };
    let mut response = HttpResponse::Ok();
    if let Some(next) = &next {
        response.insert_header((LINK, format!("<{}>; rel=\"next\"", listing.path_at(next))));
    }
    let views = contacts.iter().filter_map(ContactView::new);
    let items = views.map(|view| ContactBody::new(view, listing.fields.as_ref())).collect();
    Ok(response.json(Page { items, next, estimated_total }))
}
