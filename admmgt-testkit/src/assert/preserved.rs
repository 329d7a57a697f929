//! What was there before a migration is there after it.

use admmgt_core::Target;

use super::{below, known, nothing_found};
use crate::{Data, TestDatabase, TestDatabases, TestServer};

/// What [`assert_data_preserved`] tries.
///
/// ```
/// use admmgt_testkit::Preserved;
///
/// let mut split = Preserved::by("app/0005_split_names");
/// split.seed = "insert into users(name) values ('Ada Lovelace'), (null)";
/// split.except = &["users.name"];          // it is split, and meant to be gone
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Preserved<'a> {
    /// The migration.
    pub by: &'a str,
    /// A text that runs before it, when all that comes before it is applied: the rows that are to survive.
    pub seed: &'a str,
    /// Tables and columns that are meant to be gone, or to hold something else: `users`, `users.name`.
    pub except: &'a [&'a str],
}

impl<'a> Preserved<'a> {
    /// By this migration, with nothing in the database but what those before it put there.
    pub fn by(migration: &'a str) -> Self {
        Self { by: migration, seed: "", except: &[] }
    }
}

/// Applies what comes before a migration, puts rows into the database, and applies the migration: every row must be there
/// in every table and column that is there afterwards, and nothing that held something may be gone. Where it has a way
/// back, that is tried too.
///
/// ```
/// use admmgt_core::{Migrations, SqlMigration};
/// use admmgt_testkit::{MemoryServer, Preserved, TestDatabases, assert_data_preserved};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let users = SqlMigration::new("app", "0001_users", "create users")?;
/// let plans = SqlMigration::new("app", "0002_plans", "create plans")?;
/// let databases = TestDatabases::of(MemoryServer::default()).migrations(Migrations::new([users, plans]));
/// let mut plans = Preserved::by("app/0002_plans");
/// plans.seed = "ada";
/// assert_data_preserved(&databases, plans).await;
/// # Ok(()) }
/// ```
///
/// # Panics
/// With what is lost, or was changed.
pub async fn assert_data_preserved<S: TestServer>(databases: &TestDatabases<S>, preserved: Preserved<'_>) {
    nothing_found("data that is not preserved", look(databases, preserved).await);
}

async fn look<S: TestServer>(databases: &TestDatabases<S>, preserved: Preserved<'_>) -> Result<Vec<String>, String> {
    let words = |error: admmgt_core::Error| error.to_string();
    let set = databases.set().map_err(words)?;
    let id = known(&set, &[preserved.by])?.remove(0);
    let database = databases.empty().await.map_err(words)?;
    let set = set.with_ways_back(&*database.driver().dialect());
    let migrator = databases.migrator(&database).map_err(words)?;
    let next = migrator.clone().target(Target::Next(1));
    loop {
        match next.plan().await.map_err(words)?.steps.first() {
            None => return Err(format!("`{id}` is not run by a run of everything")),
            Some(step) if step.migration == id => break,
            Some(_) => next.up().await.map_err(words)?,
        };
    }
    if !preserved.seed.is_empty() {
        database.run(preserved.seed).await.map_err(|error| format!("the seed fails: {error}"))?;
    }
    let seeded = database.data().await.map_err(words)?;
    next.up().await.map_err(words)?;
    let mut found = Vec::new();
    let lost = lost(&seeded, &database.data().await.map_err(words)?, preserved.except);
    if !lost.is_empty() {
        found.push(below(&id, "after it, this is not what it was", &lost));
    }
    if set.get(&id).is_some_and(|migration| migration.meta().reversible) {
        migrator.down(Target::Back(1)).await.map_err(words)?;
        let lost = self::lost(&seeded, &database.data().await.map_err(words)?, preserved.except);
        if !lost.is_empty() {
            found.push(below(&id, "taken back, this is not what it was", &lost));
        }
    }
    Ok(found)
}

/// Every line tells of rows or values that are not there any more, or are others.
fn lost(before: &Data, after: &Data, except: &[&str]) -> Vec<String> {
    let mut lost = Vec::new();
    for (table, rows) in before.iter().filter(|(table, _)| !except.contains(&table.as_str())) {
        let Some(now) = after.get(table) else {
            if !rows.rows.is_empty() {
                lost.push(format!("table {table} is gone, with {} rows", rows.rows.len()));
            }
            continue;
        };
        let is_meant = |column: &String| except.contains(&&*format!("{table}.{column}"));
        for column in rows.columns.iter().filter(|column| !now.columns.contains(column) && !is_meant(column)) {
            let filled = rows.filled(column);
            if filled > 0 {
                lost.push(format!("column {table}.{column} is gone, with {filled} values"));
            }
        }
        let both: Vec<&String> =
            rows.columns.iter().filter(|column| now.columns.contains(column) && !is_meant(column)).collect();
        let (mut was, mut is) = (rows.only(&both), now.only(&both));
        was.retain(|row| match is.iter().position(|other| other == row) {
            Some(at) => {
                is.remove(at);
                false
            }
            None => true,
        });
        const SHOWN: usize = 5;
        let show = |row: &Vec<Option<String>>| {
            let values = both
                .iter()
                .zip(row)
                .map(|(column, value)| format!("{column} = {}", value.as_deref().unwrap_or("NULL")));
            format!("table {table} has no row with {}", values.collect::<Vec<_>>().join(", "))
        };
        lost.extend(was.iter().take(SHOWN).map(show));
        if was.len() > SHOWN {
            lost.push(format!("table {table}: and {} more", was.len() - SHOWN));
        }
    }
    lost
}
