//! Reloads credentials while a role runs: every ten seconds, and on SIGHUP.
//!
//! The rule of this file: only API keys, token keys and the keys of the console are reloaded. If they cannot be used, the
//! old ones stay in effect and the error is logged once.

use super::RunError;
use crate::config::{Layers, Settings};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// The time between two reloads.
const RELOAD_INTERVAL: Duration = Duration::from_secs(10);

/// Starts to reload credentials until the process exits. `renew` returns who has a key now, if that changed.
pub(super) fn start(
    layers: Layers,
    renew: impl Fn(&Settings) -> Result<Option<String>, String> + Send + Sync + 'static,
) -> Result<(), RunError> {
    let renew = Arc::new(renew);
    let mut hangup = signal(SignalKind::hangup())?;
    actix_web::rt::spawn(async move {
        let mut last_error = None;
        loop {
            let requested = tokio::select! {
                _ = hangup.recv() => true,
                () = tokio::time::sleep(RELOAD_INTERVAL) => false,
            };
            let (layers, renew) = (layers.clone(), renew.clone());
            // In a blocking thread, because a file may be on a disk that hangs.
            let reload = move || renew(&layers.load().map_err(|error| error.to_string())?);
            let Ok(result) = tokio::task::spawn_blocking(reload).await else { continue };
            match result {
                Ok(Some(callers)) => {
                    last_error = None;
                    tracing::info!(callers, "credentials changed");
                }
                Ok(None) => {
                    last_error = None;
                    if requested {
                        tracing::info!("credentials are unchanged");
                    }
                }
                Err(why) if requested || last_error.as_ref() != Some(&why) => {
                    tracing::error!(why, "credentials cannot be reloaded");
                    last_error = Some(why);
                }
                Err(_logged_before) => {}
            }
        }
    });
    Ok(())
}
