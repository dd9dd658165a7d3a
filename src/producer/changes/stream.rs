//! Streams changes as Server-Sent Events.
//!
//! Rules of this file: a page is read only after the client has taken the one before, so a slow client costs one page and the
//! write buffer of its connection. A stream ends at once on shutdown. A database that does not answer does not end it.

use super::cursor;
use super::feed::{ChangeFeed, OpenStream, POLL_INTERVAL};
use super::page::{cursor_expired, first_page};
use super::query::ChangeQuery;
use super::views::ChangeView;
use crate::producer::language::{self, Language};
use crate::producer::problems::Problem;
use crate::producer::state::{AppState, Reader};
use crate::stop::Stop;
use crate::store::{ChangePage, ChangePosition};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, VARY};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream::unfold;
use metrics::Counter;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub(super) const EVENT_STREAM: &str = "text/event-stream";
/// How long a client waits before it connects again, in milliseconds.
const RETRY: &str = "retry: 2000\n";
/// A line that clients ignore. It keeps the connection open in proxies.
const HEARTBEAT: Bytes = Bytes::from_static(b": heartbeat\n\n");
/// The maximum age of a stream. The client then connects again, and its key is checked again.
const MAX_AGE: Duration = Duration::from_secs(15 * 60);
/// How long to wait after a read that failed.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn begin(
    api: &AppState,
    feed: &Data<ChangeFeed>,
    request: &HttpRequest,
    query: ChangeQuery,
) -> Result<HttpResponse, Problem> {
    let open = feed.open()?;
    let newest = *open.newest.borrow();
    // Before the answer begins, it can still be a problem.
    let page = first_page(&api.reader, query).await?;
    let now = Instant::now();
    let mut stream = Stream {
        reader: api.reader.clone(),
        stop: api.stop.clone(),
        sent: feed.sent_in_streams.clone(),
        language: language::negotiate(request),
        heartbeat: api.settings.stream_heartbeat,
        quiet_since: now,
        ends_at: now + MAX_AGE,
        at: page.last,
        next: Next::after(&page, newest),
        open,
        query,
    };
    let first = stream.write_first(&page);
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, EVENT_STREAM))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((VARY, "Accept"))
        // nginx would collect the events before it sends them.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(unfold((Some(first), stream), |(first, mut stream)| async move {
            let chunk = match first {
                Some(first) => first,
                None => stream.next_chunk().await?,
            };
            Some((Ok::<Bytes, Infallible>(chunk), (None, stream)))
        })))
}

/// What a stream does next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Read a page: there is more.
    Read,
    /// Wait until something is new.
    Wait,
    /// Read a page at this time: the last read failed, or it was too early. Not after a duration: each heartbeat cancels the
    /// wait, and it would begin again.
    ReadAt(Instant),
    End,
}

impl Next {
    /// What follows a page that was read when this was the newest place.
    fn after(page: &ChangePage, newest: ChangePosition) -> Self {
        match page.more {
            true => Self::Read,
            // The end of the feed can move back for a short time (`docs/adr/0023-change-feed.md`).
            false if newest.position > page.last.position => Self::ReadAt(Instant::now() + POLL_INTERVAL),
            false => Self::Wait,
        }
    }
}

struct Stream {
    reader: Arc<Reader>,
    stop: Stop,
    sent: Counter,
    language: Language,
    heartbeat: Duration,
    /// When the client was last sent something.
    quiet_since: Instant,
    ends_at: Instant,
    /// The place up to which the client has everything.
    at: ChangePosition,
    next: Next,
    open: OpenStream,
    query: ChangeQuery,
}

impl Stream {
    /// The first chunk: the time before a reconnect, and the place, so that a client knows it before the first change.
    fn write_first(&mut self, page: &ChangePage) -> Bytes {
        let mut text = format!("{RETRY}id: {}\n\n", cursor::encode(self.at));
        if !page.changes.is_empty() {
            // The events have ids of their own.
            text = format!("{RETRY}\n");
            self.write_events(page, &mut text);
        }
        text.into()
    }

    fn write_events(&self, page: &ChangePage, text: &mut String) {
        for change in &page.changes {
            let data = serde_json::to_string(&ChangeView::new(change, self.query.with_contacts)).unwrap_or_default();
            text.push_str(&format!("id: {}\nevent: change\ndata: {data}\n\n", cursor::encode(change.at)));
        }
        self.sent.increment(page.changes.len() as u64);
    }

    /// The next events or a heartbeat. `None` ends the stream.
    async fn next_chunk(&mut self) -> Option<Bytes> {
        loop {
            if self.next == Next::End || self.stop.is_set() || Instant::now() >= self.ends_at {
                return None;
            }
            let (stop, ends_at, heartbeat_at) = (self.stop.clone(), self.ends_at, self.quiet_since + self.heartbeat);
            tokio::select! {
                biased;
                () = stop.wait() => return None,
                () = tokio::time::sleep_until(ends_at) => return None,
                chunk = self.step() => if let Some(chunk) = chunk {
                    self.quiet_since = Instant::now();
                    return Some(chunk);
                },
                () = tokio::time::sleep_until(heartbeat_at) => {
                    self.quiet_since = Instant::now();
                    return Some(HEARTBEAT);
                }
            }
        }
    }

    /// Waits if necessary, and reads a page. It may be cancelled at any time.
    async fn step(&mut self) -> Option<Bytes> {
        match self.next {
            Next::Read | Next::End => {}
            Next::ReadAt(time) => tokio::time::sleep_until(time).await,
            // The sender lives as long as the process.
            Next::Wait => drop(self.open.newest.changed().await),
        }
        // If the read is cancelled, it is repeated.
        self.next = Next::Read;
        let newest = *self.open.newest.borrow_and_update();
        let (after, query) = (Some(self.at), self.query);
        let read = self.reader.read_again(move |store| store.changes(after, query.limit, query.with_contacts)).await;
        let Some(read) = read else {
            self.next = Next::ReadAt(Instant::now() + PAUSE);
            return None;
        };
        let Some(page) = read else {
            self.next = Next::End;
            let problem = serde_json::to_string(&cursor_expired().document(self.language)).unwrap_or_default();
            return Some(format!("event: expired\ndata: {problem}\n\n").into());
        };
        self.at = page.last;
        self.next = Next::after(&page, newest);
        let mut text = String::new();
        self.write_events(&page, &mut text);
        (!text.is_empty()).then(|| text.into())
    }
}
