//! The statement that reads a page, as in PostgreSQL: each kind of filter walks an index from where the page begins.

use super::super::{After, Filter, by_name};
use super::rows::blob;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Integer, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};
use uuid::Uuid;

/// The columns of a [`super::rows::ContactRow`], in its order.
const COLUMNS: &str = "id, version, stamp, created_by, created_at, deleted_at, updated_at, name, phone, email";
type Columns = (
    (Binary, Binary, BigInt, Binary, BigInt, Nullable<BigInt>),
    BigInt,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
);

/// Reads a page of contacts.
pub(super) struct ListContacts<'a> {
    walk: Walk<'a>,
    areas: Option<Vec<i32>>,
    /// What names must begin with, as the least and the first that is too great, where the walk does not see to it.
    names: Option<(&'a str, Option<String>)>,
    /// The number, where the walk does not see to it.
    phone: Option<String>,
    /// The id that a page comes after: none is smaller than the nil UUID, which is never given to a contact.
    after: Vec<u8>,
    limit: i64,
}

/// The index that is walked.
enum Walk<'a> {
    Ids,
    Areas,
    /// After this name, below that bound.
    Names(&'a str, Option<String>),
    Email(&'a str),
    Phone(String),
}

impl<'a> ListContacts<'a> {
    pub(super) fn new(filter: &'a Filter, after: Option<&'a After>, limit: u32) -> Self {
        let areas = filter.areas.as_ref();
        let areas: Option<Vec<i32>> = areas.map(|areas| areas.iter().map(|area| i32::from(area.number())).collect());
        let mut page = Self {
            walk: if areas.is_some() { Walk::Areas } else { Walk::Ids },
            areas,
            names: filter.name.as_ref().map(|prefix| (prefix.as_str(), prefix.bound())),
            phone: filter.phone.as_ref().map(ToString::to_string),
            after: blob(after.map_or(Uuid::nil(), |at| at.id.uuid())),
            limit: i64::from(limit),
        };
        if let Some(email) = &filter.email {
            page.walk = Walk::Email(email.as_str());
        } else if let Some(phone) = page.phone.take() {
            page.walk = Walk::Phone(phone);
        } else if let Some(prefix) = filter.in_order_of_names() {
            let (name, id) = by_name(prefix, after);
            (page.walk, page.after, page.names) = (Walk::Names(name, prefix.bound()), blob(id), None);
        }
        page
    }

    fn by_id<'b>(&'b self, area: Option<&'b i32>, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(COLUMNS);
        out.push_sql(" FROM contacts WHERE ");
        if let Some(area) = area {
            out.push_sql("ddd = ");
            out.push_bind_param::<Integer, _>(area)?;
            out.push_sql(" AND ");
        }
        out.push_sql("deleted_at IS NULL AND id > ");
        out.push_bind_param::<Binary, _>(&self.after)?;
        out.push_sql(" ORDER BY id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)
    }

    /// A page of each area, merged: no index has the ids of several areas in one order.
    fn by_id_in_areas<'b>(&'b self, areas: &'b [i32], out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        for (number, area) in areas.iter().enumerate() {
            out.push_sql(if number == 0 { "SELECT * FROM (" } else { ") UNION ALL SELECT * FROM (" });
            self.by_id(Some(area), out)?;
        }
        // The first column: the id.
        out.push_sql(") ORDER BY 1 LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)
    }

    fn by_name<'b>(
        &'b self,
        name: &'b str,
        bound: Option<&'b String>,
        out: &mut AstPass<'_, 'b, Sqlite>,
    ) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(COLUMNS);
        out.push_sql(" FROM contacts WHERE deleted_at IS NULL AND (name_key, id) > (");
        out.push_bind_param::<Text, _>(name)?;
        out.push_sql(", ");
        out.push_bind_param::<Binary, _>(&self.after)?;
        out.push_sql(")");
        if let Some(bound) = bound {
            out.push_sql(" AND name_key < ");
            out.push_bind_param::<Text, _>(bound)?;
        }
        self.rest(out)?;
        out.push_sql(" ORDER BY name_key, id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)
    }

    /// Those that have one value.
    fn by_value<'b>(&'b self, equals: &'static str, is: &'b str, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(COLUMNS);
        out.push_sql(" FROM contacts WHERE deleted_at IS NULL AND ");
        out.push_sql(equals);
        out.push_sql("(");
        out.push_bind_param::<Text, _>(is)?;
        out.push_sql(") AND id > ");
        out.push_bind_param::<Binary, _>(&self.after)?;
        self.rest(out)?;
        out.push_sql(" ORDER BY id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)
    }

    /// The filters that the walk does not see to. The pluses keep SQLite from walking the indexes of these columns, which
    /// have another order.
    fn rest<'b>(&'b self, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        if let Some(areas) = &self.areas {
            out.push_sql(" AND +ddd IN (");
            for (number, area) in areas.iter().enumerate() {
                out.push_sql(if number == 0 { "" } else { ", " });
                out.push_bind_param::<Integer, _>(area)?;
            }
            out.push_sql(")");
        }
        if let Some(phone) = &self.phone {
            out.push_sql(" AND +phone = ");
            out.push_bind_param::<Text, _>(phone)?;
        }
        if let Some((least, bound)) = &self.names {
            out.push_sql(" AND +name_key >= ");
            out.push_bind_param::<Text, _>(*least)?;
            if let Some(bound) = bound {
                out.push_sql(" AND +name_key < ");
                out.push_bind_param::<Text, _>(bound)?;
            }
        }
        Ok(())
    }
}

impl QueryFragment<Sqlite> for ListContacts<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        match &self.walk {
            Walk::Ids => self.by_id(None, &mut out),
            Walk::Areas => self.by_id_in_areas(self.areas.as_deref().unwrap_or_default(), &mut out),
            Walk::Names(name, bound) => self.by_name(name, bound.as_ref(), &mut out),
            Walk::Email(email) => self.by_value("lower(email) = lower", email, &mut out),
            Walk::Phone(phone) => self.by_value("phone = ", phone, &mut out),
        }
    }
}

impl QueryId for ListContacts<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for ListContacts<'_> {
    type SqlType = Columns;
}

impl RunQueryDsl<SqliteConnection> for ListContacts<'_> {}
