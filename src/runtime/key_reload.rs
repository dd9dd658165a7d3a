//! Keys that change while a role runs: looked for every ten seconds, and on SIGHUP.
//!
//! The rule this file keeps: only the keys of callers and of the identity provider are taken; what cannot be used is said
//! once and changes nothing.

use super::RunError;
use crate::config::Layers;
use crate::producer::Credentials;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How often files are read again.
const EVERY: Duration = Duration::from_secs(10);

/// Watches until the process ends.
pub(super) fn start(layers: Layers, credentials: Credentials) -> Result<(), RunError> {
    let mut hangup = signal(SignalKind::hangup())?;
    actix_web::rt::spawn(async move {
        let mut said = None;
        loop {
            let asked = tokio::select! {
                _ = hangup.recv() => true,
                () = tokio::time::sleep(EVERY) => false,
            };
            let (layers, credentials) = (layers.clone(), credentials.clone());
            // Files may lie on a disk that hangs, and signals must still be heard.
            let Ok(result) = tokio::task::spawn_blocking(move || renew(layers, &credentials)).await else { continue };
            match result {
                Ok(true) => said = None,
                Ok(false) => {
                    said = None;
                    if asked {
                        tracing::info!("the keys are the same");
                    }
                }
                Err(why) if asked || said.as_ref() != Some(&why) => {
                    tracing::error!(why, "the keys stay as they were");
                    said = Some(why);
                }
                Err(_said_already) => {}
            }
        }
    });
    Ok(())
}

fn renew(layers: Layers, credentials: &Credentials) -> Result<bool, String> {
    let settings = layers.load().map_err(|error| error.to_string())?;
    let changed = credentials.reload(&settings.http).map_err(|error| error.to_string())?;
    if changed {
        tracing::info!(callers = %credentials, "the keys have changed");
    }
    Ok(changed)
}
