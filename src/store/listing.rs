//! Lists of contacts: the filter, the order of a list, and where a page starts.
//!
//! Everything here is the same for both databases. The SQL of a page is in `postgres/listing.rs` and
//! `sqlite/listing.rs`.

use super::StoreError;
use crate::domain::{AreaCode, Contact, ContactId, Email, Lifecycle, NameKey, Phone};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Which contacts to list. A contact must match every part that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The area codes to list.
    pub areas: Option<BTreeSet<AreaCode>>,
    /// The start of the name.
    pub name: Option<NameKey>,
    /// The e-mail address, in upper or lower case.
    pub email: Option<Email>,
    /// The phone number.
    pub phone: Option<Phone>,
}

impl Filter {
    /// Restricts the filter to these areas, in addition to the areas it already has.
    pub fn restrict_to(&mut self, areas: impl Iterator<Item = AreaCode>) {
        let areas: BTreeSet<AreaCode> = areas.collect();
        self.areas = Some(match self.areas.take() {
            Some(known) => known.intersection(&areas).copied().collect(),
            None => areas,
        });
    }

    /// The position of a contact in the list.
    pub fn position_of(&self, contact: &Contact) -> ListPosition {
        let name = match (self.name_order(), &contact.life) {
            (Some(_), Lifecycle::Live(details)) => Some(NameKey::of(&details.name)),
            _ => None,
        };
        ListPosition { name, id: contact.id }
    }

    /// The start of the name, if the list is in the order of names. With an address or a number, the order is by id.
    fn name_order(&self) -> Option<&NameKey> {
        self.name.as_ref().filter(|_| self.email.is_none() && self.phone.is_none())
    }

    /// Whether no contact can match.
    pub(super) fn matches_nothing(&self) -> bool {
        self.areas.as_ref().is_some_and(BTreeSet::is_empty)
    }
}

/// The position of a contact in a list. The next page starts after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPosition {
    /// The key of the name, if the list is in the order of names.
    pub name: Option<NameKey>,
    /// The id.
    pub id: ContactId,
}

/// The columns of a row of a page, in the order of the `ContactRow` of each database.
pub(super) const CONTACT_COLUMNS: &str =
    "id, version, stamp, created_by, created_at, deleted_at, member_writes, updated_at, name, phone, email";

/// How a page is read: one index gives the order and the start, and the remaining filters apply to its rows.
pub(super) struct PagePlan<'a> {
    pub(super) index: Index<'a>,
    /// The areas: the ranges of [`Index::Areas`], or a remaining filter of another index.
    pub(super) areas: Option<&'a BTreeSet<AreaCode>>,
    /// A remaining filter.
    pub(super) names: Option<NameRange<'a>>,
    /// A remaining filter.
    pub(super) phone: Option<String>,
    /// The page has the ids after this one. The first page starts at the nil UUID, which no contact has.
    pub(super) after: Uuid,
    pub(super) limit: i64,
}

/// The index that a page is read from.
pub(super) enum Index<'a> {
    /// In the order of the ids.
    Ids,
    /// In the order of the ids, in each of the areas.
    Areas,
    /// In the order of the names: after `from` and the id of the plan.
    Names(NameRange<'a>),
    /// The ids with this e-mail address.
    Email(&'a str),
    /// The ids with this phone number.
    Phone(String),
}

/// The keys from one text up to another, which is excluded.
pub(super) struct NameRange<'a> {
    pub(super) from: &'a str,
    pub(super) below: Option<String>,
}

impl<'a> PagePlan<'a> {
    pub(super) fn new(filter: &'a Filter, after: Option<&'a ListPosition>, limit: u32) -> Self {
        let range = |prefix: &'a NameKey, from| NameRange { from, below: prefix.upper_bound() };
        let mut plan = Self {
            index: if filter.areas.is_some() { Index::Areas } else { Index::Ids },
            areas: filter.areas.as_ref(),
            names: filter.name.as_ref().map(|prefix| range(prefix, prefix.as_str())),
            phone: filter.phone.as_ref().map(ToString::to_string),
            after: after.map_or(Uuid::nil(), |position| position.id.uuid()),
            limit: i64::from(limit),
        };
        if let Some(email) = &filter.email {
            plan.index = Index::Email(email.as_str());
        } else if let Some(phone) = plan.phone.take() {
            plan.index = Index::Phone(phone);
        } else if let Some(prefix) = filter.name_order() {
            let (from, id) = name_start(prefix, after);
            (plan.index, plan.after, plan.names) = (Index::Names(range(prefix, from)), id, None);
        }
        plan
    }
}

/// The key and the id that a page of names starts after. The first page starts at the prefix, before every id.
fn name_start<'a>(prefix: &'a NameKey, after: Option<&'a ListPosition>) -> (&'a str, Uuid) {
    match after {
        Some(ListPosition { name: Some(name), id }) if name >= prefix => (name.as_str(), id.uuid()),
        _ => (prefix.as_str(), Uuid::nil()),
    }
}

/// The number of contacts in a page of an export.
pub(super) const EXPORT_PAGE_SIZE: u32 = 1_000;

/// Reads page after page and gives each to `handle`. Ends after the last page, or when `handle` returns false.
pub(super) fn read_pages(
    filter: &Filter,
    mut read: impl FnMut(Option<&ListPosition>) -> Result<Vec<Contact>, StoreError>,
    handle: &mut dyn FnMut(&[Contact]) -> bool,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let contacts = read(after.as_ref())?;
        let Some(last) = contacts.last() else { return Ok(()) };
        after = Some(filter.position_of(last));
        if !handle(&contacts) || contacts.len() < EXPORT_PAGE_SIZE as usize {
            return Ok(());
        }
    }
}
