//! `GET /console/api/dead-letters/jobs/{id}/archive`: streams the messages of an archive job, as `dlq-drain export --keep`
//! writes them.
//!
//! Rule of this file: only what a client has read to its end may be discarded. A download that ends early breaks the
//! connection, so that a client cannot mistake a part for the whole.

use super::audit::audit;
use super::job::{Job, JobOperator};
use super::{Console, problem, queue};
use crate::console::Parts;
use crate::console::access::Writer;
use crate::console::problem::Problem;
use crate::dlq::{DlqError, Report, Run, SelectedMessages, WriteError, copy};
use crate::stop::Stop;
use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::web::{Bytes, Data, Path};
use futures_util::stream::poll_fn;
use serde_json::{Value, json};
use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use uuid::Uuid;

/// The size of a part of the answer, in bytes.
const PART: usize = 64 * 1024;
/// How many parts may wait for a slow client.
const MAX_PENDING_PARTS: usize = 4;
/// How long a client may take to read a part. Nobody else can read the queue meanwhile.
const PART_TIMEOUT: Duration = Duration::from_secs(10);

/// The messages of an archive job.
pub(super) struct Archive {
    pub(super) job: Arc<Job>,
    selected: SelectedMessages,
    copied: Mutex<Copied>,
}

/// What was downloaded.
#[derive(Default)]
struct Copied {
    /// The messages of the last complete download that are not discarded yet.
    messages: Option<SelectedMessages>,
    lines: usize,
    bytes: u64,
}

impl Archive {
    pub(super) fn new(job: Arc<Job>, selected: SelectedMessages) -> Self {
        Self { job, selected, copied: Mutex::default() }
    }

    fn copied(&self) -> MutexGuard<'_, Copied> {
        self.copied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was downloaded to its end.
    pub(super) fn is_complete(&self) -> bool {
        self.copied().messages.is_some()
    }

    /// The messages to discard.
    pub(super) fn take_copied(&self) -> SelectedMessages {
        self.copied().messages.take().unwrap_or_default()
    }

    /// The messages that are still to discard.
    pub(super) fn set_copied(&self, messages: SelectedMessages) {
        self.copied().messages = Some(messages);
    }

    pub(super) fn view(&self) -> Value {
        let Copied { messages, lines, bytes } = &*self.copied();
        json!({ "id": self.job.id, "complete": messages.is_some(), "lines": lines, "bytes": bytes })
    }
}

/// What the thread sends to the stream.
enum Part {
    Lines(Bytes),
    /// The archive is complete: its messages, and its size in bytes.
    End(Box<SelectedMessages>, u64),
    Failed(Problem),
}

/// The stream cannot continue. The client sees that the end of the answer is missing.
#[derive(Debug, thiserror::Error)]
#[error("the download was aborted")]
struct DownloadAborted;

pub(super) async fn download(
    console: Data<Console>,
    Writer(operator): Writer,
    id: Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let parts = console.parts()?;
    let archive = console.0.dead_letters.jobs.find_archive(id.into_inner())?;
    let stop = parts.stop.child();
    let job = &archive.job;
    console.0.dead_letters.jobs.begin_again(job, stop.clone())?;
    // The end of a download may never be known, but personal data leaves the process from here on.
    audit(&operator.name, "download archive", &job.selection.text(), job.selected(), "started");
    let download =
        Arc::new(Download { archive: archive.clone(), operator: operator.name, is_finished: AtomicBool::new(false) });
    let (sender, mut receiver) = channel(MAX_PENDING_PARTS);
    let writer = PartWriter { sender, handle: Handle::current(), stop, bytes: 0 };
    let reader = Reader(download.clone());
    actix_web::rt::task::spawn_blocking(move || write(&console, &parts, &download, writer));
    // Waits for the first part, so that it can still answer with a problem.
    let first = match receiver.recv().await {
        Some(Part::Failed(problem)) => {
            reader.0.fail(problem.to_string());
            return Err(problem);
        }
        first => first,
    };
    let name = chrono::Utc::now().format("dead-letters-%Y-%m-%dT%H-%M-%SZ.ndjson");
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/x-ndjson"))
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .streaming(stream(reader, first, receiver)))
}

