//! The SQL of a page of contacts for SQLite.
//!
//! `store/listing.rs` says which index a page is read from. `postgres/listing.rs` says why the SQL of the two databases
//! differs. What does not depend on the database is in `store/listing.rs`.

use super::rows::{blob, micros};
use crate::domain::Search;
use crate::store::listing::{CONTACT_COLUMNS, Index, Method, NameRange, PagePlan};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Integer, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};

/// The types of [`CONTACT_COLUMNS`].
type Columns = (
    Binary,
    Binary,
    BigInt,
    Binary,
    BigInt,
    Nullable<BigInt>,
    Nullable<Text>,
    BigInt,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
);

/// Reads a page of contacts.
pub(super) struct ListContacts<'a> {
    plan: &'a PagePlan<'a>,
    areas: Option<Vec<i32>>,
    after: Vec<u8>,
    before: Option<i64>,
    search: Option<SearchValues<'a>>,
}

/// The values of a search, as its SQL needs them.
struct SearchValues<'a> {
    /// Each word after a space.
    words: Vec<String>,
    /// The query of the text index of words. `None` if there is no word.
    words_query: Option<String>,
    /// The names that begin with the text, if it has no word.
    names: NameRange<'a>,
    email_part: Option<&'a str>,
    /// The query of the text index of addresses.
    email_query: Option<String>,
    /// The last four digits, and all digits.
    last_digits: Option<(&'a str, &'a str)>,
}

impl<'a> SearchValues<'a> {
    fn new(search: &'a Search) -> Self {
        // A word has no punctuation, so it needs no escape.
        let prefixes: Vec<String> = search.words().iter().map(|word| format!("\"{word}\"*")).collect();
        Self {
            words: search.words().iter().map(|word| format!(" {word}")).collect(),
            words_query: Some(prefixes.join(" AND ")).filter(|query| !query.is_empty()),
            names: NameRange { from: search.text().as_str(), below: search.text().upper_bound() },
            email_part: search.email_part(),
            email_query: search.email_part().map(|part| format!("\"{}\"", part.replace('"', "\"\""))),
            last_digits: search.last_digits().and_then(|all| Some((all.get(all.len() - 4..)?, all))),
        }
    }
}

