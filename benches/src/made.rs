//! Migrations by the thousand.

use admmgt::__private::{MetaParts, item};
use admmgt::prelude::*;
use admmgt::{Body, BoxFuture, CodeBody, Item, MigrationId, Origin, TransactionMode};

use crate::Result;

/// The namespace of all of them.
pub const NAMESPACE: &str = "app";

/// The id of one of them, as people write them.
pub fn name(at: usize) -> String {
    format!("{at:05}_add_settings_of_accounts")
}

/// Migrations made at run time, each with one statement.
///
/// # Errors
/// None: the names are good.
pub fn sql(count: usize, statement: impl Fn(usize) -> String) -> Result<Vec<SqlMigration>> {
    (0..count).map(|at| Ok(SqlMigration::new(NAMESPACE, name(at), statement(at))?)).collect()
}

/// A small table of its own for each migration.
pub fn create_table(at: usize) -> String {
    format!("create table table_{at} (id integer primary key, name text not null)")
}

/// A row in the one table of the application.
pub fn insert(at: usize) -> String {
    format!("insert into app (name) values ('name {at}')")
}

/// Migrations as the macros write them: constants with a function, and what they depend on. They are
/// never freed, as statics are not.
pub fn items(count: usize, body: CodeBody, depends_on: impl Fn(usize) -> Vec<usize>) -> Vec<&'static Item> {
    let names: Vec<&'static str> = (0..count).map(|at| &*name(at).leak()).collect();
    let id = |at: usize| admmgt::__private::id(NAMESPACE, names[at]);
    let made = names.iter().enumerate().map(|(at, name)| {
        let depends_on: Vec<MigrationId> = depends_on(at).into_iter().map(id).collect();
        let parts = MetaParts {
            namespace: NAMESPACE,
            id: name,
            description: "Settings of accounts.",
            depends_on: depends_on.leak(),
            after: None,
            checksum: format!("v1:sha256:{at:064x}").leak(),
            origin: Origin::Code,
            transaction: TransactionMode::Auto,
            on_interrupt: admmgt::OnInterrupt::Manual,
            probe: None,
            repeatable: false,
            replaces: &[],
            tags: &[],
            file: "src/migrations.rs",
            line: 1,
            backend: None,
        };
        &*Box::leak(Box::new(item(parts, Body::Code(body), None)))
    });
    made.collect()
}

/// A body that is never called.
pub fn nothing(_: &mut Context) -> BoxFuture<'_, std::result::Result<(), BoxError>> {
    Box::pin(async { Ok(()) })
}

/// Up to `most` of the migrations before one: the last, and others anywhere before it.
pub fn earlier(at: usize, most: usize, seed: u64) -> Vec<usize> {
    let mut random = fastrand::Rng::with_seed(seed ^ at as u64);
    let mut found: Vec<usize> = at.checked_sub(1).into_iter().take(most).collect();
    while found.len() < most.min(at) {
        let other = random.usize(..at);
        if !found.contains(&other) {
            found.push(other);
        }
    }
    found
}