/// The thread that reads the queue. It also ends the job of a client that reads nothing more: nobody asks the stream of
/// such a client for its next part.
fn write(console: &Console, parts: &Parts, download: &Download, mut writer: PartWriter) {
    let archive = &download.archive;
    let operator = JobOperator { job: archive.job.clone(), expected: usize::MAX, decided: |_| {} };
    let stop = writer.stop.clone();
    let queue = console.0.dead_letters.turns.open(parts, queue::Holder::Job);
    let result = queue.map_err(WriteError::Queue).and_then(|queue| {
        let (publisher, open_store) = (&parts.publisher, &*parts.open_store);
        let run = Run { queue: &queue, publisher, open_store, stop: &stop, operator: &operator };
        let mut out = BufWriter::with_capacity(PART, &mut writer);
        copy(&run, &archive.selected, &mut out)
    });
    let last = match result {
        Ok(copied) if !stop.is_set() => Some(Part::End(Box::new(copied), writer.bytes)),
        Err(WriteError::Queue(error)) => Some(Part::Failed(problem(&DlqError::Queue(error)))),
        // Without an end the stream is aborted.
        Ok(_) | Err(WriteError::Output(_)) => None,
    };
    let is_read = last.is_some_and(|last| writer.send(last).is_ok() && writer.wait_until_read());
    if !is_read {
        download.fail("the client did not read the archive to its end".to_owned());
    }
}

/// Sends what is written to the stream.
struct PartWriter {
    sender: Sender<Part>,
    handle: Handle,
    stop: Stop,
    bytes: u64,
}

impl PartWriter {
    fn send(&self, part: Part) -> io::Result<()> {
        self.handle.block_on(async {
            tokio::select! {
                biased;
                sent = tokio::time::timeout(PART_TIMEOUT, self.sender.send(part)) => match sent {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
                    Err(_) => Err(io::ErrorKind::TimedOut.into()),
                },
                () = self.stop.wait() => Err(io::ErrorKind::Interrupted.into()),
            }
        })
    }
}

impl PartWriter {
    /// Waits until the client has read what was sent. Returns false if it reads nothing more.
    fn wait_until_read(&self) -> bool {
        self.handle.block_on(async {
            loop {
                let before = self.sender.capacity();
                tokio::select! {
                    () = self.sender.closed() => return true,
                    () = self.stop.wait() => return false,
                    () = tokio::time::sleep(PART_TIMEOUT) => if self.sender.capacity() == before { return false },
                }
            }
        })
    }
}

impl Write for PartWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(Part::Lines(Bytes::copy_from_slice(bytes)))
            // A writer would try again after `Interrupted`.
            .map_err(|error| io::Error::other(error.to_string()))?;
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A download. It ends once: the stream or the thread ends its job.
struct Download {
    archive: Arc<Archive>,
    operator: String,
    is_finished: AtomicBool,
}

impl Download {
    /// The client has read everything. Returns false if the download has failed before.
    fn complete(&self, messages: SelectedMessages, bytes: u64) -> bool {
        let lines = messages.len();
        self.finish(|archive| {
            *archive.copied() = Copied { messages: Some(messages), lines, bytes };
            Ok(Report::of(archive.job.selected(), lines))
        })
    }

    fn fail(&self, reason: String) {
        self.finish(|_| Err(("archive_incomplete", reason)));
    }

    fn finish(&self, result: impl FnOnce(&Archive) -> Result<Report, (&'static str, String)>) -> bool {
        if self.is_finished.swap(true, Ordering::AcqRel) {
            return false;
        }
        let job = &self.archive.job;
        let end = job.finish(result(&self.archive));
        audit(&self.operator, "download archive", &job.selection.text(), job.done(), end.as_str());
        true
    }
}

/// The end of the stream: the client has read everything, or it is gone.
struct Reader(Arc<Download>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.fail("the download ended early".to_owned());
    }
}

fn stream(
    reader: Reader,
    mut first: Option<Part>,
    mut receiver: Receiver<Part>,
) -> impl futures_util::Stream<Item = Result<Bytes, DownloadAborted>> {
    let mut is_complete = false;
    poll_fn(move |context| {
        if is_complete {
            return Poll::Ready(None);
        }
        let part = match first.take() {
            Some(part) => Some(part),
            None => ready!(receiver.poll_recv(context)),
        };
        Poll::Ready(match part {
            Some(Part::Lines(lines)) => Some(Ok(lines)),
            Some(Part::End(messages, bytes)) => {
                is_complete = reader.0.complete(*messages, bytes);
                if is_complete { None } else { Some(Err(DownloadAborted)) }
            }
            Some(Part::Failed(problem)) => {
                reader.0.fail(problem.to_string());
                Some(Err(DownloadAborted))
            }
            // The thread stopped or panicked.
            None => Some(Err(DownloadAborted)),
        })
    })
}
