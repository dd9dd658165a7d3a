//! What grows: tables, dead letters, consumers.

use super::broker;
use super::figures::{Figures, percentile};
use super::load;
use super::process::{Process, drained};
use super::setup::{Schema, Stand};
use ::contacts::domain::ContactId;
use ::contacts::message::Message;
use ::contacts::producer::{CursorKey, Listing};
use ::contacts::store::After;
use diesel::connection::SimpleConnection;
use diesel::pg::{CopyFormat, PgConnection};
use diesel::prelude::*;
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Messages of each backlog here.
const BACKLOG: usize = 100_000;
/// Dead letters.
const LETTERS: usize = 100_000;
/// Requests of each kind of read.
const READS: usize = 400;
/// When the first loaded contact was made, in milliseconds since 1970; each is a millisecond younger.
const LONG_AGO: u128 = 1_735_689_600_000;

diesel::table! {
    contacts (id) {
        id -> Uuid,
        version -> Uuid,
        stamp -> BigInt,
        created_by -> Uuid,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        name -> Nullable<Text>,
        name_key -> Nullable<Text>,
        phone -> Nullable<Text>,
        ddd -> Nullable<SmallInt>,
        email -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::{Nullable, Text};
    pg_indexes (schemaname) {
        schemaname -> Text,
        tablename -> Text,
        indexname -> Text,
        indexdef -> Text,
    }
}

/// An id as the producer would have made it then.
fn id(number: usize) -> Uuid {
    let number = number as u128;
    Uuid::from_u128((LONG_AGO + number) << 80 | 7 << 76 | 2 << 62 | number)
}

/// Fills the table by COPY, and makes its indexes afterwards, as one restores a large table.
fn fill(schema: &Schema<'_>, count: usize) -> Duration {
    let began = Instant::now();
    let mut sql = PgConnection::establish(&schema.url()).unwrap();
    let indexes: Vec<(String, String)> = pg_indexes::table
        .filter(pg_indexes::schemaname.eq(&schema.name))
        .filter(pg_indexes::tablename.eq("contacts"))
        .filter(pg_indexes::indexname.not_like("%pkey"))
        .select((pg_indexes::indexname, pg_indexes::indexdef))
        .load(&mut sql)
        .unwrap();
    for (name, _) in &indexes {
        sql.batch_execute(&format!("DROP INDEX {name}")).unwrap();
    }
    let columns = (
        contacts::id,
        contacts::version,
        contacts::stamp,
        contacts::created_by,
        contacts::created_at,
        contacts::updated_at,
        contacts::name,
        contacts::name_key,
        contacts::phone,
        contacts::ddd,
        contacts::email,
    );
    let rows = |copy: &mut dyn Write| -> QueryResult<()> {
        for number in 0..count {
            let (id, (name, phone, email)) = (id(number), load::person(number));
            let (key, ddd) = (name.to_lowercase().replace('á', "a"), &phone[3..5]);
            let seconds = (LONG_AGO + number as u128) as f64 / 1e3;
            let at = chrono::DateTime::from_timestamp(seconds as i64, 0).unwrap().to_rfc3339();
            writeln!(copy, "{id}\t{id}\t0\t{id}\t{at}\t{at}\t{name}\t{key}\t{phone}\t{ddd}\t{email}").unwrap();
        }
        Ok(())
    };
    let copied = diesel::copy_from(contacts::table)
        .from_raw_data(columns, rows)
        .with_format(CopyFormat::Text)
        .execute(&mut sql)
        .unwrap();
    assert_eq!(copied, count);
    sql.batch_execute("SET maintenance_work_mem = '512MB'").unwrap();
    for (_, definition) in &indexes {
        sql.batch_execute(definition).unwrap();
    }
    for statement in ["VACUUM ANALYZE contacts", "CHECKPOINT"] {
        sql.batch_execute(statement).unwrap();
    }
    began.elapsed()
}

/// `1m` for a million.
fn size(count: usize) -> String {
    match count {
        0 => "empty".to_owned(),
        millions if millions % 1_000_000 == 0 => format!("{}m", millions / 1_000_000),
        other => other.to_string(),
    }
}

/// Tables of several sizes: how fast a backlog is applied to them, and how fast they are read.
pub fn tables(stand: &Stand, most: usize, rounds: usize, figures: &mut Figures) {
    let schemas: Vec<(usize, Schema<'_>)> = [0, most / 10, most]
        .into_iter()
        .map(|count| {
            let schema = stand.schema(&format!("bench_{}", size(count)));
            schema.declare();
            let took = fill(&schema, count);
            figures.add(&format!("growth.load_{}", size(count)), "s", took.as_secs_f64());
            (count, schema)
        })
        .collect();
    for _ in 0..rounds {
        for (count, schema) in &schemas {
            // Every one has the same work before it: empty queues, and nothing of the last one left to write.
            schema.purge();
            if *count == 0 {
                schema.empty();
            }
            stand.execute("CHECKPOINT");
            broker::publish(&stand.broker, &schema.queue(), &load::messages(BACKLOG), 4_096);
            let consumer = Process::role("consumer", schema, &[]);
            figures.add(&format!("growth.drain_{}", size(*count)), "commands/s", consumer.drained(BACKLOG));
        }
        let (empty, full) = (figures.last("growth.drain_empty"), figures.last(&format!("growth.drain_{}", size(most))));
        figures.add("growth.drain_10m_over_empty", "", full / empty);
    }
    for (count, schema) in schemas.iter().filter(|(count, _)| *count > 0) {
        stand.execute(&format!("VACUUM ANALYZE {}.contacts", schema.name));
        reads(schema, *count, rounds, figures);
    }
}

/// Latencies of reads over HTTP, one after the other.
fn reads(schema: &Schema<'_>, count: usize, rounds: usize, figures: &mut Figures) {
    let producer = Process::role("producer", schema, &[]);
    // As the service made it: the last page comes after the contact that is the sixtieth from the end.
    let (key, last) = (CursorKey::new(&schema.url()), After { name: None, id: ContactId::new(id(count - 60)) });
    let cursor = Listing::parse("", &key).unwrap().cursor_after(&last, &key);
    let paths = [
        ("first_page", "contacts?limit=50".to_owned()),
        ("last_page", format!("contacts?limit=50&cursor={cursor}")),
        ("one", format!("contacts/{}", id(count / 2))),
        ("ddd", "contacts?limit=50&ddd=11".to_owned()),
        ("state", "contacts?limit=50&state=SP".to_owned()),
        ("region", "contacts?limit=50&region=Sudeste".to_owned()),
        ("email", "contacts?email=person4711@example.com".to_owned()),
        ("phone", format!("contacts?phone=%2B{}", &load::person(4_711).1[1..])),
        ("name", "contacts?limit=50&q=ana%20ex".to_owned()),
        ("name_and_state", "contacts?limit=50&q=ana%20ex&state=SP".to_owned()),
    ];
    let agent = ureq::Agent::new_with_defaults();
    for _ in 0..rounds {
        for (name, path) in &paths {
            let url = format!("{}/{path}", producer.url);
            let mut took: Vec<Duration> = (0..READS)
                .map(|_| {
                    let began = Instant::now();
                    agent.get(&url).call().unwrap().body_mut().read_to_string().unwrap();
                    began.elapsed()
                })
                .collect();
            let figure = format!("growth.read_{}.{name}", size(count));
            figures.add(&format!("{figure}_p50"), "ms", percentile(&mut took, 0.5));
            figures.add(&format!("{figure}_p99"), "ms", percentile(&mut took, 0.99));
        }
        let page = |page: &str| figures.last(&format!("growth.read_{}.{page}_p50", size(count)));
        let ratio = page("last_page") / page("first_page");
        figures.add(
            if count >= 10_000_000 { "growth.last_page_over_first" } else { "growth.last_page_over_first_small" },
            "",
            ratio,
        );
    }
}

/// Many messages that can never be applied: into the dead letters, looked at, and put back.
pub fn letters(stand: &Stand, figures: &mut Figures) {
    let schema = stand.schema("bench");
    schema.declare();
    let mut messages = load::messages(LETTERS);
    for message in &mut messages {
        message.body = br#"{"schema":9}"#.to_vec();
    }
    broker::publish(&stand.broker, &schema.queue(), &messages, 4_096);
    let began = Instant::now();
    let consumer = Process::role("consumer", &schema, &[]);
    drained(LETTERS, Duration::from_millis(20), || consumer.failed());
    figures.add("growth.dead_lettered", "messages/s", LETTERS as f64 / began.elapsed().as_secs_f64());
    drop(consumer);
    // Nothing works on them meanwhile, so there is nothing to try first and nothing to wait for.
    for (name, command) in
        [("list", "dlq-drain list"), ("replay", "dlq-drain replay --all --yes --no-canary --rate 100000 --wait 1ms")]
    {
        let mut command = stand.command(command, &schema);
        let began = Instant::now();
        let mut child = command.stdout(Stdio::null()).stderr(stand.log(&format!("dlq-{name}.log"))).spawn().unwrap();
        let mut peak: f64 = 0.0;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            peak = peak.max(super::process::peak_rss(child.id()).unwrap_or_default());
            std::thread::sleep(Duration::from_millis(5));
        };
        // 3: it is not known how they ended, as nobody works on them.
        assert!(matches!(status.code(), Some(0 | 3)), "dlq-drain {name}: see target/bench/logs");
        figures.add(&format!("growth.dlq_{name}"), "s per 100,000", began.elapsed().as_secs_f64());
        figures.add(&format!("growth.dlq_{name}_rss_peak"), "MiB", peak);
    }
    assert_eq!(schema.waiting(), LETTERS);
}

/// The same backlog for several processes.
pub fn consumers(stand: &Stand, rounds: usize, figures: &mut Figures) {
    let schema = stand.schema("bench");
    schema.declare();
    let backlog: Vec<Message> = load::messages(BACKLOG * 2);
    for _ in 0..rounds {
        for count in [1, 2, 4] {
            schema.empty();
            broker::publish(&stand.broker, &schema.queue(), &backlog, 4_096);
            let processes: Vec<_> = (0..count).map(|_| Process::role("consumer", &schema, &[])).collect();
            let rate =
                drained(backlog.len(), Duration::from_millis(20), || processes.iter().map(Process::applied).sum());
            figures.add(&format!("growth.consumers_{count}"), "commands/s", rate);
        }
    }
}
