//! PostgreSQL for admmgt, on [`sqlx`].
//!
//! ```text
//! Postgres (driver) ──opens──▶ session ──guard──▶ the transaction of one migration
//!        │                        └──store──▶ _admmgt_history, in a schema of one's choice
//!        └── lease: an advisory lock of that same connection, or a row with a heartbeat behind a pooler
//! ```
//!
//! Start with [`Postgres`].

mod driver;
mod place;

mod facts;
mod hygiene;
mod index;
mod session;
mod transaction;

mod depth;
mod wire;

mod foreign;
mod store;

mod lease;
mod pooler;

mod error;
mod quote;

mod dialect;
#[doc(hidden)]
pub mod script;

#[cfg(feature = "test-databases")]
mod test_databases;

pub use dialect::PgDialect;
pub use driver::Postgres;
pub use error::Answer;
pub use lease::LeaseMode;
pub use sqlx;
#[cfg(feature = "test-databases")]
pub use test_databases::{TestDatabase, TestDatabases};
