//! Several hosts of the broker and of the database: a host that fails, freezes or becomes read-only is left for another.

use crate::support::{Broker, Database, MAX_WAIT, Process, Proxy, create, eventually, new_contact, update};
use contacts::config::{DatabaseSettings, Url};
use contacts::domain::{Attempt, Command, ContactId};
use contacts::message::Message;
use contacts::queue::rabbitmq::RabbitMq;
use contacts::queue::{Publisher, Queue, QueueKind};
use contacts::stop::Stop;
use contacts::store::postgres::Postgres;
use contacts::store::{Direction, Store, StoreError};
use contacts::telemetry::{Component, Health};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The broker's URL with these hosts.
fn with_hosts(url: &str, hosts: &[String]) -> Url {
    let one = crate::support::host_and_port(url, 5672);
    Url::from(url.replace(&one, &hosts.join(",")).as_str())
}

fn message() -> Message {
    Message {
        id: Uuid::now_v7().to_string(),
        kind: "test".into(),
        timestamp: 1,
        headers: contacts::message::Headers::default(),
        body: b"x".to_vec(),
    }
}

fn publisher(broker: &Broker, hosts: &[String]) -> (RabbitMq, Publisher, Component) {
    let mut settings = broker.settings();
    settings.url = with_hosts(&broker.url, hosts);
    settings.connect_timeout = Duration::from_secs(1);
    let rabbit = RabbitMq::new(&settings).unwrap();
    let component = Health::default().component("queue");
    let (publisher, _thread) = rabbit.publisher(&settings, component.clone(), Stop::default()).unwrap();
    eventually("the publisher is connected", || component.reason().is_none().then_some(()));
    (rabbit, publisher, component)
}

/// A host that accepts connections and never says anything, and a host that refuses them.
fn dead_hosts() -> (TcpListener, Vec<String>) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let hosts = vec![silent.local_addr().unwrap().to_string(), refusing];
    (silent, hosts)
}

fn publish(publisher: &Publisher) -> bool {
    publisher.publish_all([(QueueKind::Work, message(), Duration::ZERO)], MAX_WAIT).iter().all(Result::is_ok)
}

#[test]
fn hosts_of_the_broker_that_do_not_answer_are_skipped() {
    let broker = Broker::new();
    let (_silent, mut hosts) = dead_hosts();
    hosts.push(broker.address());
    let (rabbit, publisher, _) = publisher(&broker, &hosts);
    assert!(publish(&publisher));
    let mut taken = 0;
    rabbit
        .session(10, &mut |source| {
            while taken == 0 {
                taken += source.take(10, Duration::from_millis(100))?.unwrap().len();
            }
            source.acknowledge()
        })
        .unwrap();
    assert_eq!(taken, 1);
}

#[test]
fn a_node_that_stops_confirming_is_left_and_its_messages_are_published_to_another() {
    let broker = Broker::new();
    let nodes = [Proxy::to(broker.address()), Proxy::to(broker.address())];
    let (_rabbit, publisher, _) = publisher(&broker, &[nodes[0].address(), nodes[1].address()]);
    assert!(publish(&publisher));
    let used = usize::from(nodes[1].opened_connections() > 0);
    nodes[used].stall(true);
    assert!(publish(&publisher), "the other node confirms it");
    assert!(nodes[1 - used].opened_connections() > 0);
    assert_eq!(broker.depth(QueueKind::Work), 2, "a message that was confirmed is in the queue");
}

fn settings(url: Url) -> DatabaseSettings {
    DatabaseSettings {
        url,
        max_connections: 3,
        connect_timeout: Duration::from_secs(2),
        statement_timeout: Duration::from_secs(1),
        ..DatabaseSettings::default()
    }
}

fn apply(store: &Postgres, command: Command) -> Result<(), StoreError> {
    store.apply(&[Attempt { last_attempt: true, ..Attempt::new(command) }]).map(drop)
}

