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
    areas: Option<Vec<i32>>,
    /// The name that a page comes after, if names give the order.
    name: Option<&'a str>,
    /// What all names must stay below.
    bound: Option<String>,
    /// The id that a page comes after: none is smaller than the nil UUID, which is never given to a contact.
    after: Vec<u8>,
    limit: i64,
}

impl<'a> ListContacts<'a> {
    pub(super) fn new(filter: &'a Filter, after: Option<&'a After>, limit: u32) -> Self {
        let areas = filter.areas.as_ref();
        let areas = areas.map(|areas| areas.iter().map(|area| i32::from(area.number())).collect());
        let limit = i64::from(limit);
        match &filter.name {
            None => {
                let after = blob(after.map_or(Uuid::nil(), |at| at.id.uuid()));
                Self { areas, name: None, bound: None, after, limit }
            }
            Some(prefix) => {
                let (name, id) = by_name(prefix, after);
                Self { areas, name: Some(name), bound: prefix.bound(), after: blob(id), limit }
            }
        }
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

    fn by_name<'b>(&'b self, name: &'b str, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(COLUMNS);
        out.push_sql(" FROM contacts WHERE deleted_at IS NULL AND (name_key, id) > (");
        out.push_bind_param::<Text, _>(name)?;
        out.push_sql(", ");
        out.push_bind_param::<Binary, _>(&self.after)?;
        out.push_sql(")");
        if let Some(bound) = &self.bound {
            out.push_sql(" AND name_key < ");
            out.push_bind_param::<Text, _>(bound)?;
        }
        if let Some(areas) = &self.areas {
            // The plus keeps SQLite from walking the index of the areas, which has another order.
            out.push_sql(" AND +ddd IN (");
            for (number, area) in areas.iter().enumerate() {
                out.push_sql(if number == 0 { "" } else { ", " });
                out.push_bind_param::<Integer, _>(area)?;
            }
            out.push_sql(")");
        }
        out.push_sql(" ORDER BY name_key, id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)
    }
}

impl QueryFragment<Sqlite> for ListContacts<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        match (self.name, &self.areas) {
            (Some(name), _) => self.by_name(name, &mut out),
            (None, Some(areas)) => self.by_id_in_areas(areas, &mut out),
            (None, None) => self.by_id(None, &mut out),
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
