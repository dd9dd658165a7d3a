//! Checks the plans of PostgreSQL: every kind of list reads an index from the position where the page starts.

use crate::support::{Database, create, eventually, new_contact};
use contacts::domain::{AreaCode, Attempt, ContactId, Email, NameKey, Outcome, Phone, Region, Search, State};
use contacts::store::postgres::Postgres;
use contacts::store::{Direction, Filter, ListPosition, Sort, SortKey, Store};
use uuid::Uuid;

const ROWS: u32 = 50_000;
const LIMIT: u32 = 51;

/// A database with contacts whose ids, names and areas are spread evenly.
fn filled_database() -> (Postgres, Database) {
    let database = Database::new();
    let store = Postgres::new(&database.settings()).unwrap();
    store.migrate(Direction::Up).unwrap();
    let codes: Vec<String> = AreaCode::all().map(|area| area.number().to_string()).collect();
    database.execute(&format!(
        "INSERT INTO contacts (id, version, stamp, created_by, created_at, updated_at, name, phone, ddd, email, name_key) \
         SELECT lpad(to_hex(n), 32, '0')::uuid, gen_random_uuid(), 1, gen_random_uuid(), now(), now(), \
             initcap(word) || ' ' || n, '+55' || code || '987654321', code, CASE n % 3 WHEN 0 THEN 'Common@Example.com' ELSE 'p' || n || '@example.com' END, word || ' ' || n \
         FROM (SELECT n, (ARRAY[{codes}])[1 + n % 67]::smallint AS code, \
             (ARRAY['ana', 'bia', 'caio', 'davi', 'eva', 'jose', 'lia', 'maria', 'rui', 'zoe'])[1 + n / 67 % 10] AS word \
             FROM generate_series(1, {ROWS}) AS n) AS made; \
         ANALYZE contacts",
        codes = codes.join(", ")
    ));
    (store, database)
}

fn in_areas(is_in: impl Fn(AreaCode) -> bool, prefix: Option<&str>) -> Filter {
    let mut filter = Filter { search: prefix.map(|prefix| Search::parse(prefix).unwrap()), ..Filter::default() };
    filter.restrict_to(AreaCode::all().filter(|area| is_in(*area)));
    filter
}

#[test]
fn every_page_reads_an_index() {
    let (store, _database) = filled_database();
    let all = Filter::default();
    let by_name = Filter { search: Search::parse("jose").ok(), ..Filter::default() };
    let by_email = || Filter { email: Email::parse("Common@example.com").ok(), ..Filter::default() };
    let by_phone = || Filter { phone: Phone::parse("11987654321").ok(), ..Filter::default() };
    let late_id = ListPosition { key: None, id: ContactId::new(Uuid::from_u128(u128::from(ROWS) * 9 / 10)) };
    let late_name = ListPosition { key: NameKey::read("jose 49").map(SortKey::Name), ..late_id.clone() };
    for (label, filter, late, index) in [
        ("all", all, &late_id, "contacts_pkey"),
        ("ddd", in_areas(|area| area.number() == 11, None), &late_id, "contacts_ddd"),
        ("state", in_areas(|area| area.state() == State::Sp, None), &late_id, "contacts_ddd"),
        ("region", in_areas(|area| area.state().region() == Region::Nordeste, None), &late_id, "contacts_ddd"),
        ("q", by_name, &late_name, "contacts_name"),
        ("q and state", in_areas(|area| area.state() == State::Sp, Some("jose")), &late_name, "contacts_name"),
        ("email", by_email(), &late_id, "contacts_email"),
        ("phone", by_phone(), &late_id, "contacts_phone"),
        ("email and q", Filter { search: Search::parse("jose").ok(), ..by_email() }, &late_id, "contacts_email"),
        (
            "email and state",
            Filter { email: by_email().email, ..in_areas(|area| area.state() == State::Sp, None) },
            &late_id,
            "contacts_email",
        ),
        ("email and phone", Filter { phone: by_phone().phone, ..by_email() }, &late_id, "contacts_email"),
        ("phone and q", Filter { search: Search::parse("jose").ok(), ..by_phone() }, &late_id, "contacts_phone"),
    ] {
        for after in [None, Some(late)] {
            assert!(!store.contacts(&filter, after, LIMIT).unwrap().is_empty(), "{label}");
            // These pages need one statement.
            let plan = store.explain(&filter, after, LIMIT).unwrap().remove(0);
            println!("{label}, {} page:\n{plan}\n", if after.is_some() { "late" } else { "first" });
            // Few contacts have one address or number, so the rest of the filter can be checked in any order.
            if label.contains(" and ") && label != "q and state" {
                assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{label}:\n{plan}");
                continue;
            }
            assert!(plan.contains(&format!("using {index} on")), "{label}:\n{plan}");
            assert!(!plan.contains("Seq Scan") && !plan.contains("Bitmap"), "{label}:\n{plan}");
            // Only pages of areas are sorted, and each is limited before that.
            let sorts = plan.matches("Sort  (").count();
            assert_eq!(sorts, usize::from(index == "contacts_ddd"), "{label}:\n{plan}");
            assert_eq!(plan.matches("Limit  (").count(), 1 + sorts, "{label}:\n{plan}");
            assert!(plan.contains("Index Cond"), "{label}:\n{plan}");
            let filtered = plan.matches("Filter").count();
            // The primary key also has deleted contacts.
            assert_eq!(filtered, usize::from(matches!(label, "all" | "q and state")), "{label}:\n{plan}");
        }
    }
}

