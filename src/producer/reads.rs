//! Reading contacts and operations.

use super::conditions::none_match;
use super::identity::may_be_pending;
use super::paging::Listing;
use super::problem::{Kind, Place};
use super::views::{ContactView, OperationView, Page};
use super::{Api, Problem};
use actix_web::http::header::{ETAG, LINK, RETRY_AFTER};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use std::str::FromStr;

/// An id in a path. A text that is no id names nothing, so it is a 404 that says so.
pub(super) fn id<T: FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_malformed| {
        let mut problem = Problem::field(Place::Path, "id", "malformed", "must be a UUID");
        problem.set_kind(Kind::NotFound);
        problem
    })
}

pub(super) fn no_contact() -> Problem {
    Problem::new(
        Kind::NotFound,
        "There is no contact with this id, or it was deleted, or its create is not applied yet.",
    )
}

pub(super) async fn contact(api: Data<Api>, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Problem> {
    let id = id(&path)?;
    let contact = api.reader.read(move |store| store.contact(id)).await?.ok_or_else(no_contact)?;
    let view = ContactView::new(&contact).ok_or_else(no_contact)?;
    let etag = format!("\"{}\"", contact.version);
    if none_match(&request, contact.version) {
        return Ok(HttpResponse::NotModified().insert_header((ETAG, etag)).finish());
    }
    Ok(HttpResponse::Ok().insert_header((ETAG, etag)).json(view))
}

pub(super) async fn list(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let listing = Listing::parse(request.query_string())?;
    let (filter, after, limit) = (listing.filter.clone(), listing.after.clone(), listing.limit);
    // One more than asked for tells whether there is a next page.
    let mut contacts = api.reader.read(move |store| store.contacts(&filter, after.as_ref(), limit + 1)).await?;
    let more = contacts.len() > limit as usize;
    contacts.truncate(limit as usize);
    let last = contacts.last().filter(|_| more).map(|last| listing.filter.after(last));
    let next = last.as_ref().map(Listing::cursor_after);
    let mut response = HttpResponse::Ok();
    if let Some(last) = &last {
        response.insert_header((LINK, format!("<{}>; rel=\"next\"", listing.path_after(last))));
    }
    Ok(response.json(Page { items: contacts.iter().filter_map(ContactView::new).collect(), next }))
}

pub(super) async fn operation(api: Data<Api>, path: Path<String>) -> Result<HttpResponse, Problem> {
    let id = id(&path)?;
    let (operation, horizon) = api
        .reader
        .read(move |store| match store.operation(id)? {
            None => Ok((None, store.pruned_before()?)),
            ended => Ok((ended, None)),
        })
        .await?;
    match operation {
        Some(operation) => Ok(HttpResponse::Ok().json(OperationView::ended(&operation))),
        None if may_be_pending(id, horizon) => {
            Ok(HttpResponse::Ok().insert_header((RETRY_AFTER, "1")).json(OperationView::pending(id)))
        }
        None => Err(Problem::new(
            Kind::NotFound,
            "There is no operation with this id, or it ended so long ago that it is not remembered.",
        )),
    }
}
