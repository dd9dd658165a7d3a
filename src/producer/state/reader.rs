//! Reads of SQL: bounded in number and time, so that a slow database cannot pile up requests.

use crate::producer::problems::Kind;
use crate::producer::problems::Problem;
use crate::store::{Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long a check that a write can do without may take.
const OPTIONAL: Duration = Duration::from_millis(500);

pub(crate) struct Reader {
    store: Arc<dyn Store>,
    permits: Arc<Semaphore>,
    timeout: Duration,
}

impl Reader {
    pub(crate) fn new(store: Arc<dyn Store>, at_once: usize, timeout: Duration) -> Self {
        Self { store, permits: Arc::new(Semaphore::new(at_once)), timeout }
    }

    /// What is read, for one who reads longer than a request may.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// Reads, or answers 503 by the deadline.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        match tokio::time::timeout(self.timeout, self.run(read)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(StoreError::Misconfigured(why))) => {
                tracing::error!(why, "a read failed");
                Err(Problem::new(Kind::Internal, "The data cannot be read by this version."))
            }
            Ok(Err(StoreError::Unavailable(why) | StoreError::Rejected(why))) => {
                tracing::warn!(why, "a read failed");
                Err(Problem::reads_unavailable())
            }
            Err(_elapsed) => Err(Problem::reads_unavailable()),
        }
    }

    /// Reads what is only good to know: nothing when SQL is busy or away.
    pub(crate) async fn try_read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        match tokio::time::timeout(OPTIONAL, self.run(read)).await {
            Ok(Ok(value)) => Some(value),
            Ok(Err(error)) => {
                tracing::debug!(%error, "an optional read failed");
                None
            }
            Err(_elapsed) => None,
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let closed = |_closed| StoreError::Unavailable("shutting down".into());
        let permit = self.permits.clone().acquire_owned().await.map_err(closed)?;
        let store = self.store.clone();
        let reading = tokio::task::spawn_blocking(move || {
            // Held until the database answers, even when nobody waits for it any more.
            let _permit = permit;
            read(&*store)
        });
        reading.await.unwrap_or_else(|error| Err(StoreError::Unavailable(format!("the read was cut off: {error}"))))
    }
}
