//! Change databases safely: migrations that are typed, registered at compile time, and applied
//! exactly once, whatever races or dies.
//!
//! An application links this crate, writes its migrations as functions or SQL files, and brings its
//! database up to date with one line at start-up:
//!
#![cfg_attr(feature = "sqlite", doc = "```standalone_crate")]
#![cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
//! use admmgt::prelude::*;
//!
//! /// Users sign in by e-mail.
//! #[migration(id = "0001_users")]
//! fn users(db: &mut rusqlite::Connection) -> rusqlite::Result<()> {
//!     db.execute_batch("create table users(id integer primary key, email text not null unique)")
//! }
//!
//! #[migration(id = "0002_plans", depends_on = [users])]
//! async fn plans(cx: &mut Context) -> Result<(), BoxError> {
//!     cx.execute("alter table users add column plan text not null default 'free'").await?;
//!     Ok(())
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let database = Sqlite::memory()?;
//!     let report = Migrator::new(database.clone()).up().await?;
//!     println!("{report}");
//!     assert_eq!(report.ran.len(), 2);
//!     Ok(())
//! }
//! ```
//!
//! Backends are features: `sqlite`, `postgres`, `mongo`. `bundled` (on by default) compiles SQLite in; `tls-rustls`
//! encrypts connections to PostgreSQL; with the system's library, switch on `tls-native-tls` of `sqlx` instead.
//!
//! `testkit` is for tests: a fresh, migrated database for each, and claims about migrations.
//!
//! What runs when several processes start at once, when one dies in the middle, or when a migration
//! is edited, is written in the README. How the parts fit together: [`core`](admmgt_core).

pub use admmgt_core::*;
pub use admmgt_macros::{migration, migrations_dir, sql_migration};

#[doc(hidden)]
pub use admmgt_core::__private;

#[cfg(feature = "mongo")]
pub use admmgt_mongo::{self as mongo, Mongo, mongodb};
#[cfg(feature = "postgres")]
pub use admmgt_postgres::{self as postgres, LeaseMode, Postgres, sqlx};
#[cfg(feature = "sqlite")]
pub use admmgt_sqlite::{self as sqlite, Journal, Sqlite, rusqlite};
#[cfg(feature = "testkit")]
pub use admmgt_testkit as testkit;

/// What most programs need: `use admmgt::prelude::*;`.
pub mod prelude {
    pub use admmgt_core::{
        BoxError, Context, Error, Migration, Migrations, Migrator, Policy, Probed, Report, SqlMigration, Target,
    };

    pub use crate::{migration, migrations, migrations_dir, sql_migration};

    #[cfg(feature = "mongo")]
    pub use admmgt_mongo::{Mongo, MongoReader, MongoSession, mongodb};
    #[cfg(feature = "postgres")]
    pub use admmgt_postgres::{Postgres, sqlx, sqlx::PgConnection};
    #[cfg(feature = "sqlite")]
    pub use admmgt_sqlite::{Sqlite, rusqlite};
}

/// Lists migrations by the names of their functions, as `&'static [&'static Item]`: for tests, and
/// for programs that would rather not rely on what is linked.
///
/// ```standalone_crate
/// use admmgt::prelude::*;
///
/// #[migration(id = "0001_users")]
/// async fn users(cx: &mut Context) -> Result<(), BoxError> {
///     cx.execute("create table users").await?;
///     Ok(())
/// }
///
/// pub const MIGRATIONS: &[&admmgt::Item] = migrations![users];
///
/// let migrator = Migrator::new(admmgt::MemoryDriver::new()).migrations(MIGRATIONS);
/// # let _ = migrator;
/// ```
#[macro_export]
macro_rules! migrations {
    ($($migration:ty),* $(,)?) => {
        &[$(<$migration as $crate::__private::Declared>::ITEM),*] as &'static [&'static $crate::Item]
    };
}

/// Links a crate of migrations, so that what it registers is found. A crate that only `Cargo.toml`
/// names is not linked at all, and nothing of it is registered, silently.
///
/// ```
/// admmgt::link!(admmgt_core);     // your crate of migrations here
/// ```
#[macro_export]
macro_rules! link {
    ($($name:ident),+ $(,)?) => {
        $(use $name as _;)+
    };
}

/// Checks, in a test and without a database, that all registered migrations form a graph and are what
/// `admmgt.lock` beside `Cargo.toml` says. `ADMMGT_LOCK=update cargo test` writes the file.
///
/// ```no_run
/// #[test]
/// fn migrations_are_locked() {
///     admmgt::check!();
/// }
/// # fn main() {}
/// ```
///
/// # Panics
/// With everything that is wrong, and what to do.
#[macro_export]
macro_rules! check {
    () => {
        $crate::check!($crate::Migrations::registered())
    };
    ($migrations:expr) => {{
        let path = ::std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join($crate::LOCKFILE);
        let update = ::std::env::var_os("ADMMGT_LOCK").is_some_and(|word| word == "update");
        if let ::std::result::Result::Err(error) =
            $crate::check(&::std::convert::From::from($migrations), &path, update)
        {
            ::std::panic!("{error}");
        }
    }};
}
