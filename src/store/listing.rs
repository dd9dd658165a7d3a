//! Lists of contacts: the filter, the order of a list, and how a page is read.
//!
//! Everything here is the same for both databases. The SQL of a page is in `postgres/listing.rs` and
//! `sqlite/listing.rs`.
//!
//! A page is read in one of three ways:
//! - [`Method::Walk`]: an index has the contacts of the list in its order.
//! - [`Method::Scan`]: the first rows of an index are compared with the rest of the filter. This is fast if many contacts
//!   match.
//! - [`Method::Find`]: the contacts that match are found by their own index, and sorted. This is fast if few match.
//!
//! [`scan_or_find`] begins with a scan of a few rows. They show how many contacts match. A search looks through one in 32
//! contacts first, and then through all others.

use super::StoreError;
use crate::domain::{AreaCode, Contact, ContactId, Email, NameKey, Phone, Search, Timestamp};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Which contacts to list, and their order. A contact must match every part that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The area codes to list.
    pub areas: Option<BTreeSet<AreaCode>>,
    /// A part of the name, of the e-mail address or of the phone number.
    pub search: Option<Search>,
    /// The e-mail address, in upper or lower case.
    pub email: Option<Email>,
    /// The phone number.
    pub phone: Option<Phone>,
    /// The order. By default, a search lists the contacts whose name begins with its text first, in the order of their
    /// names. All other contacts have no order that a client can use. Other lists are in the order of the ids.
    pub sort: Option<Sort>,
}

/// An order of a list. Contacts with the same name or time are in the order of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// By id: roughly the order in which contacts were created.
    Id,
    /// By name, without case and accents.
    Name,
    /// The last change first.
    LastChanged,
}

impl Sort {
    /// Every order.
    pub const ALL: [Self; 3] = [Self::Id, Self::Name, Self::LastChanged];

    /// The name in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "name",
            Self::LastChanged => "-updated_at",
        }
    }
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
        let name = || contact.details().map(|details| NameKey::of(&details.name));
        let key = match (self.sort, self.names_first()) {
            (Some(Sort::Name), _) => name().map(SortKey::Name),
            (Some(Sort::LastChanged), _) => Some(SortKey::LastChanged(contact.updated_at)),
            (Some(Sort::Id), _) | (None, None) => None,
            (None, Some(search)) => name().filter(|name| name.begins_with(search.text())).map(SortKey::Name),
        };
        ListPosition { key, id: contact.id }
    }

    /// The search, if the list begins with the names that begin with its text. Few contacts have one address or number,
    /// so those are only in the order of their ids.
    fn names_first(&self) -> Option<&Search> {
        self.search.as_ref().filter(|_| self.sort.is_none() && self.email.is_none() && self.phone.is_none())
    }

    /// Whether no contact can match.
    pub(super) fn matches_nothing(&self) -> bool {
        self.areas.as_ref().is_some_and(BTreeSet::is_empty)
    }
}

/// The value that a list is sorted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// The key of the name.
    Name(NameKey),
    /// The time of the last change.
    LastChanged(Timestamp),
    /// A phone number or an address, in a list of duplicates.
    Value(String),
}

/// The position of a contact in a list. The next page starts after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPosition {
    /// The value that the list is sorted by, unless it is sorted by id.
    pub key: Option<SortKey>,
    /// The id.
    pub id: ContactId,
}

impl ListPosition {
    const fn name(&self) -> Option<&NameKey> {
        match &self.key {
            Some(SortKey::Name(name)) => Some(name),
            _ => None,
        }
    }
}

/// The columns of a row of a page, in the order of the `ContactRow` of each database.
pub(super) const CONTACT_COLUMNS: &str =
    "id, version, stamp, created_by, created_at, deleted_at, member_writes, updated_at, name, phone, email";

/// A read of contacts: an order, where it starts, and the filters.
pub(super) struct PagePlan<'a> {
    pub(super) method: Method,
    pub(super) index: Index<'a>,
    /// The areas: the ranges of [`Index::Areas`], or a filter of another index.
    pub(super) areas: Option<&'a BTreeSet<AreaCode>>,
    pub(super) email: Option<&'a str>,
    pub(super) phone: Option<String>,
    pub(super) search: Option<&'a Search>,
    /// Only contacts of the sample, or only all others.
    pub(super) sample: Option<bool>,
    /// Without the names of this range: an earlier part of the list has them.
    pub(super) without: Option<NameRange<'a>>,
    /// The page has the ids after this one. The first page starts at the nil UUID, which no contact has.
    pub(super) after: Uuid,
    pub(super) limit: i64,
}

