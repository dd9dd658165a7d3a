//! Measurements with large tables, many dead letters and several consumers.

use super::broker;
use super::load;
use super::measurements::{Measurements, percentile};
use super::process::{Process, drain_rate};
use super::setup::{Environment, Schema};
use ::contacts::domain::ContactId;
use ::contacts::message::Message;
use ::contacts::producer::{CursorKey, Listing};
use ::contacts::store::ListPosition;
use diesel::connection::SimpleConnection;
use diesel::pg::{CopyFormat, PgConnection};
use diesel::prelude::*;
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Messages in each backlog.
const BACKLOG: usize = 100_000;
/// The number of dead letters.
const DEAD_LETTERS: usize = 100_000;
/// Requests for each kind of read.
const READS: usize = 400;
/// The creation time of the first contact, in milliseconds since 1970. Each next contact is one millisecond newer.
const FIRST_CREATED_AT: u128 = 1_735_689_600_000;

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

/// A UUID v7 like the producer's, with the contact's creation time.
fn id(number: usize) -> Uuid {
    let number = number as u128;
    Uuid::from_u128((FIRST_CREATED_AT + number) << 80 | 7 << 76 | 2 << 62 | number)
}

/// Fills the table with COPY and creates its indexes afterwards. Returns the time this takes.
fn fill(schema: &Schema<'_>, count: usize) -> Duration {
    let started = Instant::now();
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
            let seconds = (FIRST_CREATED_AT + number as u128) as f64 / 1e3;
            let created_at = chrono::DateTime::from_timestamp(seconds as i64, 0).unwrap().to_rfc3339();
            writeln!(copy, "{id}\t{id}\t0\t{id}\t{created_at}\t{created_at}\t{name}\t{key}\t{phone}\t{ddd}\t{email}")
                .unwrap();
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
    started.elapsed()
}

/// The name of a table size: `1m` for a million.
fn size_name(count: usize) -> String {
    match count {
        0 => "empty".to_owned(),
        millions if millions % 1_000_000 == 0 => format!("{}m", millions / 1_000_000),
        other => other.to_string(),
    }
}

/// Applies a backlog to tables of several sizes, and reads from them.
pub fn tables(environment: &Environment, max_contacts: usize, rounds: usize, measurements: &mut Measurements) {
    let schemas: Vec<(usize, Schema<'_>)> = [0, max_contacts / 10, max_contacts]
        .into_iter()
        .map(|count| {
            let schema = environment.schema(&format!("bench_{}", size_name(count)));
            schema.declare_queues();
            let duration = fill(&schema, count);
            measurements.add(&format!("growth.load_{}", size_name(count)), "s", duration.as_secs_f64());
            (count, schema)
        })
        .collect();
    measure_drains(&schemas, rounds, "", measurements);
    {
        let _settings = DeployedSettings::set(environment);
        measure_drains(&schemas, rounds, "_as_deployed", measurements);
    }
    for (count, schema) in schemas.iter().filter(|(count, _)| *count > 0) {
        environment.execute(&format!("VACUUM ANALYZE {}.contacts", schema.name));
        measure_reads(schema, *count, rounds, measurements);
    }
}

/// The settings for checkpoints of `deploy/azure`, except those that need a restart.
struct DeployedSettings<'a>(&'a Environment);

impl<'a> DeployedSettings<'a> {
    const ALL: [(&'static str, &'static str); 3] =
        [("wal_compression", "lz4"), ("max_wal_size", "8GB"), ("checkpoint_timeout", "15min")];

    fn set(environment: &'a Environment) -> Self {
        let settings = Self(environment);
        for (name, value) in Self::ALL {
            environment.execute(&format!("ALTER SYSTEM SET {name} = '{value}'"));
        }
        environment.execute("SELECT pg_reload_conf()");
        settings
    }
}

impl Drop for DeployedSettings<'_> {
    fn drop(&mut self) {
        for (name, _) in Self::ALL {
            self.0.execute(&format!("ALTER SYSTEM RESET {name}"));
        }
        self.0.execute("SELECT pg_reload_conf()");
    }
}

