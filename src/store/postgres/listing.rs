//! The SQL of a page of contacts for PostgreSQL.
//!
//! Each kind of filter has its own text, so PostgreSQL prepares each text once per connection. `store/listing.rs` says
//! which index a page is read from. `tests/plans.rs` checks the plans.
//!
//! `sqlite/listing.rs` has SQL of its own, because the two databases need different texts to read these indexes: row
//! comparisons, `LATERAL`, arrays and text search here; `UNION ALL`, unary plus, lists and FTS5 there. Diesel also has
//! other types for each database. What does not depend on the database is in `store/listing.rs`.

use crate::domain::Search;
use crate::store::listing::{CONTACT_COLUMNS, Index, Method, NameRange, PagePlan};
use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};

/// The types of [`CONTACT_COLUMNS`].
type Columns = (
    SqlUuid,
    SqlUuid,
    BigInt,
    SqlUuid,
    Timestamptz,
    Nullable<Timestamptz>,
    Nullable<Text>,
    Timestamptz,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
);

/// Reads a page of contacts.
pub(super) struct ListContacts<'a> {
    plan: &'a PagePlan<'a>,
    areas: Option<Vec<i16>>,
    search: Option<SearchValues<'a>>,
}

/// The values of a search, as its SQL needs them.
struct SearchValues<'a> {
    /// Each word as the beginning of a lexeme. `None` if there is no word.
    words: Option<String>,
    /// A pattern for each word.
    word_patterns: Vec<String>,
    /// The names that begin with the text, if it has no word.
    names: NameRange<'a>,
    email_pattern: Option<String>,
    /// The lexeme of the last digits, and a pattern for all digits.
    last_digits: Option<(String, String)>,
}

impl<'a> SearchValues<'a> {
    fn new(search: &'a Search) -> Self {
        // A word has no punctuation, so it needs no escape.
        let lexemes: Vec<String> = search.words().iter().map(|word| format!("'{word}':*")).collect();
        let last_digits = search.last_digits().map(|digits| {
            let last = digits.get(digits.len() - 4..).unwrap_or_default();
            (format!("'~{last}'"), format!("%{digits}"))
        });
        Self {
            words: Some(lexemes.join(" & ")).filter(|words| !words.is_empty()),
            word_patterns: search.words().iter().map(|word| format!("% {word}%")).collect(),
            names: NameRange { from: search.text().as_str(), below: search.text().upper_bound() },
            email_pattern: search.email_part().map(|part| format!("%{}%", escape_pattern(part))),
            last_digits,
        }
    }
}