/// How a page is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// All rows of the index from the position.
    Walk,
    /// At most this number of rows of the index from the position.
    Scan(i64),
    /// The rows that match the filter, found by the indexes of the filter, in the order of the index.
    Find,
}

/// The index that has the order of a page.
pub(super) enum Index<'a> {
    /// In the order of the ids.
    Ids,
    /// In the order of the ids, only contacts of the sample.
    Sample,
    /// In the order of the ids, in each of the areas.
    Areas,
    /// In the order of the names: after `from` and the id of the plan.
    Names(NameRange<'a>),
    /// The last change first: before this time and the id of the plan. `None`: from the start.
    LastChanged(Option<Timestamp>),
    /// The ids with this e-mail address.
    Email(&'a str),
    /// The ids with this phone number.
    Phone(String),
}

/// The keys from one text up to another, which is excluded.
#[derive(Clone)]
pub(super) struct NameRange<'a> {
    pub(super) from: &'a str,
    pub(super) below: Option<String>,
}

impl<'a> NameRange<'a> {
    fn of(prefix: &'a NameKey, from: &'a str) -> Self {
        Self { from, below: prefix.upper_bound() }
    }
}

/// The contacts whose id ends with a byte below this are the sample: one in 32, because the last byte of an id is random.
/// `migrations/` has the same number.
const SAMPLE_BELOW: u8 = 8;

/// Whether a contact is in the sample. A search lists these contacts before all others. For a word that one in a thousand
/// contacts has, they fill many pages, and PostgreSQL reads one row in 32 of those that match.
const fn in_sample(id: Uuid) -> bool {
    let [.., last] = *id.as_bytes();
    last < SAMPLE_BELOW
}

/// How many rows the first scan reads, to find out how many contacts match.
const FIRST_SCAN: i64 = 1_000;
/// The most rows of a scan. Up to here, a scan costs about as much as it costs to find the contacts and sort them.
const MAX_SCAN: i64 = 50_000;
/// The most rows of a scan of the sample, in which there are 32 times fewer contacts to find. Its rows are far apart.
const MAX_SAMPLE_SCAN: i64 = 7_500;

