//! Run again, it changes nothing.

use std::sync::Arc;

use admmgt_core::{
    BoxError, Context, Direction, Meta, Migration, MigrationId, MigrationSet, Migrations, OnInterrupt, Policy,
    SqlSource, Target, Verdict,
};
use async_trait::async_trait;

use super::{below, known, nothing_found};
use crate::{TestDatabase, TestDatabases, TestServer};

/// Runs each migration a second time that may run again: those that are repeatable, and those that say
/// `on_interrupt = "retry"`. The second time must end well, and leave schema and data as they were, with what the
/// migrations themselves put into the database; for one that changes rows of the application's, see
/// [`assert_idempotent_of`].
///
/// ```
/// use admmgt_core::{Meta, Migrations, SqlMigration};
/// use admmgt_testkit::{MemoryServer, TestDatabases, assert_idempotent};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let users = SqlMigration::new("app", "0001_users", "create users")?;     // runs once, and is not tried
/// let views = SqlMigration::new("app", "views", "drop users\ncreate users")?.with(Meta::repeatable);
/// let databases = TestDatabases::of(MemoryServer::default()).migrations(Migrations::new([users, views]));
/// assert_idempotent(&databases).await;
/// # Ok(()) }
/// ```
///
/// # Panics
/// With the migrations of which that is not so, up to the first that fails, and what differs; where there is none to be
/// tried.
pub async fn assert_idempotent<S: TestServer>(databases: &TestDatabases<S>) {
    let claim = "migrations that cannot run again";
    let found = async {
        let set = databases.set().map_err(|error| error.to_string())?;
        let again = |meta: &&Meta| meta.repeatable || meta.on_interrupt == OnInterrupt::Retry;
        let ids: Vec<_> = set.metas().filter(again).map(|meta| meta.id.clone()).collect();
        if ids.is_empty() {
            let count = set.metas().count();
            return Err(format!(
                "none of {count} migrations is repeatable or says `on_interrupt = \"retry\"`; name one with \
                 `assert_idempotent_of`"
            ));
        }
        look(databases, set, ids, "").await
    };
    nothing_found(claim, found.await);
}

/// What [`assert_idempotent_of`] tries.
///
/// ```
/// use admmgt_testkit::Repeated;
///
/// let mut credits = Repeated::of("app/0004_credits");
/// credits.seed = "insert into users(credits) values (0), (10)";
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Repeated<'a> {
    /// The migration.
    pub of: &'a str,
    /// A text that runs before it, when all that comes before it is applied: rows that it would change twice.
    pub seed: &'a str,
}

impl<'a> Repeated<'a> {
    /// This migration, with nothing in the database but what those before it put there.
    pub fn of(migration: &'a str) -> Self {
        Self { of: migration, seed: "" }
    }
}

/// As [`assert_idempotent`], for one migration, whatever it says of itself, and with rows that it could change twice.
///
/// # Panics
/// As [`assert_idempotent`].
pub async fn assert_idempotent_of<S: TestServer>(databases: &TestDatabases<S>, repeated: Repeated<'_>) {
    let claim = "migrations that cannot run again";
    let found = async {
        let set = databases.set().map_err(|error| error.to_string())?;
        let ids = known(&set, &[repeated.of])?;
        look(databases, set, ids, repeated.seed).await
    };
    nothing_found(claim, found.await);
}

async fn look<S: TestServer>(
    databases: &TestDatabases<S>,
    set: MigrationSet,
    ids: Vec<MigrationId>,
    seed: &str,
) -> Result<Vec<String>, String> {
    let words = |error: admmgt_core::Error| error.to_string();
    let database = databases.empty().await.map_err(words)?;
    let next = databases.migrator(&database).map_err(words)?.target(Target::Next(1));
    let set = Arc::new(set);
    let mut found = Vec::new();
    while let Some(step) = next.plan().await.map_err(words)?.steps.into_iter().next() {
        let id = step.migration;
        if !ids.contains(&id) {
            next.up().await.map_err(words)?;
            continue;
        }
        if !seed.is_empty() {
            database.run(seed).await.map_err(|error| format!("the seed fails: {error}"))?;
        }
        next.up().await.map_err(words)?;
        let before = (database.schema().await.map_err(words)?, database.data().await.map_err(words)?);
        let again = databases.migrator(&database).map_err(words)?.migrations(Again::of(&set, &id)?);
        let again = again.policy(anything_goes(databases.chosen()));
        if let Err(error) = again.up().await {
            found.push(below(&id, "run again, it fails", &[error.to_string()]));
            // What it left is not known: what comes after it cannot be told apart from that.
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

fn anything_goes(mut policy: Policy) -> Policy {
    (policy.foreign, policy.empty, policy.out_of_order) = (Verdict::Allow, Verdict::Allow, Verdict::Allow);
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
        // By number: together the two parts of a name may be longer than one can be.
        let number = set.place(id).unwrap_or_default();
        meta.id = MigrationId::new("again", format!("{number:08}")).map_err(|error| error.to_string())?;
        (meta.depends_on, meta.replaces) = Default::default();
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
