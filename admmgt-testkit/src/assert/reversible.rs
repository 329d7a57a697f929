//! Up, down, up leaves the same schema.

use admmgt_core::Target;

use super::{below, known, nothing_found};
use crate::{TestDatabase, TestDatabases, TestServer};

/// Applies each migration, takes it back, and applies it again, in a database of its own: taken back, the schema must be
/// what it was before, and applied again what it was then. What has no way back is found too, unless it is repeatable.
///
/// ```
/// use admmgt_core::{Migrations, SqlMigration};
/// use admmgt_testkit::{MemoryServer, TestDatabases, assert_reversible};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let users = SqlMigration::new("app", "0001_users", "create users")?.down("drop users");
/// let databases = TestDatabases::of(MemoryServer::default()).migrations(Migrations::new([users]));
/// assert_reversible(&databases).await;
/// # Ok(()) }
/// ```
///
/// # Panics
/// With each migration of which that is not so, and the lines of the schema that differ.
pub async fn assert_reversible<S: TestServer>(databases: &TestDatabases<S>) {
    assert_reversible_except(databases, &[]).await;
}

/// As [`assert_reversible`], but these may have no way back: `app/0007_drop_names`. What they have is tried all the same.
///
/// # Panics
/// As [`assert_reversible`].
pub async fn assert_reversible_except<S: TestServer>(databases: &TestDatabases<S>, except: &[&str]) {
    nothing_found("migrations that cannot be taken back", look(databases, except).await);
}

async fn look<S: TestServer>(databases: &TestDatabases<S>, except: &[&str]) -> Result<Vec<String>, String> {
    let words = |error: admmgt_core::Error| error.to_string();
    let set = databases.set().map_err(words)?;
    let except = known(&set, except)?;
    let database = databases.empty().await.map_err(words)?;
    let set = set.with_ways_back(&*database.driver().dialect());
    let migrator = databases.migrator(&database).map_err(words)?;
    let next = migrator.clone().target(Target::Next(1));
    let mut found = Vec::new();
    loop {
        let before = database.schema().await.map_err(words)?;
        let Some(ran) = next.up().await.map_err(words)?.ran.into_iter().next() else { return Ok(found) };
        let id = ran.migration;
        let Some(meta) = set.get(&id).map(|migration| migration.meta()) else { continue };
        if !meta.reversible {
            if !meta.repeatable && !except.contains(&id) {
                found.push(below(&id, "it has no way back", &[]));
            }
            continue;
        }
        let applied = database.schema().await.map_err(words)?;
        if let Err(error) = migrator.down(Target::Back(1)).await {
            found.push(below(&id, "its way back fails", &[error.to_string()]));
            // What it left is not known: what comes after it cannot be told apart from that.
            return Ok(found);
        }
        let back = database.schema().await.map_err(words)?;
        if back != before {
            found.push(below(&id, "taken back, the schema is not what it was", &before.differences(&back)));
        }
        if let Err(error) = next.up().await {
            found.push(below(&id, "taken back, it cannot be applied again", &[error.to_string()]));
            return Ok(found);
        }
        let again = database.schema().await.map_err(words)?;
        if again != applied {
            found.push(below(&id, "applied again, the schema is another one", &applied.differences(&again)));
        }
    }
}
