//! The statement that reads a page. It has a text for each kind of filter, so that PostgreSQL prepares each once for a
//! connection, and each is answered by walking an index from the place where the page begins.

use super::super::{After, Filter, by_name};
use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

/// The columns of a [`super::rows::ContactRow`], in its order.
const COLUMNS: &str = "id, version, stamp, created_by, created_at, deleted_at, updated_at, name, phone, email";
type Columns = (
    (SqlUuid, SqlUuid, BigInt, SqlUuid, Timestamptz, Nullable<Timestamptz>),
    Timestamptz,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
);

/// Reads a page of contacts.
pub(super) struct ListContacts<'a> {
    areas: Option<Vec<i16>>,
    /// The name that a page comes after, if names give the order.
    name: Option<&'a str>,
    /// What all names must stay below.
    bound: Option<String>,
    /// The id that a page comes after: none is smaller than the nil UUID, which is never given to a contact.
    after: Uuid,
    limit: i64,
}

impl<'a> ListContacts<'a> {
    pub(super) fn new(filter: &'a Filter, after: Option<&'a After>, limit: u32) -> Self {
        let areas = filter.areas.as_ref();
        let areas = areas.map(|areas| areas.iter().map(|area| i16::from(area.number())).collect());
        let limit = i64::from(limit);
        match &filter.name {
            None => Self { areas, name: None, bound: None, after: after.map_or(Uuid::nil(), |at| at.id.uuid()), limit },
            Some(prefix) => {
                let (name, id) = by_name(prefix, after);
                Self { areas, name: Some(name), bound: prefix.bound(), after: id, limit }
            }
        }
    }

    fn by_id<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" FROM contacts WHERE deleted_at IS NULL AND id > ");
        out.push_bind_param::<SqlUuid, _>(&self.after)?;
        out.push_sql(" ORDER BY id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)
    }

    /// A page of each area, merged: no index has the ids of several areas in one order.
    fn by_id_in_areas<'b>(&'b self, areas: &'b [i16], out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" FROM unnest(");
        out.push_bind_param::<Array<SmallInt>, _>(areas)?;
        out.push_sql("::smallint[]) AS area (code) CROSS JOIN LATERAL (SELECT ");
        out.push_sql(COLUMNS);
        // Not `ddd = area.code AND id > ...`: that may also be done by walking all ids after the place, which is long where
        // an area is small.
        out.push_sql(" FROM contacts WHERE deleted_at IS NULL AND ddd <= area.code AND (ddd, id) > (area.code, ");
        out.push_bind_param::<SqlUuid, _>(&self.after)?;
        out.push_sql(") ORDER BY ddd, id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        out.push_sql(") AS page ORDER BY id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)
    }

    fn by_name<'b>(&'b self, name: &'b str, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // The place is the only lower bound: with the prefix as another, an index may be walked from there.
        out.push_sql(" FROM contacts WHERE deleted_at IS NULL AND (name_key, id) > (");
        out.push_bind_param::<Text, _>(name)?;
        out.push_sql(", ");
        out.push_bind_param::<SqlUuid, _>(&self.after)?;
        out.push_sql(")");
        if let Some(bound) = &self.bound {
            out.push_sql(" AND name_key < ");
            out.push_bind_param::<Text, _>(bound)?;
        }
        if let Some(areas) = &self.areas {
            out.push_sql(" AND ddd = ANY(");
            out.push_bind_param::<Array<SmallInt>, _>(areas)?;
            out.push_sql("::smallint[])");
        }
        out.push_sql(" ORDER BY name_key, id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)
    }
}

impl QueryFragment<Pg> for ListContacts<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(COLUMNS);
        match (self.name, &self.areas) {
            (Some(name), _) => self.by_name(name, &mut out),
            (None, Some(areas)) => self.by_id_in_areas(areas, &mut out),
            (None, None) => self.by_id(&mut out),
        }
    }
}

/// Asks how PostgreSQL would do it.
pub(super) struct Explain<'a>(pub(super) ListContacts<'a>);

impl QueryFragment<Pg> for Explain<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("EXPLAIN ");
        self.0.walk_ast(out)
    }
}

macro_rules! known_by_their_text {
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

known_by_their_text! {
    ListContacts<'_>: Columns;
    Explain<'_>: Text;
}
