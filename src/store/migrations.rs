//! Runs and checks the migrations. They are embedded in the binary, and a version needs its newest migration.
//!
//! A newer schema is valid: a migration only adds to the schema while older versions can still run.

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

/// The table of applied migrations.
pub(super) const TABLE: &str = "__diesel_schema_migrations";

/// A row of [`TABLE`].
#[derive(QueryableByName)]
pub(super) struct AppliedMigration {
    #[diesel(sql_type = Text)]
    version: String,
}

/// Checks that all migrations are applied. It only reads, because a role may have no right to write here.
pub(super) fn check<C>(connection: &mut C, exists: bool, migrations: &EmbeddedMigrations) -> Result<(), StoreError>
where
    C: Connection,
    C::Backend: Backend,
    SqlQuery: for<'q> LoadQuery<'q, C, AppliedMigration>,
{
    let applied: Vec<AppliedMigration> =
        if exists { sql_query(format!("SELECT version FROM {TABLE}")).load(connection)? } else { Vec::new() };
    let known = names::<C::Backend>(migrations)?;
    let missing = |(version, _): &&(MigrationVersion<'static>, String)| {
        !applied.iter().any(|applied| MigrationVersion::from(applied.version.as_str()) == *version)
    };
    match known.iter().rev().find(missing) {
        None => Ok(()),
        Some((_, name)) => Err(StoreError::Misconfigured(format!(
            "the database's schema is older than this version needs (migration {name} is missing): run `contacts migrate`"
        ))),
    }
}

/// Fails if a migration is applied that this version does not know.
pub(super) fn check_not_newer<C>(connection: &mut C, migrations: &EmbeddedMigrations) -> Result<(), StoreError>
where
    C: Connection,
    C::Backend: Backend,
    SqlQuery: for<'q> LoadQuery<'q, C, AppliedMigration>,
{
    let applied: Vec<AppliedMigration> = sql_query(format!("SELECT version FROM {TABLE}")).load(connection)?;
    let known = names::<C::Backend>(migrations)?;
    let is_unknown = |applied: &&AppliedMigration| {
        !known.iter().any(|(version, _)| *version == MigrationVersion::from(applied.version.as_str()))
    };
    match applied.iter().find(is_unknown) {
        None => Ok(()),
        Some(newer) => Err(StoreError::Misconfigured(format!(
            "the schema is of a newer version of contacts (this version does not know migration {})",
            newer.version
        ))),
    }
}

/// Runs all pending migrations, or reverts the newest migration.
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
    Ok(all.iter().map(|migration| (migration.name().version().as_owned(), migration.name().to_string())).collect())
}

fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    StoreError::Unavailable(format!("migration failed: {error}"))
}
