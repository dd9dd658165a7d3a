//! The stop signal of a role. It is set once; threads and tasks can wait for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::Notify;

/// Why a role stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A signal requested it.
    Requested,
    /// A setting, a queue or a schema is wrong. Waiting does not help.
    Misconfigured(String),
    /// A thread of the role failed.
    Failed(String),
}

#[derive(Default)]
struct Shared {
    cause: Mutex<Option<Cause>>,
    threads: Condvar,
    tasks: Notify,
    children: Mutex<Vec<Weak<Shared>>>,
}

/// A stop signal; clones share it.
#[derive(Clone, Default)]
pub struct Stop(Arc<Shared>);

impl Stop {
    /// Requests a graceful shutdown. Only the first cause counts.
    pub fn request(&self) {
        self.set(Cause::Requested);
    }

    /// Stops the role because a setting, a queue or a schema is wrong.
    pub fn misconfigured(&self, reason: impl Into<String>) {
        self.set(Cause::Misconfigured(reason.into()));
    }

    /// Starts a thread of the role. If the thread panics, the role stops: it must not run without one of its threads.
    pub fn spawn(&self, name: String, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
        let stop = self.clone();
        thread::Builder::new().name(name.clone()).spawn(move || {
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                stop.set(Cause::Failed(format!("the thread {name} panicked")));
            }
        })
    }

    /// A signal that is set when this one is, and that can also be set alone.
    #[must_use]
    pub fn child(&self) -> Self {
        let child = Self::default();
        let mut children = self.0.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain(|child| child.strong_count() > 0);
        children.push(Arc::downgrade(&child.0));
        drop(children);
        // After the registration, so that a signal between the two is not missed.
        if let Some(cause) = self.cause() {
            child.set(cause);
        }
        child
    }

    fn set(&self, cause: Cause) {
        self.0.cause.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(cause.clone());
        self.0.threads.notify_all();
        self.0.tasks.notify_waiters();
        let children = self.0.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.iter().filter_map(Weak::upgrade).for_each(|child| Self(child).set(cause.clone()));
    }

    /// Why the role stops; `None` while it runs.
    pub fn cause(&self) -> Option<Cause> {
        self.0.cause.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the signal is set.
    pub fn is_set(&self) -> bool {
        self.cause().is_some()
    }

    /// Sleeps, but wakes as soon as the signal is set. Returns whether it is set.
    pub fn sleep(&self, time: Duration) -> bool {
        let cause = self.0.cause.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.threads.wait_timeout_while(cause, time, |cause| cause.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_some()
    }

    /// Resolves when the signal is set.
    pub async fn wait(&self) {
        loop {
            // Registered before the check, so that a signal between the two is not missed.
            let notified = self.0.tasks.notified();
            if self.is_set() {
                return;
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_counts_and_wakes_sleeping_threads() {
        let stop = Stop::default();
        let sleeper = {
            let stop = stop.clone();
            std::thread::spawn(move || stop.sleep(Duration::from_secs(600)))
        };
        stop.misconfigured("no schema");
        stop.request();
        assert!(sleeper.join().unwrap());
        assert_eq!(stop.cause(), Some(Cause::Misconfigured("no schema".into())));
    }

    #[test]
    fn a_thread_that_panics_stops_the_role() {
        let stop = Stop::default();
        stop.spawn("worker-1".into(), || panic!("on purpose")).unwrap().join().unwrap();
        assert_eq!(stop.cause(), Some(Cause::Failed("the thread worker-1 panicked".into())));
    }

    #[test]
    fn a_child_is_set_alone_or_with_its_parent() {
        let parent = Stop::default();
        let (alone, together) = (parent.child(), parent.child());
        alone.request();
        assert!(alone.is_set() && !parent.is_set() && !together.is_set());
        parent.request();
        assert!(together.is_set() && parent.child().is_set());
    }

    #[tokio::test]
    async fn the_signal_wakes_tasks() {
        let stop = Stop::default();
        let waiting = tokio::spawn({
            let stop = stop.clone();
            async move { stop.wait().await }
        });
        tokio::task::yield_now().await;
        stop.request();
        waiting.await.unwrap();
    }
}
