//! SIGTERM and SIGINT: the first starts a graceful shutdown, the second stops the process at once.

use super::RunError;
use crate::stop::Stop;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// The exit code after a second signal: 128 plus the number of SIGTERM, as a shell shows it.
const SECOND_SIGNAL: i32 = 143;
/// Signals within this time count as one. For example, `timeout` sends a signal to its child and then to its process
/// group.
const SIGNAL_DEBOUNCE: Duration = Duration::from_millis(500);

/// The first SIGTERM or SIGINT starts a graceful shutdown. The second one stops the process at once.
pub(super) fn watch(stop: Stop) -> Result<(), RunError> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    actix_web::rt::spawn(async move {
        let mut requested: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            match requested {
                None => {
                    // Before the log line, because writing it may block.
                    stop.request();
                    tracing::info!("graceful shutdown started");
                    requested = Some(Instant::now());
                }
                Some(first) if first.elapsed() < SIGNAL_DEBOUNCE => {}
                Some(_) => {
                    tracing::warn!("second signal received, stopping at once");
                    std::process::exit(SECOND_SIGNAL);
                }
            }
        }
    });
    Ok(())
}

/// Watches the signals in a thread of its own, for commands without an async runtime.
pub(super) fn watch_in_thread(stop: Stop) -> Result<(), RunError> {
    let (ready, watching) = crossbeam_channel::bounded(1);
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let system = actix_web::rt::System::new();
        let result = system.block_on(async { watch(stop) });
        let started = result.is_ok();
        let _ = ready.send(result);
        if started {
            // Runs until the process exits.
            let _ = system.run();
        }
    })?;
    watching.recv().unwrap_or(Ok(()))
}
