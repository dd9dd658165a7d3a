//! Contacts that another session has locked in the database, such as an administrator with an open transaction.

use crate::domain::ContactId;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the log says that contacts are locked.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// The shortest time after which a contact is forgotten: another process may have applied its commands since then.
const MIN_MEMORY: Duration = Duration::from_secs(60);

/// The contacts that were locked when a worker of this process last tried.
pub(super) struct LockedContacts {
    state: Mutex<State>,
    memory: Duration,
}

#[derive(Default)]
struct State {
    seen: HashMap<ContactId, Instant>,
    warned: Option<Instant>,
}

impl LockedContacts {
    /// A command of a locked contact returns after `retry_delay`.
    pub(super) fn new(retry_delay: Duration) -> Self {
        Self { state: Mutex::default(), memory: MIN_MEMORY.max(retry_delay.saturating_mul(4)) }
    }

    /// Which of these contacts were locked.
    pub(super) fn known(&self, contacts: impl Iterator<Item = ContactId>) -> Vec<ContactId> {
        let state = self.state();
        contacts.filter(|contact| state.seen.contains_key(contact)).collect()
    }

    /// Remembers which of the asked contacts are locked now.
    pub(super) fn update(&self, asked: &[ContactId], locked: &HashSet<ContactId>) {
        let now = Instant::now();
        let mut state = self.state();
        state.seen.retain(|contact, seen| now.duration_since(*seen) < self.memory && !asked.contains(contact));
        state.seen.extend(locked.iter().map(|contact| (*contact, now)));
        if !locked.is_empty() && state.warned.is_none_or(|warned| now.duration_since(warned) > WARN_EVERY) {
            state.warned = Some(now);
            tracing::warn!(
                contacts = locked.len(),
                "another session has locked contacts in the database: their changes wait"
            );
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
