//! Migrations are embedded in the binary; the schema a version needs is its newest migration. A newer schema is fine:
//! migrations first expand, and contract only once no older version runs.

use super::{Direction, StoreError};
use diesel::backend::Backend;
use diesel::connection::Connection;
use diesel::migration::{Migration, MigrationConnection, MigrationSource, MigrationVersion};
use diesel::prelude::*;
use diesel::query_builder::SqlQuery;
use diesel::query_dsl::LoadQuery;
use diesel::sql_query;
use diesel::sql_types::Text;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};

/// Where the versions of applied migrations are kept.
pub(super) const TABLE: &str = "__diesel_schema_migrations";

/// A row of that table.
#[derive(QueryableByName)]
pub(super) struct Applied {
    #[diesel(sql_type = Text)]
    version: String,
}

/// Holds the applied migrations against the known ones. It only reads: a role may have no right to do more.
pub(super) fn check<C>(connection: &mut C, exists: bool, migrations: &EmbeddedMigrations) -> Result<(), StoreError>
where
    C: Connection,
    C::Backend: Backend,
    SqlQuery: for<'q> LoadQuery<'q, C, Applied>,
{
    let applied: Vec<Applied> =
        if exists { sql_query(format!("SELECT version FROM {TABLE}")).load(connection)? } else { Vec::new() };
    let needed = names::<C::Backend>(migrations)?;
    let missing = |(version, _): &&(MigrationVersion<'static>, String)| {
        !applied.iter().any(|applied| MigrationVersion::from(applied.version.as_str()) == *version)
    };
    match needed.iter().rev().find(missing) {
        None => Ok(()),
        Some((_, name)) => Err(StoreError::Misconfigured(format!(
            "the database's schema is older than this version needs (migration {name} is missing): run `contacts migrate`"
        ))),
    }
}

/// Runs all pending migrations, or reverts the newest one.
pub(super) fn migrate<DB: Backend>(
    connection: &mut (impl MigrationHarness<DB> + MigrationConnection),
    migrations: EmbeddedMigrations,
    direction: Direction,
) -> Result<Vec<String>, StoreError> {
    connection.setup()?;
    let names = names::<DB>(&migrations)?;
    let run: Vec<MigrationVersion<'static>> = match direction {
        Direction::Up => {
            let versions = connection.run_pending_migrations(migrations).map_err(failed)?;
            versions.into_iter().map(|version| version.as_owned()).collect()
        }
        Direction::Down if connection.applied_migrations().map_err(failed)?.is_empty() => Vec::new(),
        Direction::Down => {
            let version = connection.revert_last_migration(migrations).map_err(failed)?;
            vec![version.as_owned()]
        }
    };
    let name = |version: &MigrationVersion<'static>| {
        names.iter().find(|(known, _)| known == version).map_or_else(|| version.to_string(), |(_, name)| name.clone())
    };
    Ok(run.iter().map(name).collect())
}

fn names<DB: Backend>(migrations: &EmbeddedMigrations) -> Result<Vec<(MigrationVersion<'static>, String)>, StoreError> {
    let all: Vec<Box<dyn Migration<DB>>> = migrations.migrations().map_err(failed)?;
    Ok(all.iter().map(|one| (one.name().version().as_owned(), one.name().to_string())).collect())
}

fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    StoreError::Unavailable(format!("migration failed: {error}"))
}
