//! The JSON of changes.

use super::cursor;
use crate::domain::Timestamp;
use crate::formats::ContactView;
use crate::store::{Change, ChangePage};
use serde::Serialize;
use uuid::Uuid;

/// A change.
#[derive(Serialize)]
pub(crate) struct ChangeView {
    cursor: String,
    contact_id: Uuid,
    version: Uuid,
    operation: &'static str,
    completed_at: Timestamp,
    /// The contact as it is now. Null if it was deleted. Only if the request asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<Option<ContactView>>,
}

impl ChangeView {
    pub(crate) fn new(change: &Change, with_contact: bool) -> Self {
        Self {
            cursor: cursor::encode(change.at),
            contact_id: change.contact_id.uuid(),
            version: change.at.operation.uuid(),
            operation: change.kind.as_str(),
            completed_at: change.completed_at,
            contact: with_contact.then(|| change.contact.as_ref().and_then(ContactView::new)),
        }
    }
}

/// A page of changes.
#[derive(Serialize)]
pub(crate) struct ChangePageView {
    items: Vec<ChangeView>,
    next: String,
    more: bool,
}

impl ChangePageView {
    pub(crate) fn new(page: &ChangePage, with_contacts: bool) -> Self {
        Self {
            items: page.changes.iter().map(|change| ChangeView::new(change, with_contacts)).collect(),
            next: cursor::encode(page.last),
            more: page.more,
        }
    }

    /// The cursor of the next page.
    pub(crate) fn next(&self) -> &str {
        &self.next
    }
}
