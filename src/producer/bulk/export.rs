//! All contacts in one answer: read from one snapshot, written as they are read.
//!
//! The rule this room keeps: an answer that ends well is whole; one that cannot go on is cut off, so that it cannot be
//! taken for a whole one.

use crate::domain::{Contact, Invalid};
use crate::formats::{self, ExportRecord, Format};
use crate::producer::contacts::paging::Choice;
use crate::producer::contacts::views::ContactView;
use crate::producer::http::parameters::parameters;
use crate::producer::problems::Problem;
use crate::producer::problems::{FieldError, Kind};
use crate::producer::state::AppState;
use crate::stop::Stop;
use crate::store::StoreError;
use actix_web::http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, VARY};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream::poll_fn;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Pages that may wait for a caller who reads slowly.
const PAGES_WAITING: usize = 4;
/// How long a caller may take to read a page; a snapshot must not stay open for one who has stopped.
const PATIENCE: Duration = Duration::from_secs(10);

const UNKNOWN: Invalid =
    Invalid { code: "unknown_parameter", detail: "is not a parameter: format, ddd, state, region, q, email, phone" };
const FORMAT: Invalid = Invalid { code: "unknown_format", detail: "must be ndjson, csv, vcard or vcard3" };

/// What the reader of the database hands over.
enum Part {
    Page(Bytes),
    /// There is no more: what was handed over is whole.
    End,
    Failed(StoreError),
}

/// An answer that cannot go on. Its end is missing, so whoever reads it knows.
#[derive(Debug, thiserror::Error)]
#[error("the export was cut short")]
struct CutShort;

pub(crate) async fn export(api: Data<AppState>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (mut choice, mut format) = (Choice::default(), None);
    let errors: Vec<FieldError> = parameters(request.query_string(), UNKNOWN, |name, value| match name {
        "format" => Some(Format::parse(value).map(|named| format = Some(named)).ok_or(FORMAT)),
        _ => choice.take(name, value),
    });
    if !errors.is_empty() {
        return Err(Problem::validation(errors));
    }
    choice.narrow();
    let format = match format {
        Some(format) => format,
        None => accepted(&request)?,
    };
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CONTENT_TYPE, format.media_type()))
        .insert_header((VARY, "Accept"))
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"contacts.{}\"", format.extension())));
    let Ok(permit) = api.exports.clone().try_acquire_owned() else {
        return Err(Problem::reads_unavailable_because("Two exports run already: ask again when one has ended."));
    };
    let (sender, mut receiver) = channel(PAGES_WAITING);
    let (store, handle, stop) = (api.reader.store(), Handle::current(), api.stop.clone());
    actix_web::rt::task::spawn_blocking(move || {
        // Held until the last page is written.
        let _permit = permit;
        let mut page = Vec::new();
        formats::header(format, &mut page);
        let mut read = true;
        let result = store.export(&choice.filter, &mut |contacts| {
            contacts.iter().for_each(|contact| write(format, contact, &mut page));
            read = !stop.is_set() && send(&handle, &sender, &stop, Part::Page(std::mem::take(&mut page).into()));
            read
        });
        match result {
            // Without its end the answer is cut off.
            Ok(()) if stop.is_set() && !read => tracing::info!("an export was cut off, because the service ends"),
            // Nobody reads, or not fast enough.
            Ok(()) if !read => tracing::info!("an export was not read to its end"),
            Ok(()) => {
                // A heading without contacts.
                let _ = page.is_empty() || send(&handle, &sender, &stop, Part::Page(page.into()));
                send(&handle, &sender, &stop, Part::End);
            }
            Err(error) => drop(send(&handle, &sender, &stop, Part::Failed(error))),
        }
    });
    // The answer begins when there is something to answer with.
    match receiver.recv().await {
        Some(Part::Failed(error)) => {
            tracing::warn!(%error, "an export failed");
            Err(Problem::reads_unavailable())
        }
        first => Ok(response.streaming(pages(first, receiver))),
    }
}

/// The format that the caller likes best.
fn accepted(request: &HttpRequest) -> Result<Format, Problem> {
    let mut asked = request.headers().get_all(ACCEPT).filter_map(|value| value.to_str().ok()).peekable();
    if asked.peek().is_none() {
        return Ok(Format::Ndjson);
    }
    let mut best = None;
    for range in asked.flat_map(|value| value.split(',')) {
        let (range, parameters) = range.split_once(';').unwrap_or((range, ""));
        let weight = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("q="));
        let weight = weight.map_or(1.0, |text| text.trim().parse::<f32>().unwrap_or_default());
        let format = match range.trim() {
            "*/*" | "application/*" => Some(Format::Ndjson),
            "text/*" => Some(Format::Csv),
            range => match Format::of_media_type(range) {
                Some(Format::VCard4) if parameters.contains("3.0") => Some(Format::VCard3),
                format => format,
            },
        };
        // Of several with one weight the first.
        if let Some(format) = format.filter(|_| weight > best.map_or(0.0, |(weight, _)| weight)) {
            best = Some((weight, format));
        }
    }
    if let Some((_, format)) = best {
        return Ok(format);
    }
    Err(Problem::new(Kind::NotAcceptable, "Accept application/x-ndjson, text/csv or text/vcard."))
}

fn write(format: Format, contact: &Contact, page: &mut Vec<u8>) {
    let Some(view) = ContactView::new(contact) else { return };
    view.exported(|exported: &ExportRecord<'_>| formats::write(format, exported, page));
}

/// Whether somebody is still there to read it. Of who reads slowly the end of the role does not wait.
fn send(handle: &Handle, sender: &Sender<Part>, stop: &Stop, part: Part) -> bool {
    handle.block_on(async {
        tokio::select! {
            biased;
            sent = tokio::time::timeout(PATIENCE, sender.send(part)) => sent.is_ok_and(|sent| sent.is_ok()),
            () = stop.wait() => false,
        }
    })
}

fn pages(
    mut first: Option<Part>,
    mut receiver: Receiver<Part>,
) -> impl futures_util::Stream<Item = Result<Bytes, CutShort>> {
    let mut ended = false;
    poll_fn(move |context| {
        if ended {
            return Poll::Ready(None);
        }
        let part = match first.take() {
            Some(part) => Some(part),
            None => ready!(receiver.poll_recv(context)),
        };
        Poll::Ready(match part {
            Some(Part::Page(page)) => Some(Ok(page)),
            Some(Part::End) => None,
            Some(Part::Failed(error)) => {
                tracing::warn!(%error, "an export failed");
                ended = true;
                Some(Err(CutShort))
            }
            // The reader gave up, or broke down.
            None => {
                ended = true;
                Some(Err(CutShort))
            }
        })
    })
}
