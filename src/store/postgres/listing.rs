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
    walk: Walk<'a>,
    areas: Option<Vec<i16>>,
    /// What names must begin with, as the least and the first that is too great, where the walk does not see to it.
    names: Option<(&'a str, Option<String>)>,
    /// The number, where the walk does not see to it.
    phone: Option<String>,
    /// The id that a page comes after: none is smaller than the nil UUID, which is never given to a contact.
    after: Uuid,
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
        let areas: Option<Vec<i16>> = areas.map(|areas| areas.iter().map(|area| i16::from(area.number())).collect());
        let mut page = Self {
            walk: if areas.is_some() { Walk::Areas } else { Walk::Ids },
            areas,
            names: filter.name.as_ref().map(|prefix| (prefix.as_str(), prefix.bound())),
            phone: filter.phone.as_ref().map(ToString::to_string),
            after: after.map_or(Uuid::nil(), |at| at.id.uuid()),
            limit: i64::from(limit),
        };
        if let Some(email) = &filter.email {
            page.walk = Walk::Email(email.as_str());
        } else if let Some(phone) = page.phone.take() {
            page.walk = Walk::Phone(phone);
        } else if let Some(prefix) = filter.in_order_of_names() {
            let (name, id) = by_name(prefix, after);
            (page.walk, page.after, page.names) = (Walk::Names(name, prefix.bound()), id, None);
        }
        page
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

    fn by_name<'b>(
        &'b self,
        name: &'b str,
        bound: Option<&'b String>,
        out: &mut AstPass<'_, 'b, Pg>,
    ) -> QueryResult<()> {
        // The place is the only lower bound: with the prefix as another, an index may be walked from there.
        out.push_sql(" FROM contacts WHERE deleted_at IS NULL AND (name_key, id) > (");
        out.push_bind_param::<Text, _>(name)?;
        out.push_sql(", ");
        out.push_bind_param::<SqlUuid, _>(&self.after)?;
        out.push_sql(")");
        if let Some(bound) = bound {
            out.push_sql(" AND name_key < ");
            out.push_bind_param::<Text, _>(bound)?;
        }
        self.rest(out)?;
        out.push_sql(" ORDER BY name_key, id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)
    }

    /// Those that have one value: the greatest part of its index, from the place to the value's end, as by area.
    fn by_value<'b>(
        &'b self,
        [column, value]: [&'static str; 2],
        is: &'b str,
        out: &mut AstPass<'_, 'b, Pg>,
    ) -> QueryResult<()> {
        out.push_sql(" FROM contacts WHERE deleted_at IS NULL AND ");
        out.push_sql(column);
        out.push_sql(" <= ");
        let push_value = |out: &mut AstPass<'_, 'b, Pg>| {
            out.push_sql(value);
            out.push_sql("(");
            out.push_bind_param::<Text, _>(is)?;
            out.push_sql(")");
            QueryResult::Ok(())
        };
        push_value(out)?;
        out.push_sql(" AND (");
        out.push_sql(column);
        out.push_sql(", id) > (");
        push_value(out)?;
        out.push_sql(", ");
        out.push_bind_param::<SqlUuid, _>(&self.after)?;
        out.push_sql(")");
        self.rest(out)?;
        out.push_sql(" ORDER BY ");
        out.push_sql(column);
        out.push_sql(", id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)
    }

    /// The filters that the walk does not see to.
    fn rest<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if let Some(areas) = &self.areas {
            out.push_sql(" AND ddd = ANY(");
            out.push_bind_param::<Array<SmallInt>, _>(areas)?;
            out.push_sql("::smallint[])");
        }
        if let Some(phone) = &self.phone {
            // What is put to the end, here and below, keeps the planner from walking the index of this column instead.
            out.push_sql(" AND phone || '' = ");
            out.push_bind_param::<Text, _>(phone)?;
        }
        if let Some((least, bound)) = &self.names {
            out.push_sql(" AND name_key || '' >= ");
            out.push_bind_param::<Text, _>(*least)?;
            if let Some(bound) = bound {
                out.push_sql(" AND name_key || '' < ");
                out.push_bind_param::<Text, _>(bound)?;
            }
        }
        Ok(())
    }
}

impl QueryFragment<Pg> for ListContacts<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(COLUMNS);
        match &self.walk {
            Walk::Ids => self.by_id(&mut out),
            Walk::Areas => self.by_id_in_areas(self.areas.as_deref().unwrap_or_default(), &mut out),
            Walk::Names(name, bound) => self.by_name(name, bound.as_ref(), &mut out),
            Walk::Email(email) => self.by_value(["lower(email) COLLATE \"C\"", "lower"], email, &mut out),
            Walk::Phone(phone) => self.by_value(["phone COLLATE \"C\"", ""], phone, &mut out),
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
