//! What all readers of the feed share: the limit of the streams, the newest place, and the metrics.
//!
//! Rule of this file: the database is asked for the newest place only while there are streams, and once for all of them.

use crate::producer::problems::Problem;
use crate::producer::state::Reader;
use crate::stop::Stop;
use crate::store::ChangePosition;
use crate::telemetry::metrics::{CHANGE_STREAMS, CHANGES_SENT};
use metrics::{Counter, Gauge, counter, gauge};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

/// The time between two questions for the newest place.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The change feed of a process.
pub(crate) struct ChangeFeed {
    permits: Arc<Semaphore>,
    newest: watch::Sender<ChangePosition>,
    new_stream: Notify,
    streams: Gauge,
    pub(super) sent_in_pages: Counter,
    pub(super) sent_in_streams: Counter,
}

impl ChangeFeed {
    /// A feed with at most this many streams.
    pub(crate) fn new(max_streams: usize) -> Self {
        let streams = gauge!(CHANGE_STREAMS);
        streams.set(0.0);
        Self {
            permits: Arc::new(Semaphore::new(max_streams)),
            newest: watch::Sender::new(ChangePosition::START),
            new_stream: Notify::new(),
            streams,
            sent_in_pages: counter!(CHANGES_SENT, "in" => "page"),
            sent_in_streams: counter!(CHANGES_SENT, "in" => "stream"),
        }
    }

    /// Admits a stream, or returns a 503 problem.
    pub(super) fn open(&self) -> Result<OpenStream, Problem> {
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            return Err(Problem::reads_unavailable_because(
                "There are as many streams of changes as this process allows. Try again later, or read pages.",
            ));
        };
        self.streams.increment(1.0);
        let newest = self.newest.subscribe();
        self.new_stream.notify_one();
        Ok(OpenStream { newest, streams: self.streams.clone(), _permit: permit })
    }

    /// Asks the store for the newest place while there are streams, until the shutdown.
    pub(crate) async fn run(self: Arc<Self>, reader: Arc<Reader>, stop: Stop) {
        tokio::select! {
            () = self.poll_store(&reader) => {}
            () = stop.wait() => {}
        }
    }

    async fn poll_store(&self, reader: &Reader) {
        loop {
            if self.newest.receiver_count() == 0 {
                self.new_stream.notified().await;
                continue;
            }
            if let Some(newest) = reader.try_read(|store| store.last_change()).await {
                self.newest.send_if_modified(|known| std::mem::replace(known, newest) != newest);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// A stream that is open. It counts until it is dropped.
pub(super) struct OpenStream {
    /// The newest place that the process knows.
    pub(super) newest: watch::Receiver<ChangePosition>,
    streams: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.streams.decrement(1.0);
    }
}
