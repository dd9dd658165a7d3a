//! Reads from SQL. Their number and time are limited, so that requests do not pile up behind a slow database.

use crate::producer::problems::Kind;
use crate::producer::problems::Problem;
use crate::store::{Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long an optional read may take. A write can continue without its result.
const OPTIONAL_TIMEOUT: Duration = Duration::from_millis(500);

/// Runs reads on blocking threads.
pub(crate) struct Reader {
    store: Arc<dyn Store>,
    permits: Arc<Semaphore>,
    timeout: Duration,
}

impl Reader {
    pub(crate) fn new(store: Arc<dyn Store>, max_concurrent: usize, timeout: Duration) -> Self {
        Self { store, permits: Arc::new(Semaphore::new(max_concurrent)), timeout }
    }

    /// The store, for an export, which takes longer than a normal read may.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// Reads, or returns a 503 problem after the timeout.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        match tokio::time::timeout(self.timeout, self.run(read)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(StoreError::Misconfigured(why) | StoreError::Rejected(why))) => {
                tracing::error!(why, "a read failed");
                Err(Problem::new(Kind::Internal, "This version cannot read the data."))
            }
            Ok(Err(StoreError::Unavailable(why) | StoreError::Locked(why))) => {
                tracing::warn!(why, "a read failed");
                Err(Problem::reads_unavailable())
            }
            Err(_elapsed) => Err(Problem::reads_unavailable()),
        }
    }

    /// Reads something optional. Returns `None` if SQL is slow or unavailable.
    pub(crate) async fn try_read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        self.try_read_within(OPTIONAL_TIMEOUT, read).await
    }

    /// Reads something that is read again after a failure. Returns `None` after the timeout of a normal read.
    pub(crate) async fn read_again<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        self.try_read_within(self.timeout, read).await
    }

    async fn try_read_within<T: Send + 'static>(
        &self,
        timeout: Duration,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        match tokio::time::timeout(timeout, self.run(read)).await {
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
        let task = tokio::task::spawn_blocking(move || {
            // Keeps the permit until the database answers, also if the request has already timed out.
            let _permit = permit;
            read(&*store)
        });
        task.await.unwrap_or_else(|error| Err(StoreError::Unavailable(format!("the read did not finish: {error}"))))
    }
}