#[test]
fn hosts_of_the_database_that_do_not_answer_are_skipped() {
    let database = Database::new();
    let (_silent, mut hosts) = dead_hosts();
    hosts.push(database.address());
    let url = database.url.replace(&database.address(), &hosts.join(","));
    let store = Postgres::new(&settings(Url::from(url.as_str()))).unwrap();
    // The connection arrives while somebody waits for it, or later.
    eventually("a host answers", || store.migrate(Direction::Up).ok());
    eventually("a host answers", || store.check().ok());
}

/// A server whose disk or kernel stops acknowledges packets and never answers. No timeout of the server or of TCP helps.
#[test]
fn a_database_that_freezes_holds_nobody() {
    let database = Database::new();
    let proxy = Proxy::to(database.address());
    let store = Postgres::new(&settings(Url::from(proxy.rewrite_url(&database.url).as_str()))).unwrap();
    store.migrate(Direction::Up).unwrap();
    let contact = new_contact();
    apply(&store, create(contact, "Ana")).unwrap();
    // One idle connection more than the next read uses.
    std::thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(|| store.contact(contact).unwrap()))));
    proxy.stall(true);
    for attempt in [apply(&store, update(contact, 2, "Bia")), store.contact(contact).map(drop)] {
        assert!(matches!(attempt, Err(StoreError::Unavailable(_))), "{attempt:?}");
    }
    proxy.close_connections();
    proxy.clear_faults();
    eventually("the database is used again", || apply(&store, update(contact, 3, "Caio")).ok());
}

/// A server that is slow to accept connections, as after a failover: several are being opened at the same time. Each of them
/// needs its deadline.
#[test]
fn connections_that_were_opened_at_the_same_time_have_a_deadline() {
    let database = Database::new();
    Postgres::new(&database.settings()).unwrap().migrate(Direction::Up).unwrap();
    let proxy = Proxy::to(database.address());
    let url = proxy.rewrite_url(&database.url);
    let read_on_all = |store: &Arc<Postgres>| {
        let (sender, results) = std::sync::mpsc::channel();
        for _ in 0..3 {
            let (store, sender) = (store.clone(), sender.clone());
            std::thread::spawn(move || drop(sender.send(store.contact(new_contact()))));
        }
        results
    };
    let store = Arc::new(Postgres::new(&settings(Url::from(url.as_str()))).unwrap());
    proxy.stall(true);
    let reads = read_on_all(&store);
    // A connection waits a second for the one before it.
    eventually("two connections are being opened", || (proxy.opened_connections() > 1).then_some(()));
    proxy.stall(false);
    for _ in 0..3 {
        reads.recv_timeout(MAX_WAIT).unwrap().unwrap();
    }
    proxy.stall(true);
    let reads = read_on_all(&store);
    for _ in 0..3 {
        let read = reads.recv_timeout(MAX_WAIT).expect("a read is not held");
        assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    }
}

/// Only the text says that a lock was not available in time, and the text depends on the language of the server.
#[test]
fn an_error_after_the_time_for_a_lock_may_be_a_lock_in_another_language() {
    let database = Database::new();
    let store = Postgres::new(&DatabaseSettings {
        statement_timeout: Duration::from_secs(30),
        ..settings(Url::from(database.url.as_str()))
    })
    .unwrap();
    store.migrate(Direction::Up).unwrap();
    database.execute(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(2.1); \
         RAISE EXCEPTION 'cancelando comando'; END $$; \
         CREATE TRIGGER wait BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION wait()",
    );
    let applied = apply(&store, create(new_contact(), "Ana"));
    assert!(matches!(applied, Err(StoreError::Locked(_))), "{applied:?}");
}

