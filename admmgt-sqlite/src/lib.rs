//! SQLite for admmgt, on [`rusqlite`].
//!
//! ```text
//! Sqlite (driver) ──opens──▶ session ──guard──▶ the transaction of one migration
//!        │                      └──store──▶ _admmgt_history
//!        └──host──▶ one thread for the whole run: connection and lease live and die with it
//! ```
//!
//! Start with [`Sqlite`].

mod driver;
mod host;
mod place;

mod foreign;
mod foreign_keys;
mod guard;
mod session;
mod settings;
mod statement;

mod journal;
mod lease;
mod rows;
mod store;
mod temporary;

mod error;
mod quote;

mod dialect;
#[doc(hidden)]
pub mod script;

#[cfg(feature = "testkit")]
mod testkit;

pub use dialect::SqliteDialect;
pub use driver::Sqlite;
pub use journal::Journal;
pub use rusqlite;
#[cfg(feature = "testkit")]
pub use testkit::{SqliteFolder, SqliteTest};
