//! Readiness: each part of a role says whether it can work, and why not.

use super::metrics::COMPONENT_READY;
use metrics::gauge;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The parts of a role that must be ready; clones share them.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<Vec<Component>>>);

/// One part, such as the connection to the broker; clones share its state.
#[derive(Clone)]
pub struct Component {
    name: &'static str,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Ready,
    NotReady(String),
}

impl State {
    fn reason(&self) -> Option<String> {
        match self {
            Self::Starting => Some("starting".into()),
            Self::Ready => None,
            Self::NotReady(reason) => Some(reason.clone()),
        }
    }
}

/// A part's state as `/readyz` shows it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The part.
    pub name: String,
    /// Whether it can work.
    pub ready: bool,
    /// Why it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Health {
    /// Adds a part, not ready until it says so.
    pub fn component(&self, name: &'static str) -> Component {
        let component = Component { name, state: Arc::new(Mutex::new(State::Starting)) };
        lock(&self.0).push(component.clone());
        component
    }

    /// Each part's state.
    pub fn report(&self) -> Vec<Report> {
        let report = |component: &Component| {
            let reason = component.reason();
            Report { name: component.name.to_owned(), ready: reason.is_none(), reason }
        };
        lock(&self.0).iter().map(report).collect()
    }

    /// Sets the gauge of each part; of several of one name, that of the least ready.
    pub fn export(&self) {
        let mut ready = BTreeMap::new();
        for component in lock(&self.0).iter() {
            *ready.entry(component.name).or_insert(true) &= component.reason().is_none();
        }
        for (component, ready) in ready {
            gauge!(COMPONENT_READY, "component" => component).set(f64::from(u8::from(ready)));
        }
    }
}

impl Component {
    /// Reports that it can work. Says whether that is news.
    pub fn ready(&self) -> bool {
        std::mem::replace(&mut *lock(&self.state), State::Ready) != State::Ready
    }

    /// Reports why it cannot work. Says whether that is news: it could before, or has not said anything yet.
    pub fn not_ready(&self, reason: impl Into<String>) -> bool {
        let before = std::mem::replace(&mut *lock(&self.state), State::NotReady(reason.into()));
        matches!(before, State::Starting | State::Ready)
    }

    /// Why it cannot work, if so.
    pub fn reason(&self) -> Option<String> {
        lock(&self.state).reason()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_news() {
        let health = Health::default();
        let part = health.component("part");
        assert_eq!(part.reason(), Some("starting".into()));
        assert!(part.not_ready("away") && !part.not_ready("still away"));
        assert_eq!(health.report(), [Report { name: "part".into(), ready: false, reason: Some("still away".into()) }]);
        assert!(part.ready() && !part.ready());
        assert!(part.not_ready("away again"));
    }
}
