//! A PostgreSQL database for one test. The test has its own schema, which is dropped at its end.

use super::{environment_variable, host_and_port};
use contacts::config::{DatabaseSettings, Url};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use uuid::Uuid;

pub struct Database {
    pub url: String,
    base: String,
    schema: String,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

impl Database {
    pub fn new() -> Self {
        Self::with_url(&environment_variable(
            "CONTACTS_TEST_DATABASE_URL",
            "postgres://postgres@127.0.0.1:5432/postgres",
        ))
    }

    pub fn with_url(base: &str) -> Self {
        let base = base.to_owned();
        let schema = format!("test_{}", Uuid::now_v7().simple());
        let separator = if base.contains('?') { '&' } else { '?' };
        // `terminate_sessions` finds the sessions of this test by their application name.
        let url = format!("{base}{separator}options=-csearch_path%3D{schema}&application_name={schema}");
        let database = Self { url, base, schema };
        database.execute_in(&database.base, &format!("CREATE SCHEMA {}", database.schema));
        database
    }

    pub fn settings(&self) -> DatabaseSettings {
        DatabaseSettings { url: Url::from(self.url.as_str()), max_connections: 4, ..DatabaseSettings::default() }
    }

    fn connect(url: &str) -> PgConnection {
        PgConnection::establish(url)
            .unwrap_or_else(|error| panic!("PostgreSQL does not answer ({error}): run the tests with `make test`"))
    }

    fn execute_in(&self, url: &str, sql: &str) {
        Self::connect(url).batch_execute(sql).unwrap();
    }

    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Host and port.
    pub fn address(&self) -> String {
        host_and_port(&self.url, 5432)
    }

    /// Runs SQL in the test's schema.
    pub fn execute(&self, sql: &str) {
        self.execute_in(&self.url, sql);
    }

    /// Runs SQL that may fail in the test's schema.
    pub fn try_execute(&self, sql: &str) -> Result<(), String> {
        Self::connect(&self.url).batch_execute(sql).map_err(|error| error.to_string())
    }

    /// Runs SQL in a transaction. It stays open until the returned connection is dropped.
    pub fn open_transaction(&self, sql: &str) -> PgConnection {
        let mut connection = Self::connect(&self.url);
        connection.batch_execute("BEGIN").unwrap();
        connection.batch_execute(sql).unwrap();
        connection
    }

    /// Opens one more connection. `None` if the server refuses it.
    pub fn try_connect(&self) -> Option<PgConnection> {
        PgConnection::establish(&self.url).ok()
    }

    /// Terminates the sessions of the test's roles, as an administrator can.
    pub fn terminate_sessions(&self) {
        self.execute(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE application_name = '{}' AND pid <> pg_backend_pid()",
            self.schema
        ));
    }

    /// Reads rows from the test's schema.
    pub fn rows<T: QueryableByName<diesel::pg::Pg> + 'static>(&self, sql: &str) -> Vec<T> {
        diesel::sql_query(sql).load(&mut Self::connect(&self.url)).unwrap()
    }

    /// Counts rows in the test's schema: `contacts WHERE name = 'Ana'`.
    pub fn count(&self, rows: &str) -> i64 {
        let query = diesel::sql_query(format!("SELECT count(*) AS count FROM {rows}"));
        query.get_result::<Count>(&mut Self::connect(&self.url)).unwrap().count
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Ok(mut connection) = PgConnection::establish(&self.base) {
            let _ = connection.batch_execute(&format!(
                "SET client_min_messages = warning; DROP SCHEMA IF EXISTS {} CASCADE",
                self.schema
            ));
        }
    }
}
