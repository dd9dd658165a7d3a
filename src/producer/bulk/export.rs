//! `GET /contacts/export`: streams contacts from one snapshot of the database.
//!
//! Rule of this file: a stream that ends normally is complete. If the export fails, the producer breaks the connection,
//! so that a client cannot mistake the partial answer for a complete one.

use crate::domain::{Contact, Invalid};
use crate::formats::{self, ContactView, Format};
use crate::producer::contacts::query_parameters::ContactQuery;
use crate::producer::http::parameters::parse_query;
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

/// How many pages may wait for a slow client.
const MAX_PENDING_PAGES: usize = 4;
/// How long a client may take to read a page. The snapshot must not stay open for a client that has stopped.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);

const UNKNOWN: Invalid =
    Invalid::new("unknown_parameter", "is not a parameter: format, ddd, state, region, q, email, phone");
const FORMAT: Invalid = Invalid::new("unknown_format", "must be ndjson, csv, vcard or vcard3");

/// What the database thread sends to the stream.
enum Chunk {
    Page(Bytes),
    /// The export is complete.
    End,
    Failed(StoreError),
}

/// The stream cannot continue. The client sees that the end of the answer is missing.
#[derive(Debug, thiserror::Error)]
#[error("the export was aborted")]
struct ExportAborted;

pub(crate) async fn export(api: Data<AppState>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (mut query, mut format) = (ContactQuery::default(), None);
    let errors: Vec<FieldError> = parse_query(request.query_string(), UNKNOWN, |name, value| match name {
        "format" => Some(Format::parse(value).map(|named| format = Some(named)).ok_or(FORMAT)),
        _ => query.set_parameter(name, value),
    });
    if !errors.is_empty() {
        return Err(Problem::validation(errors));
    }
    query.apply_areas();
    let format = match format {
        Some(format) => format,
        None => negotiate_format(&request)?,
    };
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CONTENT_TYPE, format.media_type()))
        .insert_header((VARY, "Accept"))
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"contacts.{}\"", format.extension())));
    let Ok(permit) = api.export_permits.clone().try_acquire_owned() else {
        return Err(Problem::reads_unavailable_because("Two exports are already running. Try again later."));
    };
    let (sender, mut receiver) = channel(MAX_PENDING_PAGES);
    let (store, handle, stop) = (api.reader.store(), Handle::current(), api.stop.clone());
    actix_web::rt::task::spawn_blocking(move || {
        // Keeps the permit until the last page is written.
        let _permit = permit;
        let mut page = Vec::new();
        formats::write_header(format, &mut page);
        let mut is_read = true;
        let result = store.export(&query.filter, &mut |contacts| {
            contacts.iter().for_each(|contact| write_contact(format, contact, &mut page));
            is_read = !stop.is_set() && send(&handle, &sender, &stop, Chunk::Page(std::mem::take(&mut page).into()));
            is_read
        });
        match result {
            // Without `Chunk::End` the stream is aborted.
            Ok(()) if stop.is_set() && !is_read => tracing::info!("an export was aborted by the shutdown"),
            // The client disconnected or read too slowly.
            Ok(()) if !is_read => tracing::info!("an export was aborted: the client stopped reading"),
            Ok(()) => {
                // The header of a CSV file without contacts.
                let _ = page.is_empty() || send(&handle, &sender, &stop, Chunk::Page(page.into()));
                send(&handle, &sender, &stop, Chunk::End);
            }
            Err(error) => drop(send(&handle, &sender, &stop, Chunk::Failed(error))),
        }
    });
    // The producer waits for the first page, so that it can still answer 503.
    match receiver.recv().await {
        Some(Chunk::Failed(error)) => {
            tracing::warn!(%error, "an export failed");
            Err(Problem::reads_unavailable())
        }
        first => Ok(response.streaming(page_stream(first, receiver))),
    }
}

/// The format with the highest weight in `Accept`.
fn negotiate_format(request: &HttpRequest) -> Result<Format, Problem> {
    let mut ranges = request.headers().get_all(ACCEPT).filter_map(|value| value.to_str().ok()).peekable();
    if ranges.peek().is_none() {
        return Ok(Format::Ndjson);
    }
    let mut best = None;
    for range in ranges.flat_map(|value| value.split(',')) {
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
        // The first format wins if several have the same weight.
        if let Some(format) = format.filter(|_| weight > best.map_or(0.0, |(weight, _)| weight)) {
            best = Some((weight, format));
        }
    }
    if let Some((_, format)) = best {
        return Ok(format);
    }
    Err(Problem::new(Kind::NotAcceptable, "Accept application/x-ndjson, text/csv or text/vcard."))
}

fn write_contact(format: Format, contact: &Contact, page: &mut Vec<u8>) {
    if let Some(view) = ContactView::new(contact) {
        formats::write_record(format, &view, page);
    }
}

/// Sends a chunk to the stream. Returns whether the client still reads. A shutdown does not wait for a slow client.
fn send(handle: &Handle, sender: &Sender<Chunk>, stop: &Stop, chunk: Chunk) -> bool {
    handle.block_on(async {
        tokio::select! {
            biased;
            sent = tokio::time::timeout(PAGE_TIMEOUT, sender.send(chunk)) => sent.is_ok_and(|sent| sent.is_ok()),
            () = stop.wait() => false,
        }
    })
}

fn page_stream(
    mut first: Option<Chunk>,
    mut receiver: Receiver<Chunk>,
) -> impl futures_util::Stream<Item = Result<Bytes, ExportAborted>> {
    let mut finished = false;
    poll_fn(move |context| {
        if finished {
            return Poll::Ready(None);
        }
        let chunk = match first.take() {
            Some(chunk) => Some(chunk),
            None => ready!(receiver.poll_recv(context)),
        };
        Poll::Ready(match chunk {
            Some(Chunk::Page(page)) => Some(Ok(page)),
            Some(Chunk::End) => None,
            Some(Chunk::Failed(error)) => {
                tracing::warn!(%error, "an export failed");
                finished = true;
                Some(Err(ExportAborted))
            }
            // The database thread stopped or panicked.
            None => {
                finished = true;
                Some(Err(ExportAborted))
            }
        })
    })
}
