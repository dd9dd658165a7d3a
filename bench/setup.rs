//! What the measurements stand on: the services, schemas and queues of their own, and processes with their costs.

use super::broker;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const LANES: [&str; 3] = ["contato", "contato.retry", "contato.dlq"];

/// The services, and where results go.
pub struct Stand {
    pub broker: url::Url,
    pub database: String,
    pub contacts: PathBuf,
    pub folder: PathBuf,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Word {
    #[diesel(sql_type = Text)]
    word: String,
}

impl Stand {
    /// Takes the services from the environment, as `tests/services up` prints them.
    pub fn find() -> Self {
        let url = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: use `make bench`"));
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
        fs::create_dir_all(folder.join("logs")).unwrap();
        let stand = Self {
            broker: url("CONTACTS_TEST_BROKER_URL").parse().unwrap(),
            database: url("CONTACTS_TEST_DATABASE_URL"),
            contacts: env!("CARGO_BIN_EXE_contacts").into(),
            folder,
        };
        for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
            assert_eq!(stand.word(&format!("SELECT current_setting('{setting}') AS word")), "on", "{setting}");
        }
        stand
    }

    pub fn sql(&self) -> PgConnection {
        PgConnection::establish(&self.database).unwrap()
    }

    pub fn execute(&self, statements: &str) {
        self.sql().batch_execute(statements).unwrap();
    }

    pub fn number(&self, query: &str) -> i64 {
        diesel::sql_query(query).get_result::<Number>(&mut self.sql()).unwrap().n
    }

    pub fn word(&self, query: &str) -> String {
        diesel::sql_query(query).get_result::<Word>(&mut self.sql()).unwrap().word
    }

    /// An empty schema with our tables; what stood there before is gone.
    pub fn schema(&self, name: &str) -> Schema<'_> {
        self.execute(&format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}"));
        let schema = Schema { stand: self, name: name.to_owned() };
        let done = self.command("migrate", &schema).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        schema
    }

    /// The program with the settings of a schema, whose name is the queues' prefix, too.
    pub fn command(&self, role: &str, schema: &Schema<'_>) -> Command {
        self.command_behind(&[], role, schema)
    }

    /// The same as an argument of another program.
    pub fn command_behind(&self, wrapper: &[String], role: &str, schema: &Schema<'_>) -> Command {
        let mut command = match wrapper {
            [] => Command::new(&self.contacts),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(&self.contacts);
                command
            }
        };
        command
            .args(role.split(' '))
            .env("CONTACTS__BROKER__URL", self.broker.as_str())
            .env("CONTACTS__BROKER__PREFIX", schema.prefix())
            .env("CONTACTS__DATABASE__URL", schema.url());
        command
    }

    pub fn log(&self, name: &str) -> File {
        File::create(self.folder.join("logs").join(name)).unwrap()
    }
}

/// A schema, and the queues whose prefix is its name.
pub struct Schema<'a> {
    pub stand: &'a Stand,
    pub name: String,
}

impl Schema<'_> {
    pub fn prefix(&self) -> String {
        format!("{}.", self.name)
    }

    pub fn queue(&self) -> String {
        format!("{}.contato", self.name)
    }

    pub fn url(&self) -> String {
        let mut url: url::Url = self.stand.database.parse().unwrap();
        url.query_pairs_mut().append_pair("options", &format!("-csearch_path={}", self.name));
        url.into()
    }

    /// Makes the queues, as every role does.
    pub fn declare(&self) {
        let done = self.stand.command("dlq-drain list", self).stdout(Stdio::null()).status().unwrap();
        assert!(done.success());
    }

    /// No rows, no messages, and nothing of earlier work left for PostgreSQL to write.
    pub fn empty(&self) {
        self.purge();
        self.stand.execute(&format!("TRUNCATE {0}.contacts, {0}.operations; CHECKPOINT", self.name));
    }

    pub fn purge(&self) {
        broker::with_channel(&self.stand.broker, |channel| {
            for lane in LANES {
                let name = format!("{}{lane}", self.prefix());
                channel.queue_declare_passive(name).unwrap().purge().unwrap();
            }
        });
    }

    pub fn waiting(&self) -> usize {
        broker::with_channel(&self.stand.broker, |channel| {
            let queue = channel.queue_declare_passive(self.queue()).unwrap();
            queue.declared_message_count().unwrap_or(0) as usize
        })
    }

    pub fn rows(&self) -> i64 {
        self.stand.number(&format!("SELECT count(*) AS n FROM {}.contacts", self.name))
    }
}

impl Drop for Schema<'_> {
    fn drop(&mut self) {
        broker::with_channel(&self.stand.broker, |channel| {
            for lane in LANES {
                let name = format!("{}{lane}", self.prefix());
                // One that was never made ends the channel, and there is nothing to remove.
                let Ok(queue) = channel.queue_declare_passive(name) else { return };
                let _ = queue.delete(amiquip::QueueDeleteOptions::default());
            }
        });
        self.stand.execute(&format!("DROP SCHEMA IF EXISTS {} CASCADE", self.name));
    }
}