/// Reads a page with `read`, which reads what a plan describes.
pub(super) fn read_page(
    filter: &Filter,
    after: Option<&ListPosition>,
    limit: u32,
    mut read: impl FnMut(&PagePlan<'_>) -> Result<Vec<Contact>, StoreError>,
) -> Result<Vec<Contact>, StoreError> {
    let mut plan = PagePlan::new(filter, after, limit);
    let mut page = Vec::new();
    if let Some(search) = filter.names_first() {
        // The first part of the list: the names that begin with the text.
        let position = after.map(|after| (after.name(), after.id));
        if let None | Some((Some(_), _)) = position {
            let (from, id) = name_start(search.text(), after);
            plan.index = Index::Names(NameRange::of(search.text(), from));
            (plan.search, plan.after) = (None, id);
            page = read(&plan)?;
            plan.limit -= i64::try_from(page.len()).unwrap_or(i64::MAX);
            if plan.limit <= 0 {
                return Ok(page);
            }
            (plan.index, plan.search, plan.after) = (Index::Ids, Some(search), Uuid::nil());
        }
        plan.without = Some(NameRange::of(search.text(), search.text().as_str()));
        // The second part: the contacts of the sample.
        if plan.after.is_nil() || in_sample(plan.after) {
            (plan.index, plan.sample) = (Index::Sample, Some(true));
            let few = match scan(&mut plan, MAX_SAMPLE_SCAN, &mut read)? {
                Scan::Page(found) => {
                    page.extend(found);
                    return Ok(page);
                }
                Scan::Few(found) => found == 0 && plan.after.is_nil(),
            };
            plan.method = Method::Find;
            if few {
                // One statement finds both parts.
                plan.sample = None;
                page.extend(read(&plan)?);
                return Ok(page);
            }
            let found = read(&plan)?;
            plan.limit -= i64::try_from(found.len()).unwrap_or(i64::MAX);
            page.extend(found);
            if plan.limit > 0 {
                // The third part: all others. The sample shows that they are few.
                (plan.index, plan.sample, plan.after) = (Index::Ids, Some(false), Uuid::nil());
                page.extend(read(&plan)?);
            }
            return Ok(page);
        }
        (plan.index, plan.sample) = (Index::Ids, Some(false));
    }
    if plan.is_selective() && matches!(plan.index, Index::Ids | Index::Names(_) | Index::LastChanged(_)) {
        page.extend(scan_or_find(&mut plan, &mut read)?);
    } else {
        page.extend(read(&plan)?);
    }
    Ok(page)
}

/// Scans a few rows, then more if that is enough for the page, or finds the contacts.
fn scan_or_find(
    plan: &mut PagePlan<'_>,
    read: &mut impl FnMut(&PagePlan<'_>) -> Result<Vec<Contact>, StoreError>,
) -> Result<Vec<Contact>, StoreError> {
    // An address or a number finds few contacts.
    if plan.email.is_none()
        && plan.phone.is_none()
        && let Scan::Page(page) = scan(plan, MAX_SCAN, read)?
    {
        return Ok(page);
    }
    plan.method = Method::Find;
    read(plan)
}

/// The result of a scan.
enum Scan {
    /// A full page.
    Page(Vec<Contact>),
    /// Not enough contacts for a page, so few contacts match. The first rows have this number of them.
    Few(i64),
}

/// Scans a few rows, then up to `max_rows` if that is enough for the page.
fn scan(
    plan: &mut PagePlan<'_>,
    max_rows: i64,
    read: &mut impl FnMut(&PagePlan<'_>) -> Result<Vec<Contact>, StoreError>,
) -> Result<Scan, StoreError> {
    let count = |page: &Vec<Contact>| i64::try_from(page.len()).unwrap_or(i64::MAX);
    plan.method = Method::Scan(FIRST_SCAN);
    let page = read(plan)?;
    let found = count(&page);
    if found >= plan.limit {
        return Ok(Scan::Page(page));
    }
    // Twice as many rows as the first scan says.
    let rows = 2 * FIRST_SCAN * plan.limit / found.max(1);
    if found > 0 && rows <= max_rows {
        plan.method = Method::Scan(rows);
        let page = read(plan)?;
        if count(&page) >= plan.limit {
            return Ok(Scan::Page(page));
        }
    }
    Ok(Scan::Few(found))
}

impl<'a> PagePlan<'a> {
    pub(super) fn new(filter: &'a Filter, after: Option<&'a ListPosition>, limit: u32) -> Self {
        let mut plan = Self {
            method: Method::Walk,
            index: Index::Ids,
            areas: filter.areas.as_ref(),
            email: filter.email.as_ref().map(Email::as_str),
            phone: filter.phone.as_ref().map(ToString::to_string),
            search: filter.search.as_ref(),
            sample: None,
            without: None,
            after: after.map_or(Uuid::nil(), |position| position.id.uuid()),
            limit: i64::from(limit),
        };
        match filter.sort {
            Some(Sort::Name) => {
                let from = after.and_then(ListPosition::name).map_or("", NameKey::as_str);
                plan.index = Index::Names(NameRange { from, below: None });
            }
            Some(Sort::LastChanged) => {
                plan.index = Index::LastChanged(match after {
                    Some(ListPosition { key: Some(SortKey::LastChanged(time)), .. }) => Some(*time),
                    _ => None,
                });
            }
            Some(Sort::Id) | None => {
                if let Some(email) = plan.email.take() {
                    plan.index = Index::Email(email);
                } else if let Some(phone) = plan.phone.take() {
                    plan.index = Index::Phone(phone);
                } else if plan.search.is_none() && plan.areas.is_some() {
                    plan.index = Index::Areas;
                }
            }
        }
        plan
    }

    /// All contacts that match, in any order.
    pub(super) fn every(filter: &'a Filter) -> Self {
        let mut plan = Self::new(filter, None, u32::MAX);
        // All filters are read as filters.
        (plan.method, plan.index) = (Method::Find, Index::Ids);
        plan.email = filter.email.as_ref().map(Email::as_str);
        plan.phone = filter.phone.as_ref().map(ToString::to_string);
        plan
    }

    /// Whether the plan has filters that the index does not have.
    const fn is_selective(&self) -> bool {
        self.search.is_some() || self.areas.is_some() || self.email.is_some() || self.phone.is_some()
    }
}

/// The key and the id that a page of names starts after. The first page starts at the prefix, before every id.
fn name_start<'a>(prefix: &'a NameKey, after: Option<&'a ListPosition>) -> (&'a str, Uuid) {
    match after.and_then(|after| Some((after.name()?, after.id))) {
        Some((name, id)) if name >= prefix => (name.as_str(), id.uuid()),
        _ => (prefix.as_str(), Uuid::nil()),
    }
}

/// The value that duplicates have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DuplicatesBy {
    /// The phone number.
    Phone,
    /// The e-mail address, in upper or lower case.
    Email,
}

impl DuplicatesBy {
    /// The name in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::Email => "email",
        }
    }

    /// The value with this name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Phone, Self::Email].into_iter().find(|field| field.as_str() == text)
    }
}

