//! The SQL of a page of contacts for SQLite.
//!
//! Each kind of filter reads an index from the position where the page starts. `postgres/listing.rs` says why the SQL
//! of the two databases differs. What does not depend on the database is in `store/listing.rs`.

use super::rows::blob;
use crate::store::listing::{CONTACT_COLUMNS, Filter, Index, ListPosition, NameRange, PagePlan};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Integer, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};

/// The types of [`CONTACT_COLUMNS`].
type Columns = (
    (Binary, Binary, BigInt, Binary, BigInt, Nullable<BigInt>, Nullable<Text>),
    BigInt,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
);

/// Reads a page of contacts.
pub(super) struct ListContacts<'a> {
    plan: PagePlan<'a>,
    areas: Option<Vec<i32>>,
    after: Vec<u8>,
}

impl<'a> ListContacts<'a> {
    pub(super) fn new(filter: &'a Filter, after: Option<&'a ListPosition>, limit: u32) -> Self {
        let plan = PagePlan::new(filter, after, limit);
        let areas = plan.areas.map(|areas| areas.iter().map(|area| i32::from(area.number())).collect());
        let after = blob(plan.after);
        Self { plan, areas, after }
    }

    fn by_id<'b>(&'b self, area: Option<&'b i32>, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(CONTACT_COLUMNS);
        out.push_sql(" FROM contacts WHERE ");
        if let Some(area) = area {
            out.push_sql("ddd = ");
            out.push_bind_param::<Integer, _>(area)?;
            out.push_sql(" AND ");
        }
        out.push_sql("deleted_at IS NULL AND id > ");
        out.push_bind_param::<Binary, _>(&self.after)?;
        out.push_sql(" ORDER BY id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.plan.limit)
    }

    /// Merges one page of each area, because no index has the ids of several areas in one order.
    fn by_id_in_areas<'b>(&'b self, areas: &'b [i32], out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        for (number, area) in areas.iter().enumerate() {
            out.push_sql(if number == 0 { "SELECT * FROM (" } else { ") UNION ALL SELECT * FROM (" });
            self.by_id(Some(area), out)?;
        }
        // The first column is the id.
        out.push_sql(") ORDER BY 1 LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.plan.limit)
    }

    fn by_name<'b>(&'b self, names: &'b NameRange<'_>, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(CONTACT_COLUMNS);
        out.push_sql(" FROM contacts WHERE deleted_at IS NULL AND (name_key, id) > (");
        out.push_bind_param::<Text, _>(names.from)?;
        out.push_sql(", ");
        out.push_bind_param::<Binary, _>(&self.after)?;
        out.push_sql(")");
        if let Some(below) = &names.below {
            out.push_sql(" AND name_key < ");
            out.push_bind_param::<Text, _>(below)?;
        }
        self.remaining_filters(out)?;
        out.push_sql(" ORDER BY name_key, id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.plan.limit)
    }

    /// The contacts with one value.
    fn by_value<'b>(
        &'b self,
        comparison: &'static str,
        value: &'b str,
        out: &mut AstPass<'_, 'b, Sqlite>,
    ) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(CONTACT_COLUMNS);
        out.push_sql(" FROM contacts WHERE deleted_at IS NULL AND ");
        out.push_sql(comparison);
        out.push_sql("(");
        out.push_bind_param::<Text, _>(value)?;
        out.push_sql(") AND id > ");
        out.push_bind_param::<Binary, _>(&self.after)?;
        self.remaining_filters(out)?;
        out.push_sql(" ORDER BY id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.plan.limit)
    }

    /// The filters that the index does not cover. The unary plus prevents that SQLite uses the index of the column,
    /// which has another order.
    fn remaining_filters<'b>(&'b self, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        if let Some(areas) = &self.areas {
            out.push_sql(" AND +ddd IN (");
            for (number, area) in areas.iter().enumerate() {
                out.push_sql(if number == 0 { "" } else { ", " });
                out.push_bind_param::<Integer, _>(area)?;
            }
            out.push_sql(")");
        }
        if let Some(phone) = &self.plan.phone {
            out.push_sql(" AND +phone = ");
            out.push_bind_param::<Text, _>(phone)?;
        }
        if let Some(names) = &self.plan.names {
            out.push_sql(" AND +name_key >= ");
            out.push_bind_param::<Text, _>(names.from)?;
            if let Some(below) = &names.below {
                out.push_sql(" AND +name_key < ");
                out.push_bind_param::<Text, _>(below)?;
            }
        }
        Ok(())
    }
}

impl QueryFragment<Sqlite> for ListContacts<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        match &self.plan.index {
            Index::Ids => self.by_id(None, &mut out),
            Index::Areas => self.by_id_in_areas(self.areas.as_deref().unwrap_or_default(), &mut out),
            Index::Names(names) => self.by_name(names, &mut out),
            Index::Email(email) => self.by_value("lower(email) = lower", email, &mut out),
            Index::Phone(phone) => self.by_value("phone = ", phone, &mut out),
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
