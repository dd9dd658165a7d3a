//! How a contact is shown: by the API, in the events, in the data of a person, and in each file format.

use crate::domain::{Contact, EmailPatch, Patch, Timestamp};
use serde::Serialize;
use uuid::Uuid;

/// A contact that is not deleted. Its JSON has the members in this order.
#[derive(Clone, Debug, Serialize)]
pub struct ContactView {
    /// The contact's id.
    pub id: Uuid,
    /// The name.
    pub name: String,
    /// The phone number as E.164.
    pub phone: String,
    /// The area code.
    pub ddd: u8,
    /// The abbreviation of the state.
    pub state: &'static str,
    /// The name of the region.
    pub region: &'static str,
    /// The e-mail address, if the contact has one.
    pub email: Option<String>,
    /// The version.
    pub version: Uuid,
    /// The operation that created the contact. Only the data of a person has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<Uuid>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl ContactView {
    /// Returns `None` for a deleted contact.
    pub fn new(contact: &Contact) -> Option<Self> {
        let details = contact.details()?;
        let area = details.phone.area();
        Some(Self {
            id: contact.id.uuid(),
            name: details.name.as_str().to_owned(),
            phone: details.phone.to_string(),
            ddd: area.number(),
            state: area.state().as_str(),
            region: area.state().region().as_str(),
            email: details.email.as_ref().map(|email| email.as_str().to_owned()),
            version: contact.version.uuid(),
            created_by: None,
            created_at: contact.created_at,
            updated_at: contact.updated_at,
        })
    }

    /// The same with the operation that created the contact.
    pub fn with_creator(contact: &Contact) -> Option<Self> {
        Some(Self { created_by: Some(contact.created_by.uuid()), ..Self::new(contact)? })
    }
}

/// The values that a change replaced. Only the members that it changed.
#[derive(Clone, Debug, Serialize)]
pub struct OldValuesView {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    /// `null`: the contact had no address.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<Option<String>>,
}

impl OldValuesView {
    /// The values as texts.
    pub fn new(old: &Patch) -> Self {
        Self {
            name: old.name.as_ref().map(|name| name.as_str().to_owned()),
            phone: old.phone.map(|phone| phone.to_string()),
            email: old.email.as_ref().map(EmailPatch::value).map(|email| email.map(|email| email.as_str().to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::contact;
    use super::*;
    use crate::domain::{Details, Lifecycle};

    fn json(view: Option<ContactView>) -> String {
        serde_json::to_string(&view).unwrap()
    }

    #[test]
    fn the_json_has_its_members_in_a_fixed_order() {
        let details = Details::parse("Ana", "11987654321", Some("ana@example.com")).unwrap();
        let ana = contact(details);
        let start = concat!(
            r#"{"id":"00000000-0000-0000-0000-000000000001","name":"Ana","phone":"+5511987654321","ddd":11,"#,
            r#""state":"SP","region":"Sudeste","email":"ana@example.com","#,
            r#""version":"00000000-0000-0000-0000-000000000002","#,
        );
        let end = r#""created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:06.123456Z"}"#;
        assert_eq!(json(ContactView::new(&ana)), format!("{start}{end}"));
        let creator = r#""created_by":"00000000-0000-0000-0000-000000000003","#;
        assert_eq!(json(ContactView::with_creator(&ana)), format!("{start}{creator}{end}"));
        let without_email = contact(Details::parse("Ana", "11987654321", None).unwrap());
        assert!(json(ContactView::new(&without_email)).contains(r#","email":null,"#));
        let deleted = Contact { life: Lifecycle::Deleted { at: ana.updated_at }, ..ana };
        assert_eq!([ContactView::new(&deleted), ContactView::with_creator(&deleted)].map(json), ["null", "null"]);
    }
}