/// A page of duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DuplicatePage {
    /// The values that several contacts have, and how many.
    pub groups: Vec<(String, u64)>,
    /// The first value that this page has not looked at. `None` on the last page.
    pub next: Option<String>,
}

/// How many rows of an index a page of duplicates reads.
pub(super) const DUPLICATE_ROWS: u64 = 20_000;

/// A value of the rows that were read, how many of them have it, and how many rows were read.
pub(super) type ValueCount = (String, i64, i64);

/// Makes a page of the values that occur more than once in the rows, and of the last value. The rows may end before all
/// rows with the last value.
pub(super) fn duplicate_page(counts: Vec<ValueCount>, limit: u32) -> DuplicatePage {
    let full = counts.first().is_some_and(|(_, _, rows)| u64::try_from(*rows) == Ok(DUPLICATE_ROWS));
    let mut groups: Vec<(String, u64)> =
        counts.into_iter().map(|(value, count, _)| (value, u64::try_from(count).unwrap_or_default())).collect();
    let mut next = None;
    if full && let Some((last, count)) = groups.pop() {
        if count == DUPLICATE_ROWS {
            // No other value begins with this one and a control character.
            next = Some(format!("{last}\u{1}"));
            groups.push((last, count));
        } else {
            next = Some(last);
        }
    }
    groups.retain(|(_, count)| *count > 1);
    if groups.len() > limit as usize {
        next = groups.drain(limit as usize..).next().map(|(value, _)| value);
    }
    DuplicatePage { groups, next }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_duplicates_continues_where_its_rows_end() {
        let rows = i64::try_from(DUPLICATE_ROWS).unwrap();
        let counts = |values: &[(&str, i64)], rows: i64| -> Vec<ValueCount> {
            values.iter().map(|(value, count)| ((*value).to_owned(), *count, rows)).collect()
        };
        let page = |groups: &[(&str, u64)], next: Option<&str>| DuplicatePage {
            groups: groups.iter().map(|(value, count)| ((*value).to_owned(), *count)).collect(),
            next: next.map(str::to_owned),
        };
        // The rows are all that there are.
        assert_eq!(duplicate_page(counts(&[("a", 2), ("b", 3), ("c", 1)], 9), 5), page(&[("a", 2), ("b", 3)], None));
        assert_eq!(duplicate_page(counts(&[("a", 2), ("b", 3), ("c", 1)], 9), 1), page(&[("a", 2)], Some("b")));
        // The rows end within the last value, which the next page reads again.
        assert_eq!(duplicate_page(counts(&[("a", 2), ("b", 3)], rows), 5), page(&[("a", 2)], Some("b")));
        assert_eq!(duplicate_page(counts(&[("b", 1)], rows), 5), page(&[], Some("b")));
        // One value fills the rows.
        assert_eq!(duplicate_page(counts(&[("b", rows)], rows), 5), page(&[("b", DUPLICATE_ROWS)], Some("b\u{1}")));
        assert_eq!(duplicate_page(Vec::new(), 5), page(&[], None));
    }
}
