//! Readiness: each component of a role reports whether it can work, and why not.

use super::metrics::COMPONENT_READY;
use metrics::gauge;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The components of a role that must be ready. Clones share them.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<Vec<Component>>>);

/// One component, for example the connection to the broker. Clones share its state.
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

/// The state of a component in the answer of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ComponentStatus {
    /// The name of the component.
    pub name: String,
    /// Whether the component can work.
    pub ready: bool,
    /// Why the component cannot work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Health {
    /// Adds a component. It is not ready until [`Component::set_ready`].
    pub fn component(&self, name: &'static str) -> Component {
        let component = Component { name, state: Arc::new(Mutex::new(State::Starting)) };
        lock(&self.0).push(component.clone());
        component
    }

    /// The state of each component.
    pub fn statuses(&self) -> Vec<ComponentStatus> {
        let status = |component: &Component| {
            let reason = component.reason();
            ComponentStatus { name: component.name.to_owned(), ready: reason.is_none(), reason }
        };
        lock(&self.0).iter().map(status).collect()
    }

    /// Sets the gauge of each component. Components with the same name share a gauge: 1 if all of them are ready.
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
    /// Reports that the component can work. Returns whether its state changed.
    pub fn set_ready(&self) -> bool {
        std::mem::replace(&mut *lock(&self.state), State::Ready) != State::Ready
    }

    /// Reports why the component cannot work. Returns whether it was ready or starting before.
    pub fn set_not_ready(&self, reason: impl Into<String>) -> bool {
        let before = std::mem::replace(&mut *lock(&self.state), State::NotReady(reason.into()));
        matches!(before, State::Starting | State::Ready)
    }

    /// Why the component cannot work. `None` if it is ready.
    pub fn reason(&self) -> Option<String> {
        lock(&self.state).reason()
    }
}

/// Why a check failed last, for people. It does not change the readiness. Clones share it.
#[derive(Clone, Default)]
pub struct LastError(Arc<Mutex<Option<String>>>);

impl LastError {
    /// Sets the error. `None`: the check succeeded.
    pub fn set(&self, error: Option<String>) {
        *lock(&self.0) = error;
    }

    /// The error, if the last check failed.
    pub fn get(&self) -> Option<String> {
        lock(&self.0).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setters_return_whether_the_state_changed() {
        let health = Health::default();
        let component = health.component("test");
        assert_eq!(component.reason(), Some("starting".into()));
        assert!(component.set_not_ready("unavailable") && !component.set_not_ready("still unavailable"));
        assert_eq!(
            health.statuses(),
            [ComponentStatus { name: "test".into(), ready: false, reason: Some("still unavailable".into()) }]
        );
        assert!(component.set_ready() && !component.set_ready());
        assert!(component.set_not_ready("unavailable again"));
    }
}
