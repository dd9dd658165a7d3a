//! Reading contacts and operations.

use super::assets::Asset;
use super::conditions::none_match;
use super::identity::may_be_pending;
use super::language;
use super::paging::{Listing, parameters};
use super::problem::{Kind, Place};
use super::views::{AreaView, ContactView, Fields, OperationView, Page, Shown};
use super::{Api, Problem};
use crate::domain::{AreaCode, Invalid};
use actix_web::http::header::{ETAG, LINK, RETRY_AFTER, VARY};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use std::str::FromStr;
use std::sync::LazyLock;

const ONLY_FIELDS: Invalid = Invalid { code: "unknown_parameter", detail: "is not a parameter: fields" };
const NO_PARAMETERS: Invalid = Invalid { code: "unknown_parameter", detail: "is not a parameter: there is none here" };

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

pub(super) async fn list(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let listing = Listing::parse(request.query_string(), &api.cursors)?;
    let (filter, after, limit) = (listing.choice.filter.clone(), listing.after.clone(), listing.limit);
    // One more than asked for tells whether there is a next page.
    let mut contacts = api.reader.read(move |store| store.contacts(&filter, after.as_ref(), limit + 1)).await?;
    let more = contacts.len() > limit as usize;
    contacts.truncate(limit as usize);
    let last = contacts.last().filter(|_| more).map(|last| listing.choice.filter.after(last));
    let next = last.as_ref().map(|last| listing.cursor_after(last, &api.cursors));
    let mut response = HttpResponse::Ok();
    if let Some(next) = &next {
        response.insert_header((LINK, format!("<{}>; rel=\"next\"", listing.path_at(next))));
    }
    let views = contacts.iter().filter_map(ContactView::new);
    Ok(response.json(Page { items: views.map(|view| Shown::new(view, listing.fields.as_ref())).collect(), next }))
}

/// The area codes with their states and regions.
static AREAS: LazyLock<Asset> = LazyLock::new(|| {
    let areas: Vec<AreaView> = AreaCode::all().map(AreaView::new).collect();
    Asset::json(serde_json::json!({ "items": areas }).to_string()).kept("public, max-age=86400")
});

pub(super) async fn areas(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let errors = parameters(request.query_string(), NO_PARAMETERS, |_, _| None);
    if !errors.is_empty() {
        return Err(Problem::validation(errors));
    }
    AREAS.answer(&request)
}

pub(super) async fn operation(
    api: Data<Api>,
    request: HttpRequest,
    path: Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = id(&path)?;
    let (operation, horizon) = api
        .reader
        .read(move |store| match store.operation(id)? {
            None => Ok((None, store.pruned_before()?)),
            ended => Ok((ended, None)),
        })
        .await?;
    match operation {
        Some(operation) => {
            let view = OperationView::ended(&operation, language::negotiate(request.headers()));
            Ok(HttpResponse::Ok().insert_header((VARY, "Accept-Language")).json(view))
        }
        None if may_be_pending(id, horizon) => {
            Ok(HttpResponse::Ok().insert_header((RETRY_AFTER, "1")).json(OperationView::pending(id)))
        }
        None => Err(Problem::new(
            Kind::NotFound,
            "There is no operation with this id, or it ended so long ago that it is not remembered.",
        )),
    }
}
