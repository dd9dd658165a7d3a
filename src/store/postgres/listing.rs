//! The SQL of a page of contacts for PostgreSQL.
//!
//! Each kind of filter has its own text, so PostgreSQL prepares each text once per connection. Each text reads an index
//! from the position where the page starts. `tests/plans.rs` checks the plans.
//!
//! `sqlite/listing.rs` has SQL of its own, because the two databases need different texts to read these indexes: row
//! comparisons, `LATERAL` and arrays here; `UNION ALL`, unary plus and lists there. Diesel also has other types for
//! each database. What does not depend on the database is in `store/listing.rs`.

use crate::store::listing::{CONTACT_COLUMNS, Filter, Index, ListPosition, NameRange, PagePlan};
use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};

/// The types of [`CONTACT_COLUMNS`].
type Columns = (
    (SqlUuid, SqlUuid, BigInt, SqlUuid, Timestamptz, Nullable<Timestamptz>, Nullable<Text>),
    Timestamptz,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
);

/// Reads a page of contacts.
pub(super) struct ListContacts<'a> {
    plan: PagePlan<'a>,
    areas: Option<Vec<i16>>,
}

impl<'a> ListContacts<'a> {
    pub(super) fn new(filter: &'a Filter, after: Option<&'a ListPosition>, limit: u32) -> Self {
        let plan = PagePlan::new(filter, after, limit);
        let areas = plan.areas.map(|areas| areas.iter().map(|area| i16::from(area.number())).collect());
        Self { plan, areas }
    }

    fn by_id<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" FROM contacts WHERE deleted_at IS NULL AND id > ");
        out.push_bind_param::<SqlUuid, _>(&self.plan.after)?;
        out.push_sql(" ORDER BY id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.plan.limit)
    }

    /// Merges one page of each area, because no index has the ids of several areas in one order.
    fn by_id_in_areas<'b>(&'b self, areas: &'b [i16], out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" FROM unnest(");
        out.push_bind_param::<Array<SmallInt>, _>(areas)?;
        out.push_sql("::smallint[]) AS area (code) CROSS JOIN LATERAL (SELECT ");
        out.push_sql(CONTACT_COLUMNS);
        // Not `ddd = area.code AND id > ...`: for that, PostgreSQL may read all ids after the position, which takes
        // long if the area is small.
        out.push_sql(" FROM contacts WHERE deleted_at IS NULL AND ddd <= area.code AND (ddd, id) > (area.code, ");
        out.push_bind_param::<SqlUuid, _>(&self.plan.after)?;
        out.push_sql(") ORDER BY ddd, id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.plan.limit)?;
        out.push_sql(") AS page ORDER BY id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.plan.limit)
    }

    fn by_name<'b>(&'b self, names: &'b NameRange<'_>, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // The position is the only lower bound. With a second bound, PostgreSQL may read the index from the prefix.
        out.push_sql(" FROM contacts WHERE deleted_at IS NULL AND (name_key, id) > (");
        out.push_bind_param::<Text, _>(names.from)?;
        out.push_sql(", ");
        out.push_bind_param::<SqlUuid, _>(&self.plan.after)?;
        out.push_sql(")");
        if let Some(below) = &names.below {
            out.push_sql(" AND name_key < ");
            out.push_bind_param::<Text, _>(below)?;
        }
        self.remaining_filters(out)?;
        out.push_sql(" ORDER BY name_key, id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.plan.limit)
    }

    /// The contacts with one value. The range of the index goes from the position to the end of the value.
    fn by_value<'b>(
        &'b self,
        [column, function]: [&'static str; 2],
        value: &'b str,
        out: &mut AstPass<'_, 'b, Pg>,
    ) -> QueryResult<()> {
        out.push_sql(" FROM contacts WHERE deleted_at IS NULL AND ");
        out.push_sql(column);
        out.push_sql(" <= ");
        let push_value = |out: &mut AstPass<'_, 'b, Pg>| {
            out.push_sql(function);
            out.push_sql("(");
            out.push_bind_param::<Text, _>(value)?;
            out.push_sql(")");
            QueryResult::Ok(())
        };
        push_value(out)?;
        out.push_sql(" AND (");
        out.push_sql(column);
        out.push_sql(", id) > (");
        push_value(out)?;
        out.push_sql(", ");
        out.push_bind_param::<SqlUuid, _>(&self.plan.after)?;
        out.push_sql(")");
        self.remaining_filters(out)?;
        out.push_sql(" ORDER BY ");
        out.push_sql(column);
        out.push_sql(", id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.plan.limit)
    }

    /// The filters that the index does not cover.
    fn remaining_filters<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if let Some(areas) = &self.areas {
            out.push_sql(" AND ddd = ANY(");
            out.push_bind_param::<Array<SmallInt>, _>(areas)?;
            out.push_sql("::smallint[])");
        }
        if let Some(phone) = &self.plan.phone {
            // `|| ''`, here and below, prevents that the planner uses the index of this column.
            out.push_sql(" AND phone || '' = ");
            out.push_bind_param::<Text, _>(phone)?;
        }
        if let Some(names) = &self.plan.names {
            out.push_sql(" AND name_key || '' >= ");
            out.push_bind_param::<Text, _>(names.from)?;
            if let Some(below) = &names.below {
                out.push_sql(" AND name_key || '' < ");
                out.push_bind_param::<Text, _>(below)?;
            }
        }
        Ok(())
    }
}

impl QueryFragment<Pg> for ListContacts<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(CONTACT_COLUMNS);
        match &self.plan.index {
            Index::Ids => self.by_id(&mut out),
            Index::Areas => self.by_id_in_areas(self.areas.as_deref().unwrap_or_default(), &mut out),
            Index::Names(names) => self.by_name(names, &mut out),
            Index::Email(email) => self.by_value(["lower(email) COLLATE \"C\"", "lower"], email, &mut out),
            Index::Phone(phone) => self.by_value(["phone COLLATE \"C\"", ""], phone, &mut out),
        }
    }
}

/// Asks PostgreSQL for the plan of a page.
pub(super) struct Explain<'a>(pub(super) ListContacts<'a>);

impl QueryFragment<Pg> for Explain<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("EXPLAIN ");
        self.0.walk_ast(out)
    }
}

/// Diesel prepares these statements by their text.
macro_rules! prepared_by_text {
    ($($statement:ty: $columns:ty;)*) => {
        $(
            impl QueryId for $statement {
                type QueryId = ();
                const HAS_STATIC_QUERY_ID: bool = false;
            }

            impl Query for $statement {
                type SqlType = $columns;
            }

            impl RunQueryDsl<PgConnection> for $statement {}
        )*
    };
}

prepared_by_text! {
    ListContacts<'_>: Columns;
    Explain<'_>: Text;
}
