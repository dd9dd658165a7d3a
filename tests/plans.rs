//! Every kind of list is read by an index, from where the page begins: PostgreSQL says so of the very statements.

use crate::support::{Database, create, eventually, new_contact};
use contacts::domain::{AreaCode, Attempt, ContactId, Email, NameKey, Outcome, Phone, Region, State};
use contacts::store::postgres::Postgres;
use contacts::store::{After, Direction, Filter, Store};
use uuid::Uuid;

const ROWS: u32 = 50_000;
const LIMIT: u32 = 51;

/// Contacts whose ids, names and areas are spread evenly.
fn filled() -> (Postgres, Database) {
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

fn with(choose: impl Fn(AreaCode) -> bool, prefix: Option<&str>) -> Filter {
    let mut filter = Filter { name: prefix.map(|prefix| NameKey::prefix(prefix).unwrap()), ..Filter::default() };
    filter.within(AreaCode::all().filter(|area| choose(*area)));
    filter
}

#[test]
fn every_page_is_read_by_an_index() {
    let (store, _database) = filled();
    let everyone = Filter::default();
    let named = Filter { name: NameKey::prefix("jose").ok(), ..Filter::default() };
    let mailed = || Filter { email: Email::parse("Common@example.com").ok(), ..Filter::default() };
    let called = || Filter { phone: Phone::parse("11987654321").ok(), ..Filter::default() };
    let late_id = After { name: None, id: ContactId::new(Uuid::from_u128(u128::from(ROWS) * 9 / 10)) };
    let late_name = After { name: NameKey::read("jose 49"), ..late_id.clone() };
    for (what, filter, late, index) in [
        ("all", everyone, &late_id, "contacts_pkey"),
        ("ddd", with(|area| area.number() == 11, None), &late_id, "contacts_ddd"),
        ("state", with(|area| area.state() == State::Sp, None), &late_id, "contacts_ddd"),
        ("region", with(|area| area.state().region() == Region::Nordeste, None), &late_id, "contacts_ddd"),
        ("q", named, &late_name, "contacts_name"),
        ("q and state", with(|area| area.state() == State::Sp, Some("jose")), &late_name, "contacts_name"),
        ("email", mailed(), &late_id, "contacts_email"),
        ("phone", called(), &late_id, "contacts_phone"),
        ("email and q", Filter { name: NameKey::prefix("jose").ok(), ..mailed() }, &late_id, "contacts_email"),
        (
            "email and state",
            Filter { email: mailed().email, ..with(|area| area.state() == State::Sp, None) },
            &late_id,
            "contacts_email",
        ),
        ("email and phone", Filter { phone: called().phone, ..mailed() }, &late_id, "contacts_email"),
        ("phone and q", Filter { name: NameKey::prefix("jose").ok(), ..called() }, &late_id, "contacts_phone"),
    ] {
        for after in [None, Some(late)] {
            assert!(!store.contacts(&filter, after, LIMIT).unwrap().is_empty(), "{what}");
            let plan = store.explain(&filter, after, LIMIT).unwrap();
            println!("{what}, {}:\n{plan}\n", if after.is_some() { "late" } else { "first" });
            // Of those with one address or number the rest of a filter may be looked for in any order: they are few.
            if what.contains(" and ") && what != "q and state" {
                assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{what}:\n{plan}");
                continue;
            }
            assert!(plan.contains(&format!("using {index} on")), "{what}:\n{plan}");
            assert!(!plan.contains("Seq Scan") && !plan.contains("Bitmap"), "{what}:\n{plan}");
            // Only pages of areas are sorted, and they are cut before that.
            let sorts = plan.matches("Sort  (").count();
            assert_eq!(sorts, usize::from(index == "contacts_ddd"), "{what}:\n{plan}");
            assert_eq!(plan.matches("Limit  (").count(), 1 + sorts, "{what}:\n{plan}");
            assert!(plan.contains("Index Cond"), "{what}:\n{plan}");
            let filtered = plan.matches("Filter").count();
            // The primary key has deleted contacts too.
            assert_eq!(filtered, usize::from(matches!(what, "all" | "q and state")), "{what}:\n{plan}");
        }
    }
}

#[test]
fn a_session_that_began_on_empty_tables_never_reads_them_from_end_to_end() {
    let database = Database::new();
    let store = Postgres::new(&database.settings()).unwrap();
    store.migrate(Direction::Up).unwrap();
    // After five times PostgreSQL keeps the plan of a prepared statement. Whatever it took the tables for then, by the
    // later batches there is something in them.
    for _ in 0..12 {
        let attempt = |_| {
            let command = create(new_contact(), "Ana Example");
            Attempt { command, replays: 0, last_attempt: false, must_fail: None }
        };
        let batch: Vec<Attempt> = (0..50).map(attempt).collect();
        assert_eq!(store.apply(&batch).unwrap(), vec![Outcome::Applied; 50]);
    }
    // A session that ends tells what it did.
    drop(store);
    let tables = |condition: &str| {
        database.count(&format!(
            "pg_stat_user_tables WHERE relid IN ('contacts'::regclass, 'operations'::regclass) AND {condition}"
        ))
    };
    eventually("what the session did", || (tables("idx_scan >= 12") == 2).then_some(()));
    assert_eq!(tables("seq_tup_read > 0"), 0);
}