impl<'a> ListContacts<'a> {
    pub(super) fn new(plan: &'a PagePlan<'a>) -> Self {
        let areas = plan.areas.map(|areas| areas.iter().map(|area| i32::from(area.number())).collect());
        let before = match plan.index {
            Index::LastChanged(time) => time.map(micros),
            _ => None,
        };
        Self { plan, areas, after: blob(plan.after), before, search: plan.search.map(SearchValues::new) }
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

    fn by_order<'b>(&'b self, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(CONTACT_COLUMNS);
        out.push_sql(" FROM contacts WHERE deleted_at IS NULL");
        self.position(out)?;
        self.remaining_filters(out)?;
        self.order(out);
        out.push_sql(" LIMIT ");
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

    /// The first `rows` rows of an index, and of those the ones that match.
    fn scanned<'b>(&'b self, rows: &'b i64, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(CONTACT_COLUMNS);
        out.push_sql(" FROM (SELECT ");
        out.push_sql(CONTACT_COLUMNS);
        out.push_sql(", name_key, words, ddd FROM contacts WHERE deleted_at IS NULL");
        // The index of the sample has this condition.
        out.push_sql(if matches!(self.plan.index, Index::Sample) { " AND substr(id, -1) < x'08'" } else { "" });
        self.position(out)?;
        self.order(out);
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(rows)?;
        out.push_sql(") WHERE true");
        self.remaining_filters(out)?;
        self.order(out);
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.plan.limit)
    }

    /// The rows that match, sorted.
    fn found<'b>(&'b self, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(CONTACT_COLUMNS);
        self.indexed_rows(out)?;
        self.position(out)?;
        self.order(out);
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.plan.limit)
    }

    /// All rows that match. The text indexes find them; the remaining filters check each of them.
    fn indexed_rows<'b>(&'b self, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(" FROM contacts WHERE deleted_at IS NULL");
        if let Some(search) = self.search.as_ref().filter(|search| search.words_query.is_some()) {
            out.push_sql(" AND number IN (SELECT rowid FROM contacts_words WHERE contacts_words MATCH ");
            out.push_bind_param::<Nullable<Text>, _>(&search.words_query)?;
            if let Some(query) = &search.email_query {
                out.push_sql(" UNION ALL SELECT rowid FROM contacts_emails WHERE contacts_emails MATCH ");
                out.push_bind_param::<Text, _>(query)?;
            }
            if let Some((last, _)) = &search.last_digits {
                out.push_sql(
                    " UNION ALL SELECT number FROM contacts WHERE deleted_at IS NULL AND substr(phone, -4) = ",
                );
                out.push_bind_param::<Text, _>(last)?;
            }
            out.push_sql(")");
        }
        self.remaining_filters(out)
    }

    fn order(&self, out: &mut AstPass<'_, '_, Sqlite>) {
        // The unary plus prevents that SQLite reads the rows in the order of an index, and compares each with the filter.
        out.push_sql(match (&self.plan.index, self.plan.method) {
            // Both parts of a search.
            (Index::Sample, Method::Find) if self.plan.sample.is_none() => " ORDER BY substr(id, -1) >= x'08', +id",
            (Index::Names(_), Method::Find) => " ORDER BY +name_key, +id",
            (Index::Names(_), _) => " ORDER BY name_key, id",
            (Index::LastChanged(_), Method::Find) => " ORDER BY +updated_at DESC, +id DESC",
            (Index::LastChanged(_), _) => " ORDER BY updated_at DESC, id DESC",
            (_, Method::Find) => " ORDER BY +id",
            _ => " ORDER BY id",
        });
    }

    /// The rows after the position of the page.
    fn position<'b>(&'b self, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let indexed = self.plan.method != Method::Find;
        match &self.plan.index {
            Index::Names(names) => {
                out.push_sql(if indexed { " AND (name_key, id) > (" } else { " AND (+name_key, id) > (" });
                out.push_bind_param::<Text, _>(names.from)?;
                out.push_sql(", ");
                out.push_bind_param::<Binary, _>(&self.after)?;
                out.push_sql(")");
                if let Some(below) = &names.below {
                    out.push_sql(if indexed { " AND name_key < " } else { " AND +name_key < " });
                    out.push_bind_param::<Text, _>(below)?;
                }
            }
            Index::LastChanged(None) => {}
            Index::LastChanged(Some(_)) => {
                out.push_sql(if indexed { " AND (updated_at, id) < (" } else { " AND (+updated_at, id) < (" });
                out.push_bind_param::<Nullable<BigInt>, _>(&self.before)?;
                out.push_sql(", ");
                out.push_bind_param::<Binary, _>(&self.after)?;
                out.push_sql(")");
            }
            _ => {
                out.push_sql(if indexed { " AND id > " } else { " AND +id > " });
                out.push_bind_param::<Binary, _>(&self.after)?;
            }
        }
        Ok(())
    }

    /// The filters that the index does not cover. The unary plus prevents that SQLite uses the index of the column,
    /// which has another order.
    fn remaining_filters<'b>(&'b self, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        // Without another filter, the rows of an area, an address or a number are found by its index.
        let found = self.plan.method == Method::Find && self.search.is_none();
        if let Some(areas) = &self.areas {
            out.push_sql(if found { " AND ddd IN (" } else { " AND +ddd IN (" });
            for (number, area) in areas.iter().enumerate() {
                out.push_sql(if number == 0 { "" } else { ", " });
                out.push_bind_param::<Integer, _>(area)?;
            }
            out.push_sql(")");
        }
        if let Some(email) = &self.plan.email {
            out.push_sql(if found { " AND lower(email) = lower(" } else { " AND lower(+email) = lower(" });
            out.push_bind_param::<Text, _>(email)?;
            out.push_sql(")");
        }
        if let Some(phone) = &self.plan.phone {
            out.push_sql(if found { " AND phone = " } else { " AND +phone = " });
            out.push_bind_param::<Text, _>(phone)?;
        }
        if let Some(search) = &self.search {
            out.push_sql(" AND (");
            if search.words.is_empty() {
                name_range(&search.names, out)?;
            }
            for (number, word) in search.words.iter().enumerate() {
                out.push_sql(if number == 0 { "(instr(words, " } else { " AND instr(words, " });
                out.push_bind_param::<Text, _>(word)?;
                out.push_sql(") > 0");
            }
            out.push_sql(if search.words.is_empty() { "" } else { ")" });
            if let Some(part) = &search.email_part {
                out.push_sql(" OR instr(lower(email), ");
                out.push_bind_param::<Text, _>(part)?;
                out.push_sql(") > 0");
            }
            if let Some((_, digits)) = &search.last_digits {
                out.push_sql(" OR substr(phone, -length(");
                out.push_bind_param::<Text, _>(digits)?;
                out.push_sql(")) = ");
                out.push_bind_param::<Text, _>(digits)?;
            }
            out.push_sql(")");
        }
        out.push_sql(match self.plan.sample {
            None => "",
            Some(true) => " AND substr(id, -1) < x'08'",
            Some(false) => " AND substr(id, -1) >= x'08'",
        });
        if let Some(names) = &self.plan.without {
            out.push_sql(" AND NOT (");
            name_range(names, out)?;
            out.push_sql(")");
        }
        Ok(())
    }
}

fn name_range<'b>(names: &'b NameRange<'_>, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
    out.push_sql("+name_key >= ");
    out.push_bind_param::<Text, _>(names.from)?;
    if let Some(below) = &names.below {
        out.push_sql(" AND +name_key < ");
        out.push_bind_param::<Text, _>(below)?;
    }
    Ok(())
}

impl QueryFragment<Sqlite> for ListContacts<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        match (&self.plan.method, &self.plan.index) {
            (Method::Scan(rows), _) => self.scanned(rows, &mut out),
            (Method::Find, _) => self.found(&mut out),
            (Method::Walk, Index::Areas) => self.by_id_in_areas(self.areas.as_deref().unwrap_or_default(), &mut out),
            (Method::Walk, Index::Ids) if self.search.is_none() => self.by_id(None, &mut out),
            (Method::Walk, Index::Ids | Index::Sample | Index::Names(_) | Index::LastChanged(_)) => {
                self.by_order(&mut out)
            }
            (Method::Walk, Index::Email(email)) => self.by_value("lower(email) = lower", email, &mut out),
            (Method::Walk, Index::Phone(phone)) => self.by_value("phone = ", phone, &mut out),
        }
    }
}

/// Counts the contacts that match.
pub(super) struct CountContacts<'a>(pub(super) ListContacts<'a>);

impl QueryFragment<Sqlite> for CountContacts<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("SELECT count(*)");
        self.0.indexed_rows(&mut out)
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

            impl RunQueryDsl<SqliteConnection> for $statement {}
        )*
    };
}

prepared_by_text! {
    ListContacts<'_>: Columns;
    CountContacts<'_>: BigInt;
}
