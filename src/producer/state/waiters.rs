//! Requests that wait until their operation has finished. A waiting request uses no thread, and all of them share one
//! query.
//!
//! Rule of this file: every request is answered by its deadline, whatever SQL does, and at once on shutdown.

use crate::domain::OperationId;
use crate::producer::state::reader::Reader;
use crate::stop::Stop;
use crate::store::Operation;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// The time between two queries while requests wait.
const POLL_INTERVAL: Duration = Duration::from_millis(15);
/// The maximum number of operations in one query. If there are more, the queries take turns.
const MAX_IDS_PER_QUERY: usize = 4_000;

type WaitersById = HashMap<OperationId, Vec<oneshot::Sender<Operation>>>;

/// All waiting requests. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct OperationWaiters {
    waiters: Arc<Mutex<WaitersById>>,
    new_waiter: Arc<Notify>,
}

impl OperationWaiters {
    /// Waits until the operation has finished. Returns `None` after the timeout or on shutdown.
    pub(crate) async fn wait_for(&self, id: OperationId, timeout: Duration, stop: &Stop) -> Option<Operation> {
        let (sender, receiver) = oneshot::channel();
        self.lock().entry(id).or_default().push(sender);
        self.new_waiter.notify_one();
        tokio::select! {
            finished = tokio::time::timeout(timeout, receiver) => finished.ok()?.ok(),
            () = stop.wait() => None,
        }
    }

    /// Polls the store for finished operations until the shutdown.
    pub(crate) async fn run(self, reader: Arc<Reader>, stop: Stop) {
        tokio::select! {
            () = self.poll_store(&reader) => {}
            () = stop.wait() => {}
        }
    }

    async fn poll_store(&self, reader: &Reader) {
        let mut turn = 0;
        loop {
            let ids = self.ids();
            if ids.is_empty() {
                self.new_waiter.notified().await;
                continue;
            }
            let chunks: Vec<&[OperationId]> = ids.chunks(MAX_IDS_PER_QUERY).collect();
            let chunk = chunks.get(turn % chunks.len()).copied().unwrap_or_default().to_vec();
            turn = turn.wrapping_add(1);
            let finished = reader.try_read(move |store| store.operations(&chunk)).await;
            for operation in finished.unwrap_or_default() {
                for waiter in self.lock().remove(&operation.id).unwrap_or_default() {
                    // A request that has ended in the meantime needs no answer.
                    let _ = waiter.send(operation.clone());
                }
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// The operations that requests still wait for.
    fn ids(&self) -> Vec<OperationId> {
        let mut waiters = self.lock();
        waiters.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.is_closed());
            !waiters.is_empty()
        });
        waiters.keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, WaitersById> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