/// Escapes the special characters of `LIKE`.
fn escape_pattern(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

impl<'a> ListContacts<'a> {
    pub(super) fn new(plan: &'a PagePlan<'a>) -> Self {
        let areas = plan.areas.map(|areas| areas.iter().map(|area| i16::from(area.number())).collect());
        Self { plan, areas, search: plan.search.map(SearchValues::new) }
    }

    fn by_id<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" FROM contacts WHERE deleted_at IS NULL AND id > ");
        out.push_bind_param::<SqlUuid, _>(&self.plan.after)?;
        self.remaining_filters(out)?;
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

    fn by_order<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" FROM contacts WHERE deleted_at IS NULL");
        self.position(out)?;
        self.remaining_filters(out)?;
        self.order(out);
        out.push_sql(" LIMIT ");
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

    /// The first `rows` rows of an index, and of those the ones that match. PostgreSQL does not move a filter into a query
    /// that has a limit.
    fn scanned<'b>(&'b self, rows: &'b i64, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" FROM (SELECT ");
        out.push_sql(CONTACT_COLUMNS);
        out.push_sql(", name_key, ddd FROM contacts WHERE deleted_at IS NULL");
        // The index of the sample has this condition.
        out.push_sql(if matches!(self.plan.index, Index::Sample) {
            " AND get_byte(uuid_send(id), 15) < 8"
        } else {
            ""
        });
        self.position(out)?;
        self.order(out);
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(rows)?;
        out.push_sql(") AS scanned WHERE true");
        self.remaining_filters(out)?;
        self.order(out);
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.plan.limit)
    }

    /// The rows that match, sorted. `OFFSET 0` separates the two steps: without it, PostgreSQL may read the index of the
    /// order, because it expects more matches than there are.
    fn found<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" FROM (SELECT ");
        out.push_sql(CONTACT_COLUMNS);
        out.push_sql(", name_key FROM contacts WHERE ");
        self.indexed_filters(out)?;
        out.push_sql(" OFFSET 0) AS found WHERE true");
        self.position(out)?;
        self.order(out);
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.plan.limit)
    }

    fn order(&self, out: &mut AstPass<'_, '_, Pg>) {
        out.push_sql(match self.plan.index {
            // Both parts of a search.
            Index::Sample if self.plan.sample.is_none() => " ORDER BY get_byte(uuid_send(id), 15) >= 8, id",
            Index::Names(_) => " ORDER BY name_key, id",
            Index::LastChanged(_) => " ORDER BY updated_at DESC, id DESC",
            _ => " ORDER BY id",
        });
    }

    /// The rows after the position of the page.
    fn position<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        match &self.plan.index {
            Index::Names(names) => {
                // The position is the only lower bound. With a second bound, PostgreSQL may read the index from the
                // prefix.
                out.push_sql(" AND (name_key, id) > (");
                out.push_bind_param::<Text, _>(names.from)?;
                out.push_sql(", ");
                out.push_bind_param::<SqlUuid, _>(&self.plan.after)?;
                out.push_sql(")");
                if let Some(below) = &names.below {
                    out.push_sql(" AND name_key < ");
                    out.push_bind_param::<Text, _>(below)?;
                }
            }
            Index::LastChanged(None) => {}
            Index::LastChanged(Some(before)) => {
                out.push_sql(" AND (updated_at, id) < (");
                out.push_bind_param::<Timestamptz, _>(before)?;
                out.push_sql(", ");
                out.push_bind_param::<SqlUuid, _>(&self.plan.after)?;
                out.push_sql(")");
            }
            _ => {
                out.push_sql(" AND id > ");
                out.push_bind_param::<SqlUuid, _>(&self.plan.after)?;
            }
        }
        Ok(())
    }

    /// The filters that the index of the order does not cover. They are compared row by row.
    fn remaining_filters<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.areas(out)?;
        if let Some(email) = &self.plan.email {
            // `|| ''`, here and below, prevents that the planner uses the index of this column.
            out.push_sql(" AND lower(email || '') = lower(");
            out.push_bind_param::<Text, _>(email)?;
            out.push_sql(")");
        }
        if let Some(phone) = &self.plan.phone {
            out.push_sql(" AND phone || '' = ");
            out.push_bind_param::<Text, _>(phone)?;
        }
        if let Some(search) = &self.search {
            out.push_sql(" AND (");
            if search.words.is_none() {
                name_range(&search.names, out)?;
            }
            for (number, pattern) in search.word_patterns.iter().enumerate() {
                out.push_sql(if number == 0 { "(" } else { " AND " });
                // The same words as in the function `contacts_words`.
                out.push_sql(WORDS_WITH_SPACES);
                out.push_sql(" LIKE ");
                out.push_bind_param::<Text, _>(pattern)?;
            }
            out.push_sql(if search.words.is_some() { ")" } else { "" });
            if let Some(pattern) = &search.email_pattern {
                out.push_sql(" OR lower(email || '') LIKE ");
                out.push_bind_param::<Text, _>(pattern)?;
            }
            if let Some((_, pattern)) = &search.last_digits {
                out.push_sql(" OR phone || '' LIKE ");
                out.push_bind_param::<Text, _>(pattern)?;
            }
            out.push_sql(")");
        }
        self.sample(out);
        self.without(out)
    }

    fn sample(&self, out: &mut AstPass<'_, '_, Pg>) {
        out.push_sql(match self.plan.sample {
            None => "",
            Some(true) => " AND get_byte(uuid_send(id), 15) < 8",
            Some(false) => " AND get_byte(uuid_send(id), 15) >= 8",
        });
    }

    /// All filters, in the form that their indexes need.
    fn indexed_filters<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("deleted_at IS NULL");
        self.sample(out);
        self.areas(out)?;
        if let Some(email) = &self.plan.email {
            out.push_sql(" AND lower(email) COLLATE \"C\" = lower(");
            out.push_bind_param::<Text, _>(email)?;
            out.push_sql(")");
        }
        if let Some(phone) = &self.plan.phone {
            out.push_sql(" AND phone COLLATE \"C\" = ");
            out.push_bind_param::<Text, _>(phone)?;
        }
        if let Some(search) = &self.search {
            // The mark of the sample is in the index, so fewer rows are read from the table.
            let in_sample = match self.plan.sample {
                Some(true) => " AND contacts_words(id, name_key, phone) @@ '''~'''::tsquery",
                Some(false) | None => "",
            };
            out.push_sql(" AND (");
            match &search.words {
                Some(words) => {
                    out.push_sql("contacts_words(id, name_key, phone) @@ ");
                    out.push_bind_param::<Text, _>(words)?;
                    out.push_sql("::tsquery");
                    out.push_sql(in_sample);
                }
                None => name_range(&search.names, out)?,
            }
            if let Some(pattern) = &search.email_pattern {
                out.push_sql(" OR lower(email) LIKE ");
                out.push_bind_param::<Text, _>(pattern)?;
                out.push_sql(in_sample);
            }
            if let Some((lexeme, pattern)) = &search.last_digits {
                out.push_sql(" OR contacts_words(id, name_key, phone) @@ ");
                out.push_bind_param::<Text, _>(lexeme)?;
                out.push_sql("::tsquery AND phone LIKE ");
                out.push_bind_param::<Text, _>(pattern)?;
            }
            out.push_sql(")");
        }
        self.without(out)
    }

    fn areas<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if let Some(areas) = &self.areas {
            out.push_sql(" AND ddd = ANY(");
            out.push_bind_param::<Array<SmallInt>, _>(areas)?;
            out.push_sql("::smallint[])");
        }
        Ok(())
    }

    fn without<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if let Some(names) = &self.plan.without {
            // Not for a row of an older version without a key: such a row is in no part of the list.
            out.push_sql(" AND NOT (");
            name_range(names, out)?;
            out.push_sql(")");
        }
        Ok(())
    }
}