#[test]
fn a_search_scans_a_few_rows_or_reads_its_index() {
    let (store, _database) = filled_database();
    let plans = |text: Option<&str>, sort| {
        let filter = Filter { search: text.map(|text| Search::parse(text).unwrap()), sort, ..Filter::default() };
        let plans = store.explain(&filter, None, LIMIT).unwrap();
        for plan in &plans {
            println!("{text:?} {sort:?}:\n{plan}\n");
            assert!(!plan.contains("Seq Scan"), "{text:?} {sort:?}:\n{plan}");
        }
        plans
    };
    // Few match: a scan of a sample, then the index. The words, the address and the number are one index.
    for text in ["zoe 777", "777 zoe", "p777@example", "1112223"] {
        let last = plans(Some(text), None).pop().unwrap();
        assert!(last.contains("Bitmap Index Scan on contacts_search"), "{text}:\n{last}");
    }
    // Many match: the names that begin with the text, or the sample, fill the page.
    assert_eq!(plans(Some("jo"), None).len(), 1);
    let common = plans(Some("example"), None);
    assert!(common.len() == 2 && common[1].contains("using contacts_sample on"), "{common:?}");
    for (sort, index) in [(Sort::Name, "contacts_name"), (Sort::LastChanged, "contacts_updated_at")] {
        let all = plans(None, Some(sort));
        assert!(all.len() == 1 && all[0].contains(&format!("using {index} on")), "{all:?}");
        assert!(!all[0].contains("Sort  ("), "{all:?}");
        let common = plans(Some("example"), Some(sort)).remove(0);
        assert!(common.contains(&format!("using {index} on")), "{common}");
        let rare = plans(Some("777 zoe"), Some(sort)).pop().unwrap();
        assert!(rare.contains("contacts_search"), "{rare}");
    }
}

#[test]
fn a_session_that_started_with_empty_tables_never_scans_them() {
    let database = Database::new();
    let store = Postgres::new(&database.settings()).unwrap();
    store.migrate(Direction::Up).unwrap();
    // After five executions PostgreSQL keeps the plan of a prepared statement. The tables are small then, and grow in
    // the later batches.
    for _ in 0..12 {
        let attempt = |_| {
            let command = create(new_contact(), "Ana Example");
            Attempt::new(command)
        };
        let batch: Vec<Attempt> = (0..50).map(attempt).collect();
        assert_eq!(store.apply(&batch).unwrap(), vec![Outcome::Applied; 50]);
    }
    // A session reports its statistics when it ends.
    drop(store);
    let tables = |condition: &str| {
        database.count(&format!(
            "pg_stat_user_tables WHERE relid IN ('contacts'::regclass, 'operations'::regclass) AND {condition}"
        ))
    };
    eventually("the statistics of the session are visible", || (tables("idx_scan >= 12") == 2).then_some(()));
    assert_eq!(tables("seq_tup_read > 0"), 0);
}