#[test]
fn an_answer_that_never_arrives_holds_nobody() {
    let database = Database::new();
    let proxy = Proxy::to(database.address());
    let store = Postgres::new(&settings(Url::from(proxy.rewrite_url(&database.url).as_str()))).unwrap();
    store.migrate(Direction::Up).unwrap();
    let locked = database.open_transaction("LOCK TABLE contacts");
    let read = std::thread::scope(|scope| {
        let read = scope.spawn(|| store.contact(new_contact()));
        eventually("the statement waits for the lock", || {
            (database.count("pg_locks WHERE NOT granted AND relation = 'contacts'::regclass") > 0).then_some(())
        });
        proxy.stall(true);
        read.join().unwrap()
    });
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    drop(locked);
}

/// After a failover, an old primary can come back as a standby, and an administrator or a full disk can make a server
/// read-only. Its sessions stay read-only.
#[test]
fn a_read_only_session_is_left_and_nothing_is_rejected() {
    let database = Database::new();
    Postgres::new(&database.settings()).unwrap().migrate(Direction::Up).unwrap();
    let role = format!("test_{}", Uuid::now_v7().simple());
    database.execute(&format!(
        "CREATE ROLE {role} LOGIN SUPERUSER; ALTER ROLE {role} SET default_transaction_read_only = on"
    ));
    let url = database.url.replace("//postgres@", &format!("//{role}@"));
    assert!(url.contains(&role), "the test needs the user postgres: {url}");
    let store = Postgres::new(&settings(Url::from(url.as_str()))).unwrap();
    let contact: ContactId = new_contact();
    let error = apply(&store, create(contact, "Ana")).unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("read-only")), "{error:?}");
    let two_hosts = url.replace(&database.address(), &format!("{0},{0}", database.address()));
    let of_two_hosts = Postgres::new(&settings(Url::from(two_hosts.as_str()))).unwrap();
    let error = of_two_hosts.check().unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("read-only")), "{error:?}");
    database.execute(&format!("ALTER ROLE {role} SET default_transaction_read_only = off"));
    apply(&store, create(contact, "Ana")).unwrap();
    eventually("the pool with two hosts connects", || of_two_hosts.check().ok());
    drop((store, of_two_hosts));
    database.execute(&format!("DROP ROLE {role}"));
}

/// `make cluster` runs it, because it needs a PgBouncer.
#[test]
#[ignore = "needs PgBouncer: `make cluster` runs it"]
fn a_pooler_with_sessions_works_and_one_without_is_refused() {
    let pooler = std::env::var("CONTACTS_TEST_POOLER_URL").expect("`make cluster` sets the URL of PgBouncer");
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster");
    let run =
        |arguments: &[&str]| assert!(std::process::Command::new(&script).args(arguments).status().unwrap().success());
    // PgBouncer ignores the parameter that chooses the schema of a test, so this test has its own database.
    let broker = Broker::new();
    let name = format!("test_{}", Uuid::now_v7().simple());
    Database::new().execute(&format!("CREATE DATABASE {name}"));
    let url = pooler.replace("/postgres", &format!("/{name}"));
    let settings = [
        ("CONTACTS__BROKER__URL", broker.url.as_str()),
        ("CONTACTS__BROKER__PREFIX", broker.prefix.as_str()),
        ("CONTACTS__DATABASE__URL", url.as_str()),
    ];

    run(&["pooler", "start", "transaction"]);
    for role in ["migrate", "consumer", "producer"] {
        let (status, log) = Process::run(&[role], &settings);
        assert_eq!(status.code(), Some(78), "{role}: {log}");
        assert!(log.contains("set pool_mode = session in PgBouncer"), "{role}: {log}");
    }
    run(&["pooler", "start", "session"]);
    let (status, log) = Process::run(&["migrate"], &settings);
    assert!(status.success(), "{log}");
    let (mut producer, mut consumer) =
        (Process::start(&["producer"], &settings), Process::start(&["consumer"], &settings));
    consumer.wait_until_ready();
    producer.wait_until_ready();
    let client = producer.client();
    let operation = client.create("Ana").text("operation_id");
    assert_eq!(client.finished_operation(&operation)["status"], "applied");
    run(&["pooler", "stop"]);
}
