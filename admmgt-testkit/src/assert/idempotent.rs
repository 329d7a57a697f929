//! Run again, it changes nothing.

use std::sync::Arc;

use admmgt_core::{
    BoxError, Context, Direction, Meta, Migration, MigrationId, MigrationSet, Migrations, Migrator, OnInterrupt,
    Policy, SqlSource, Target, Verdict,
};
use async_trait::async_trait;

use super::{below, known, nothing_found};
use crate::{TestDatabase, TestDatabases, TestServer};

/// Runs each migration a second time that may run again: those that are repeatable, and those that say
/// `on_interrupt = "retry"`. The second time must end well, and leave schema and data as they were.
///
/// ```
/// use admmgt_core::{Migrations, OnInterrupt, SqlMigration};
/// use admmgt_testkit::{MemoryServer, TestDatabases, assert_idempotent};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let users = SqlMigration::new("app", "0001_users", "create users")?;     // runs once, and is not tried
/// let databases = TestDatabases::of(MemoryServer::default()).migrations(Migrations::new([users]));
/// assert_idempotent(&databases).await;
/// # Ok(()) }
/// ```
///
/// # Panics
/// With each migration of which that is not so, and what differs.
pub async fn assert_idempotent<S: TestServer>(databases: &TestDatabases<S>) {
    let claim = "migrations that cannot run again";
    let found = async {
        let set = databases.set().map_err(|error| error.to_string())?;
        let again = |meta: &&Meta| meta.repeatable || meta.on_interrupt == OnInterrupt::Retry;
        let ids = set.metas().filter(again).map(|meta| meta.id.clone()).collect();
        look(databases, set, ids).await
    };
    nothing_found(claim, found.await);
}

/// As [`assert_idempotent`], for these: `app/0004_seed`.
///
/// # Panics
/// As [`assert_idempotent`].
pub async fn assert_idempotent_of<S: TestServer>(databases: &TestDatabases<S>, ids: &[&str]) {
    let claim = "migrations that cannot run again";
    let found = async {
        let set = databases.set().map_err(|error| error.to_string())?;
        let ids = known(&set, ids)?;
        look(databases, set, ids).await
    };
    nothing_found(claim, found.await);
}

async fn look<S: TestServer>(
    databases: &TestDatabases<S>,
    set: MigrationSet,
    ids: Vec<MigrationId>,
) -> Result<Vec<String>, String> {
    let words = |error: admmgt_core::Error| error.to_string();
    let database = databases.empty().await.map_err(words)?;
    let next = Migrator::new(database.driver()).migrations(databases.listed()).target(Target::Next(1));
    let set = Arc::new(set);
    let mut found = Vec::new();
    while let Some(ran) = next.up().await.map_err(words)?.ran.into_iter().next() {
        let id = ran.migration;
        if !ids.contains(&id) {
            continue;
        }
        let before = (database.schema().await.map_err(words)?, database.data().await.map_err(words)?);
        let again = Migrator::new(database.driver()).migrations(Again::of(&set, &id)?).policy(anything_goes());
        if let Err(error) = again.up().await {
            found.push(below(&id, "run again, it fails", &[error.to_string()]));
            return Ok(found);
        }
        let after = (database.schema().await.map_err(words)?, database.data().await.map_err(words)?);
        if before.0 != after.0 {
            found.push(below(&id, "run again, it leaves another schema", &before.0.differences(&after.0)));
        }
        let tables = before.1.iter().filter(|(table, rows)| after.1.get(*table) != Some(rows));
        let changed: Vec<String> = tables
            .map(|(table, rows)| {
                let now = after.1.get(table).map_or(0, |rows| rows.rows.len());
                format!("table {table}: {} rows before, {now} now", rows.rows.len())
            })
            .collect();
        if !changed.is_empty() {
            found.push(below(&id, "run again, it leaves other data", &changed));
        }
    }
    Ok(found)
}

fn anything_goes() -> Policy {
    let mut policy = Policy::default();
    (policy.foreign, policy.empty) = (Verdict::Allow, Verdict::Allow);
    policy
}

/// A migration under another name, so that it runs once more.
struct Again {
    meta: Meta,
    set: Arc<MigrationSet>,
    of: MigrationId,
}

impl Again {
    fn of(set: &Arc<MigrationSet>, id: &MigrationId) -> Result<Migrations, String> {
        let meta = set.get(id).map(|migration| migration.meta().clone());
        let mut meta = meta.ok_or_else(|| format!("there is no migration `{id}`"))?;
        meta.id = MigrationId::new("again", id.to_string().replace('/', ":")).map_err(|error| error.to_string())?;
        meta.depends_on = Default::default();
        meta.repeatable = false;
        Ok(Migrations::default().and(Self { meta, set: Arc::clone(set), of: id.clone() }))
    }

    fn same(&self) -> Result<&dyn Migration, BoxError> {
        self.set.get(&self.of).ok_or_else(|| "it is not registered".into())
    }
}

#[async_trait]
impl Migration for Again {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    async fn up(&self, cx: &mut Context) -> Result<(), BoxError> {
        self.same()?.up(cx).await
    }

    fn sql(&self, direction: Direction) -> Option<&SqlSource> {
        self.same().ok()?.sql(direction)
    }
}
