//! The one signal by which a role ends: set once, seen by threads and by tasks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::Notify;

/// Why a role ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It was asked to.
    Asked,
    /// Something is set up wrongly, as this says: waiting cannot heal it.
    Misconfigured(String),
    /// A part of it broke down, as this says.
    Broken(String),
}

#[derive(Default)]
struct Shared {
    cause: Mutex<Option<Cause>>,
    threads: Condvar,
    tasks: Notify,
}

/// A stop signal; clones share it.
#[derive(Clone, Default)]
pub struct Stop(Arc<Shared>);

impl Stop {
    /// Asks everyone to finish. Later calls change nothing.
    pub fn ask(&self) {
        self.set(Cause::Asked);
    }

    /// Ends the role because something is set up wrongly.
    pub fn misconfigured(&self, why: impl Into<String>) {
        self.set(Cause::Misconfigured(why.into()));
    }

    /// Starts a thread of the role; if it panics the role ends: a part that is missing must not go unnoticed.
    pub fn spawn(&self, name: String, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
        let stop = self.clone();
        thread::Builder::new().name(name.clone()).spawn(move || {
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                stop.set(Cause::Broken(format!("the thread {name} broke down")));
            }
        })
    }

    fn set(&self, cause: Cause) {
        self.0.cause.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(cause);
        self.0.threads.notify_all();
        self.0.tasks.notify_waiters();
    }

    /// Why the role ends, once it does.
    pub fn cause(&self) -> Option<Cause> {
        self.0.cause.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it was set.
    pub fn is_set(&self) -> bool {
        self.cause().is_some()
    }

    /// Sleeps, but wakes at once when set. Says whether it was set.
    pub fn sleep(&self, time: Duration) -> bool {
        let cause = self.0.cause.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.threads.wait_timeout_while(cause, time, |cause| cause.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_some()
    }

    /// Resolves when set.
    pub async fn wait(&self) {
        loop {
            // Registered before the check, so that a signal in between is not missed.
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
    fn the_first_cause_stays_and_wakes_sleepers() {
        let stop = Stop::default();
        let sleeper = {
            let stop = stop.clone();
            std::thread::spawn(move || stop.sleep(Duration::from_secs(600)))
        };
        stop.misconfigured("no schema");
        stop.ask();
        assert!(sleeper.join().unwrap());
        assert_eq!(stop.cause(), Some(Cause::Misconfigured("no schema".into())));
    }

    #[test]
    fn a_thread_that_breaks_down_ends_the_role() {
        let stop = Stop::default();
        stop.spawn("worker-1".into(), || panic!("on purpose")).unwrap().join().unwrap();
        assert_eq!(stop.cause(), Some(Cause::Broken("the thread worker-1 broke down".into())));
    }

    #[tokio::test]
    async fn tasks_wake_too() {
        let stop = Stop::default();
        let waiting = tokio::spawn({
            let stop = stop.clone();
            async move { stop.wait().await }
        });
        tokio::task::yield_now().await;
        stop.ask();
        waiting.await.unwrap();
    }
}
