//! The requested members of a contact, and pages of contacts.

use crate::domain::Invalid;
use crate::formats::ContactView;
use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// The members of a contact that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fields(Vec<&'static str>);

impl Fields {
    /// All members, in the order of [`ContactView`].
    pub(crate) const ALL: [&'static str; 10] =
        ["id", "name", "phone", "ddd", "state", "region", "email", "version", "created_at", "updated_at"];

    /// Parses names that are separated by commas.
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        let unknown = Invalid::new(
            "unknown_field",
            "must be names separated by commas: id, name, phone, ddd, state, region, email, version, \
                     created_at, updated_at",
        );
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        if !names.iter().all(|name| Self::ALL.contains(name)) {
            return Err(unknown);
        }
        Ok(Self(Self::ALL.into_iter().filter(|name| names.contains(name)).collect()))
    }

    /// Adds more members to those that were already parsed.
    pub(crate) fn merge(fields: &mut Option<Self>, more: Self) {
        let known = fields.take().map(|fields| fields.0).unwrap_or_default();
        let is_selected = |name: &&str| known.contains(name) || more.0.contains(name);
        *fields = Some(Self(Self::ALL.into_iter().filter(is_selected).collect()));
    }

    /// A contact with only these members.
    pub(crate) fn select(&self, view: &ContactView) -> Value {
        let mut object = serde_json::to_value(view).unwrap_or_default();
        if let Value::Object(members) = &mut object {
            members.retain(|name, _| self.0.contains(&name.as_str()));
        }
        object
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// The body of a contact: all its members, or the requested ones.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum ContactBody {
    Full(ContactView),
    Partial(Value),
}

impl ContactBody {
    pub(crate) fn new(view: ContactView, fields: Option<&Fields>) -> Self {
        match fields {
            None => Self::Full(view),
            Some(fields) => Self::Partial(fields.select(&view)),
        }
    }
}

/// A page of contacts.
#[derive(Serialize)]
pub(crate) struct Page {
    pub(crate) items: Vec<ContactBody>,
    pub(crate) next: Option<String>,
    /// Only if the request asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) estimated_total: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Contact, ContactId, Details, Email, Lifecycle, Name, OperationId, Phone, Stamp, Timestamp};
    use uuid::Uuid;

    #[test]
    fn every_member_can_be_requested() {
        let id = Uuid::from_u128(1);
        let details = Details {
            name: Name::parse("Ana").unwrap(),
            phone: Phone::parse("11987654321").unwrap(),
            email: Some(Email::parse("ana@example.com").unwrap()),
        };
        let (at, version) = (Timestamp::UNIX_EPOCH, OperationId::new(id));
        let contact = Contact {
            id: ContactId::new(id),
            version,
            stamp: Stamp::at_millis(0),
            writes: None,
            created_by: version,
            created_at: at,
            updated_at: at,
            life: Lifecycle::Live(details),
        };
        let view = ContactView::new(&contact).unwrap();
        let Value::Object(object) = serde_json::to_value(&view).unwrap() else { panic!("no object") };
        let mut names: Vec<&str> = object.keys().map(String::as_str).collect();
        let mut all = Fields::ALL;
        names.sort_unstable();
        all.sort_unstable();
        assert_eq!(names, all);
        let part = Fields::parse("phone, id,id").unwrap();
        assert_eq!(part.to_string(), "id,phone");
        let mut both = Some(part.clone());
        Fields::merge(&mut both, Fields::parse("name").unwrap());
        assert_eq!(both.unwrap().to_string(), "id,name,phone");
        assert_eq!(part.select(&view), serde_json::json!({ "id": id, "phone": "+5511987654321" }));
    }
}
