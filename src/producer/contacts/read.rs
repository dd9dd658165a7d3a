//! Reading contacts: one by its id, or a page of a list.

use super::cursor::CursorKey;
use super::paging::Listing;
use super::views::{ContactView, Fields, Page, Shown};
use crate::domain::Invalid;
use crate::producer::http::conditional::none_match;
use crate::producer::http::parameters::{id, parameters};
use crate::producer::problems::{Kind, Problem};
use crate::producer::state::AppState;
use actix_web::http::header::{ETAG, LINK};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};

const ONLY_FIELDS: Invalid = Invalid { code: "unknown_parameter", detail: "is not a parameter: fields" };

pub(crate) fn no_contact() -> Problem {
    Problem::new(
        Kind::NotFound,
        "There is no contact with this id, or it was deleted, or its create is not applied yet.",
    )
}

pub(crate) async fn contact(
    api: Data<AppState>,
    request: HttpRequest,
    path: Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = id(&path)?;
    let mut fields = None;
    let errors = parameters(request.query_string(), ONLY_FIELDS, |name, value| {
        (name == "fields").then(|| Fields::parse(value).map(|more| Fields::add(&mut fields, more)))
    });
    if !errors.is_empty() {
        return Err(Problem::validation(errors));
    }
    let contact = api.reader.read(move |store| store.contact(id)).await?.ok_or_else(no_contact)?;
    let view = ContactView::new(&contact).ok_or_else(no_contact)?;
    let etag = format!("\"{}\"", contact.version);
    if none_match(&request, contact.version) {
        return Ok(HttpResponse::NotModified().insert_header((ETAG, etag)).finish());
    }
    Ok(HttpResponse::Ok().insert_header((ETAG, etag)).json(Shown::new(view, fields.as_ref())))
}

pub(crate) async fn list(
    api: Data<AppState>,
    cursors: Data<CursorKey>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let listing = Listing::parse(request.query_string(), &cursors)?;
    let (filter, after, limit) = (listing.choice.filter.clone(), listing.after.clone(), listing.limit);
    // One more than asked for tells whether there is a next page.
    let mut contacts = api.reader.read(move |store| store.contacts(&filter, after.as_ref(), limit + 1)).await?;
    let more = contacts.len() > limit as usize;
    contacts.truncate(limit as usize);
    let last = contacts.last().filter(|_| more).map(|last| listing.choice.filter.after(last));
    let next = last.as_ref().map(|last| listing.cursor_after(last, &cursors));
    let mut response = HttpResponse::Ok();
    if let Some(next) = &next {
        response.insert_header((LINK, format!("<{}>; rel=\"next\"", listing.path_at(next))));
    }
    let views = contacts.iter().filter_map(ContactView::new);
    Ok(response.json(Page { items: views.map(|view| Shown::new(view, listing.fields.as_ref())).collect(), next }))
}
