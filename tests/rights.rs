//! The PostgreSQL user with few rights that `docs/OPERATIONS.md` describes is enough for everything but `migrate`.
//! `tests/image` does the same with the RabbitMQ user.

use crate::support::{Broker, Database, Process, person};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use serde_json::json;
use url::Url;
use uuid::Uuid;

const PASSWORD: &str = "only-for-this-test";

/// A user with the rights of the documentation, for the tables that are created in the test's schema after this.
struct FewRights<'a> {
    database: &'a Database,
    name: String,
    url: String,
}

impl<'a> FewRights<'a> {
    fn new(database: &'a Database) -> Self {
        let name = format!("few_rights_{}", Uuid::now_v7().simple());
        let documentation =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OPERATIONS.md")).unwrap();
        let grants: Vec<String> = documentation
            .lines()
            .filter(|line| line.starts_with("ALTER DEFAULT PRIVILEGES FOR ROLE schema_owner GRANT "))
            .map(|line| {
                line.replace("FOR ROLE schema_owner", "IN SCHEMA test_schema")
                    .replace("TO contacts;", &format!("TO {name};"))
            })
            .collect();
        assert_eq!(grants.len(), 2, "the documentation has other commands now");
        let mut url = Url::parse(&database.url).unwrap();
        url.set_username(&name).unwrap();
        url.set_password(Some(PASSWORD)).unwrap();
        let schema = database.schema();
        database.execute(&format!(
            "CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'; GRANT USAGE ON SCHEMA {schema} TO {name}"
        ));
        database.execute(&grants.join("").replace("test_schema", schema));
        Self { database, name, url: url.into() }
    }
}

impl Drop for FewRights<'_> {
    fn drop(&mut self) {
        let _ = self.database.try_execute(&format!("DROP OWNED BY {0}; DROP ROLE {0}", self.name));
    }
}

#[test]
fn a_postgresql_user_with_few_rights_is_enough_for_everything_but_migrate() {
    let (broker, database) = (Broker::new(), Database::new());
    let user = FewRights::new(&database);
    let (url, broker_url, prefix) = (user.url.as_str(), broker.url.as_str(), broker.prefix.as_str());
    let settings = [
        ("CONTACTS__BROKER__URL", broker_url),
        ("CONTACTS__BROKER__PREFIX", prefix),
        ("CONTACTS__DATABASE__URL", url),
        ("CONTACTS__EVENTS__ENABLED", "true"),
    ];
    let run = |arguments: &[&str]| Process::run(arguments, &settings);

    let (status, log) = run(&["migrate"]);
    assert!(!status.success() && log.contains("permission denied"), "{log}");
    let (status, log) = Process::run(&["migrate"], &[("CONTACTS__DATABASE__URL", database.url.as_str())]);
    assert!(status.success(), "{log}");

    let mut producer = Process::start(&["producer"], &settings);
    let mut consumer = Process::start(&["consumer"], &settings);
    producer.wait_until_ready();
    consumer.wait_until_ready();
    let client = producer.client();
    let created = client.create("Ana Souza");
    let contact = created.text("contact_id");
    client.finished_operation(&created.text("operation_id"));
    let path = format!("/contacts/{contact}");
    let updated = client.write("PUT", &path, &[("idempotency-key", "few-rights")], &person("Ana Lima"));
    assert_eq!(client.finished_operation(&updated.text("operation_id"))["status"], "applied");
    for read in [&path, &format!("{path}/history"), "/contacts?q=lima", "/changes", "/areas"] {
        assert_eq!(client.get(read).status, 200, "{read}");
    }
    assert_eq!(client.get("/changes").json()["items"].as_array().unwrap().len(), 2);
    let deleted = client.write("DELETE", &path, &[], &json!(null));
    assert_eq!(client.finished_operation(&deleted.text("operation_id"))["status"], "applied");

    for time in ["accepted_at", "completed_at"] {
        database.execute(&format!("UPDATE operations SET {time} = {time} - interval '31 days'"));
    }
    let second = client.create("Bia Lima");
    client.finished_operation(&second.text("operation_id"));
    let id = second.text("contact_id");
    for arguments in [
        &["dlq-drain"][..],
        &["subject", "find", "--id", &id],
        &["subject", "erase", "--id", &id, "--yes"],
        &["prune", "--older-than", "30d"],
    ] {
        let (status, log) = run(arguments);
        assert!(status.success(), "{arguments:?}:\n{log}");
    }
    assert_eq!(database.count(&format!("operations WHERE contact_id = '{contact}'")), 0, "nothing was pruned");
    assert_eq!(database.count(&format!("contacts WHERE id = '{id}' AND deleted_at IS NULL")), 0, "not erased");
    let log = consumer.log();
    assert!(!log.contains("permission denied"), "{log}");
    producer.terminate();
    consumer.terminate();

    let mut connection = PgConnection::establish(url).unwrap();
    for statement in ["DROP TABLE contacts", "ALTER TABLE contacts ADD COLUMN extra text", "CREATE TABLE extra ()"] {
        assert!(connection.batch_execute(statement).is_err(), "the user has more rights than it needs: {statement}");
    }
}
