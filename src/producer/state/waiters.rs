//! Waiting for operations to end: a request that waits costs no thread, and all that wait share one query.
//!
//! The rule this room keeps: who waits is answered by its deadline, whatever SQL does, and at once when the role ends.

use crate::domain::OperationId;
use crate::producer::state::reader::Reader;
use crate::stop::Stop;
use crate::store::Operation;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// The time between two looks, while anybody waits.
const LOOK: Duration = Duration::from_millis(15);
/// The most operations that one look asks for; with more, they are asked for in turn.
const AT_ONCE: usize = 4_000;

type Waiting = HashMap<OperationId, Vec<oneshot::Sender<Operation>>>;

/// Everybody who waits.
#[derive(Clone, Default)]
pub(crate) struct Waiters {
    waiting: Arc<Mutex<Waiting>>,
    arrived: Arc<Notify>,
}

impl Waiters {
    /// How an operation ended, if it does in time.
    pub(crate) async fn ended(&self, id: OperationId, within: Duration, stop: &Stop) -> Option<Operation> {
        let (sender, receiver) = oneshot::channel();
        self.lock().entry(id).or_default().push(sender);
        self.arrived.notify_one();
        tokio::select! {
            ended = tokio::time::timeout(within, receiver) => ended.ok()?.ok(),
            () = stop.wait() => None,
        }
    }

    /// Looks for all of them until the role ends, and with it their waiting.
    pub(crate) async fn serve(self, reader: Arc<Reader>, stop: Stop) {
        tokio::select! {
            () = self.poll(&reader) => {}
            () = stop.wait() => {}
        }
    }

    async fn poll(&self, reader: &Reader) {
        let mut turn = 0;
        loop {
            let ids = self.ids();
            if ids.is_empty() {
                self.arrived.notified().await;
                continue;
            }
            let parts: Vec<&[OperationId]> = ids.chunks(AT_ONCE).collect();
            let part = parts.get(turn % parts.len()).copied().unwrap_or_default().to_vec();
            turn = turn.wrapping_add(1);
            let ended = reader.try_read(move |store| store.operations(&part)).await;
            for operation in ended.unwrap_or_default() {
                for waiter in self.lock().remove(&operation.id).unwrap_or_default() {
                    // One that has gone away meanwhile needs no answer.
                    let _ = waiter.send(operation.clone());
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The operations that somebody still waits for.
    fn ids(&self) -> Vec<OperationId> {
        let mut waiting = self.lock();
        waiting.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.is_closed());
            !waiters.is_empty()
        });
        waiting.keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
