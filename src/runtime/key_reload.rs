//! Reloads the credentials while a role runs: every ten seconds, and on SIGHUP.
//!
//! The rule of this file: only API keys and token keys are reloaded. If they cannot be used, the old ones stay in
//! effect and the error is logged once.

use super::RunError;
use crate::config::Layers;
use crate::producer::Credentials;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// The time between two reloads.
const RELOAD_INTERVAL: Duration = Duration::from_secs(10);

/// Starts to reload the credentials until the process exits.
pub(super) fn start(layers: Layers, credentials: Credentials) -> Result<(), RunError> {
    let mut hangup = signal(SignalKind::hangup())?;
    actix_web::rt::spawn(async move {
        let mut last_error = None;
        loop {
            let requested = tokio::select! {
                _ = hangup.recv() => true,
                () = tokio::time::sleep(RELOAD_INTERVAL) => false,
            };
            let (layers, credentials) = (layers.clone(), credentials.clone());
            // In a blocking thread, because a file may be on a disk that hangs.
            let Ok(result) = tokio::task::spawn_blocking(move || reload(layers, &credentials)).await else { continue };
            match result {
                Ok(true) => last_error = None,
                Ok(false) => {
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

/// Returns whether the credentials changed.
fn reload(layers: Layers, credentials: &Credentials) -> Result<bool, String> {
    let settings = layers.load().map_err(|error| error.to_string())?;
    let changed = credentials.reload(&settings.http).map_err(|error| error.to_string())?;
    if changed {
        tracing::info!(callers = %credentials, "credentials changed");
    }
    Ok(changed)
}
