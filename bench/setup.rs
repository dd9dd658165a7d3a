//! The environment of the measurements: the services, and schemas and queues that only the benchmark uses.

use super::broker;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const QUEUES: [&str; 3] = ["contato", "contato.retry", "contato.dlq"];

/// The services, and the folder for results.
pub struct Environment {
    pub broker: url::Url,
    pub database: String,
    pub contacts: PathBuf,
    /// Another build of the program, for a comparison in the same rounds.
    pub before: Option<PathBuf>,
    pub folder: PathBuf,
}

#[derive(QueryableByName)]
struct IntegerRow {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

#[derive(QueryableByName)]
struct TextRow {
    #[diesel(sql_type = Text)]
    value: String,
}

impl Environment {
    /// Reads the URLs of the services from environment variables. `tests/services up` prints them.
    pub fn from_variables() -> Self {
        let url = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make bench`"));
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
        fs::create_dir_all(folder.join("logs")).unwrap();
        let environment = Self {
            broker: url("CONTACTS_TEST_BROKER_URL").parse().unwrap(),
            database: url("CONTACTS_TEST_DATABASE_URL"),
            contacts: env!("CARGO_BIN_EXE_contacts").into(),
            before: None,
            folder,
        };
        for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
            assert_eq!(environment.setting(setting), "on", "{setting}");
        }
        environment
    }

    pub fn sql(&self) -> PgConnection {
        PgConnection::establish(&self.database).unwrap()
    }

    pub fn execute(&self, statements: &str) {
        self.sql().batch_execute(statements).unwrap();
    }

    /// Counts the rows of a table.
    pub fn count(&self, table: &str) -> i64 {
        let query = diesel::sql_query(format!("SELECT count(*) AS value FROM {table}"));
        query.get_result::<IntegerRow>(&mut self.sql()).unwrap().value
    }

    /// The value of a setting of PostgreSQL.
    pub fn setting(&self, name: &str) -> String {
        let query = diesel::sql_query(format!("SELECT current_setting('{name}') AS value"));
        query.get_result::<TextRow>(&mut self.sql()).unwrap().value
    }

    /// Creates an empty schema with the tables. Drops an existing schema with this name.
    pub fn schema(&self, name: &str) -> Schema<'_> {
        self.execute(&format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}"));
        let schema = Schema { environment: self, name: name.to_owned() };
        let output = self.command("migrate", &schema).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        schema
    }

    /// The program with the settings for a schema. The schema's name is also the prefix of the queues.
    pub fn command(&self, role: &str, schema: &Schema<'_>) -> Command {
        self.command_of(&self.contacts, role, schema)
    }

    /// The same command, run by another program, for example valgrind.
    pub fn wrapped_command(&self, wrapper: &[String], role: &str, schema: &Schema<'_>) -> Command {
        let [program, arguments @ ..] = wrapper else { return self.command(role, schema) };
        let mut command = self.command_of(Path::new(program), "", schema);
        command.args(arguments).arg(&self.contacts).args(role.split(' '));
        command
    }

    /// The same command of this binary.
    pub fn command_of(&self, binary: &Path, role: &str, schema: &Schema<'_>) -> Command {
        let mut command = Command::new(binary);
        command
            .args(role.split_whitespace())
            .env("CONTACTS__BROKER__URL", self.broker.as_str())
            .env("CONTACTS__BROKER__PREFIX", schema.prefix())
            .env("CONTACTS__DATABASE__URL", schema.url());
        command
    }

    pub fn log(&self, name: &str) -> File {
        File::create(self.folder.join("logs").join(name)).unwrap()
    }
}

/// A schema, and the queues with the schema's name as their prefix. Both are deleted when the value is dropped.
pub struct Schema<'a> {
    pub environment: &'a Environment,
    pub name: String,
}

impl Schema<'_> {
    pub fn prefix(&self) -> String {
        format!("{}.", self.name)
    }

    /// The name of the work queue.
    pub fn queue(&self) -> String {
        format!("{}.contato", self.name)
    }

    pub fn url(&self) -> String {
        let mut url: url::Url = self.environment.database.parse().unwrap();
        url.query_pairs_mut().append_pair("options", &format!("-csearch_path={}", self.name));
        url.into()
    }

    /// Declares the queues, as every role does.
    pub fn declare_queues(&self) {
        let status = self.environment.command("dlq-drain list", self).stdout(Stdio::null()).status().unwrap();
        assert!(status.success());
    }

    /// Deletes all rows and messages, and makes PostgreSQL write its dirty pages.
    pub fn clear(&self) {
        self.purge_queues();
        self.environment.execute(&format!("TRUNCATE {0}.contacts, {0}.operations; CHECKPOINT", self.name));
    }

    pub fn purge_queues(&self) {
        broker::with_channel(&self.environment.broker, |channel| {
            for queue in QUEUES {
                let name = format!("{}{queue}", self.prefix());
                channel.queue_declare_passive(name).unwrap().purge().unwrap();
            }
        });
    }

    /// The number of ready messages in the work queue.
    pub fn waiting(&self) -> usize {
        broker::with_channel(&self.environment.broker, |channel| {
            let queue = channel.queue_declare_passive(self.queue()).unwrap();
            queue.declared_message_count().unwrap_or(0) as usize
        })
    }

    pub fn rows(&self) -> i64 {
        self.environment.count(&format!("{}.contacts", self.name))
    }
}

impl Drop for Schema<'_> {
    fn drop(&mut self) {
        broker::with_channel(&self.environment.broker, |channel| {
            for queue in QUEUES {
                let name = format!("{}{queue}", self.prefix());
                // RabbitMQ closes the channel if the queue does not exist. Then there is nothing to delete.
                let Ok(queue) = channel.queue_declare_passive(name) else { return };
                let _ = queue.delete(amiquip::QueueDeleteOptions::default());
            }
        });
        self.environment.execute(&format!("DROP SCHEMA IF EXISTS {} CASCADE", self.name));
    }
}