/// Applies a backlog to each table. `suffix` follows the names of the figures.
fn measure_drains(schemas: &[(usize, Schema<'_>)], rounds: usize, suffix: &str, measurements: &mut Measurements) {
    for _ in 0..rounds {
        for (count, schema) in schemas {
            // Same start for every table: empty queues, and PostgreSQL has no dirty pages of the last drain.
            schema.purge_queues();
            if *count == 0 {
                schema.clear();
            }
            schema.environment.execute("CHECKPOINT");
            broker::publish(&schema.environment.broker, &schema.queue(), &load::messages(BACKLOG), 4_096);
            let consumer = Process::role("consumer", schema, &[]);
            measurements.add(
                &format!("growth.drain_{}{suffix}", size_name(*count)),
                "commands/s",
                consumer.drain_rate(BACKLOG),
            );
        }
        let rate = |count| measurements.last(&format!("growth.drain_{}{suffix}", size_name(count)));
        let largest = schemas.last().map_or(0, |(count, _)| *count);
        let ratio = rate(largest) / rate(0);
        measurements.add(&format!("growth.drain_{}_over_empty{suffix}", size_name(largest)), "", ratio);
    }
}

/// Measures the latencies of reads over HTTP, one request after the other.
fn measure_reads(schema: &Schema<'_>, count: usize, rounds: usize, measurements: &mut Measurements) {
    let producer = Process::role("producer", schema, &[]);
    // The cursor of the last page: it follows the sixtieth contact from the end.
    let (key, last) = (CursorKey::new(&schema.url()), ListPosition { key: None, id: ContactId::new(id(count - 60)) });
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
            let mut latencies: Vec<Duration> = (0..READS)
                .map(|_| {
                    let started = Instant::now();
                    agent.get(&url).call().unwrap().body_mut().read_to_string().unwrap();
                    started.elapsed()
                })
                .collect();
            let name = format!("growth.read_{}.{name}", size_name(count));
            measurements.add(&format!("{name}_p50"), "ms", percentile(&mut latencies, 0.5));
            measurements.add(&format!("{name}_p99"), "ms", percentile(&mut latencies, 0.99));
        }
        let page = |page: &str| measurements.last(&format!("growth.read_{}.{page}_p50", size_name(count)));
        let ratio = page("last_page") / page("first_page");
        measurements.add(
            if count >= 10_000_000 { "growth.last_page_over_first" } else { "growth.last_page_over_first_small" },
            "",
            ratio,
        );
    }
}

/// Dead-letters many messages, lists them and replays them.
pub fn dead_letters(environment: &Environment, measurements: &mut Measurements) {
    let schema = environment.schema("bench");
    schema.declare_queues();
    let mut messages = load::messages(DEAD_LETTERS);
    for message in &mut messages {
        message.body = br#"{"schema":9}"#.to_vec();
    }
    broker::publish(&environment.broker, &schema.queue(), &messages, 4_096);
    let started = Instant::now();
    let consumer = Process::role("consumer", &schema, &[]);
    drain_rate(DEAD_LETTERS, Duration::from_millis(20), || consumer.failed());
    measurements.add("growth.dead_lettered", "messages/s", DEAD_LETTERS as f64 / started.elapsed().as_secs_f64());
    drop(consumer);
    // No consumer runs, so a canary or waiting for the operations is useless.
    for (name, command) in
        [("list", "dlq-drain list"), ("replay", "dlq-drain replay --all --yes --no-canary --rate 100000 --wait 1ms")]
    {
        let mut command = environment.command(command, &schema);
        let started = Instant::now();
        let mut child =
            command.stdout(Stdio::null()).stderr(environment.log(&format!("dlq-{name}.log"))).spawn().unwrap();
        let mut peak: f64 = 0.0;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            peak = peak.max(super::process::peak_rss(child.id()).unwrap_or_default());
            std::thread::sleep(Duration::from_millis(5));
        };
        // 3: the operations are not finished, because no consumer runs.
        assert!(matches!(status.code(), Some(0 | 3)), "dlq-drain {name}: see target/bench/logs");
        measurements.add(&format!("growth.dlq_{name}"), "s per 100,000", started.elapsed().as_secs_f64());
        measurements.add(&format!("growth.dlq_{name}_rss_peak"), "MiB", peak);
    }
    assert_eq!(schema.waiting(), DEAD_LETTERS);
}

/// Applies the same backlog with several consumer processes.
pub fn consumers(environment: &Environment, rounds: usize, measurements: &mut Measurements) {
    let schema = environment.schema("bench");
    schema.declare_queues();
    let backlog: Vec<Message> = load::messages(BACKLOG * 2);
    for _ in 0..rounds {
        for count in [1, 2, 4] {
            schema.clear();
            broker::publish(&environment.broker, &schema.queue(), &backlog, 4_096);
            let processes: Vec<_> = (0..count).map(|_| Process::role("consumer", &schema, &[])).collect();
            let rate =
                drain_rate(backlog.len(), Duration::from_millis(20), || processes.iter().map(Process::applied).sum());
            measurements.add(&format!("growth.consumers_{count}"), "commands/s", rate);
        }
    }
}