/// The words of a name, with a space before each: the text of which `contacts_words` makes lexemes.
const WORDS_WITH_SPACES: &str = concat!(
    "' ' || translate(name_key, ",
    r##"'!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', "##,
    "'                                ')"
);

fn name_range<'b>(names: &'b NameRange<'_>, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
    out.push_sql("name_key || '' >= ");
    out.push_bind_param::<Text, _>(names.from)?;
    if let Some(below) = &names.below {
        out.push_sql(" AND name_key || '' < ");
        out.push_bind_param::<Text, _>(below)?;
    }
    Ok(())
}

impl QueryFragment<Pg> for ListContacts<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(CONTACT_COLUMNS);
        match (&self.plan.method, &self.plan.index) {
            (Method::Scan(rows), _) => self.scanned(rows, &mut out),
            (Method::Find, _) => self.found(&mut out),
            (Method::Walk, Index::Ids | Index::Sample) => self.by_id(&mut out),
            (Method::Walk, Index::Areas) => self.by_id_in_areas(self.areas.as_deref().unwrap_or_default(), &mut out),
            (Method::Walk, Index::Names(_) | Index::LastChanged(_)) => self.by_order(&mut out),
            (Method::Walk, Index::Email(email)) => {
                self.by_value(["lower(email) COLLATE \"C\"", "lower"], email, &mut out)
            }
            (Method::Walk, Index::Phone(phone)) => self.by_value(["phone COLLATE \"C\"", ""], phone, &mut out),
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

/// Asks PostgreSQL how many rows it expects.
pub(super) struct Estimate<'a>(pub(super) ListContacts<'a>);

impl QueryFragment<Pg> for Estimate<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("EXPLAIN SELECT FROM contacts WHERE ");
        self.0.indexed_filters(&mut out)
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
    Estimate<'_>: Text;
}
