//! Copies a database for a backup, and checks a copy.

use super::super::{StoreError, migrations};
use super::schema::{contacts, operations};
use super::{MIGRATIONS, MigrationTables};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use std::path::Path;

/// What a copy holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseContents {
    /// Live contacts.
    pub contacts: u64,
    /// Finished operations.
    pub operations: u64,
}

/// A line of the result of a check by SQLite.
#[derive(QueryableByName)]
struct CheckResult {
    #[diesel(sql_type = Text)]
    quick_check: String,
}

fn open(path: &Path) -> Result<SqliteConnection, StoreError> {
    let text =
        path.to_str().ok_or_else(|| StoreError::Misconfigured("the path of the database is not UTF-8".into()))?;
    let mut connection = SqliteConnection::establish(text).map_err(StoreError::pool)?;
    connection.batch_execute("PRAGMA busy_timeout = 10000;")?;
    Ok(connection)
}

/// Copies the database as one transaction sees it. Other processes may use it meanwhile. The target must be an empty
/// file; it is not synced to disk.
pub fn copy(source: &Path, target: &Path) -> Result<(), StoreError> {
    let target =
        target.to_str().ok_or_else(|| StoreError::Misconfigured("the path of the copy is not UTF-8".into()))?;
    diesel::sql_query("VACUUM INTO ?1").bind::<Text, _>(target).execute(&mut open(source)?)?;
    Ok(())
}

/// Checks that a file is a complete database of this program, and counts what it holds.
pub fn check_copy(path: &Path) -> Result<DatabaseContents, StoreError> {
    let mut connection = open(path)?;
    let results: Vec<CheckResult> = diesel::sql_query("PRAGMA quick_check(1)").load(&mut connection)?;
    if let Some(damage) = results.into_iter().map(|result| result.quick_check).find(|result| result != "ok") {
        return Err(StoreError::Unavailable(format!("database is damaged: {damage}")));
    }
    if MigrationTables::count(&mut connection)? == 0 {
        return Err(StoreError::Unavailable("database is not one of contacts: it has no migrations".into()));
    }
    let live: i64 = contacts::table.filter(contacts::deleted_at.is_null()).count().get_result(&mut connection)?;
    let finished: i64 = operations::table.count().get_result(&mut connection)?;
    Ok(DatabaseContents {
        contacts: u64::try_from(live).unwrap_or_default(),
        operations: u64::try_from(finished).unwrap_or_default(),
    })
}

/// Fails with `Misconfigured` if the database is of a newer version of the program. A standalone migrates an older one.
pub fn require_known_schema(path: &Path) -> Result<(), StoreError> {
    migrations::check_not_newer(&mut open(path)?, &MIGRATIONS)
}
