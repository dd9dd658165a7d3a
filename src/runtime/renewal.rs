//! Keys that change while a role runs: looked for every ten seconds, and on SIGHUP.
//!
//! The rule this file keeps: only the keys of callers and of the identity provider are taken; what cannot be used is said
//! once and changes nothing.

use super::RunError;
use crate::config::Layers;
use crate::producer::Access;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How often files are read again.
const EVERY: Duration = Duration::from_secs(10);

/// Watches until the process ends.
pub(super) fn start(layers: Layers, access: Access) -> Result<(), RunError> {
    let mut hangup = signal(SignalKind::hangup())?;
    actix_web::rt::spawn(async move {
        let mut said = None;
        loop {
            let asked = tokio::select! {
                _ = hangup.recv() => true,
                () = tokio::time::sleep(EVERY) => false,
            };
            let (layers, access) = (layers.clone(), access.clone());
            // Files may lie on a disk that hangs, and signals must still be heard.
            let Ok(result) = tokio::task::spawn_blocking(move || renew(layers, &access)).await else { continue };
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

fn renew(layers: Layers, access: &Access) -> Result<bool, String> {
    let settings = layers.load().map_err(|error| error.to_string())?;
    let changed = access.renew(&settings.http).map_err(|error| error.to_string())?;
    if changed {
        tracing::info!(callers = %access, "the keys have changed");
    }
    Ok(changed)
}
