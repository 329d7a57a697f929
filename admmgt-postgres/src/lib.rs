//! PostgreSQL for admmgt, on [`sqlx`].
//!
//! ```text
//! Postgres (driver) ──opens──▶ session ──guard──▶ the transaction of one migration
//!                                 │
//!                               link: the connection, its settings, what is open on it
//!                                 │
//!                                 ├── store ──▶ _admmgt_history, in a schema of one's choice
//!                                 └── lease: an advisory lock of that same connection, or a row with a heartbeat
//! ```
//!
//! Start with [`Postgres`].

mod driver;
mod lease_mode;
mod place;
mod server;

mod facts;
mod hygiene;
mod link;

mod session;

mod index;
mod rows;
mod transaction;

mod depth;
mod wire;

mod foreign;
mod records;
mod store;
mod tables;

mod lease;
mod pooler;

mod error;
mod quote;

mod dialect;
#[doc(hidden)]
pub mod script;

#[cfg(feature = "testkit")]
mod testkit;

pub use dialect::PgDialect;
pub use driver::Postgres;
pub use error::Answer;
pub use lease_mode::LeaseMode;
pub use sqlx;
#[cfg(feature = "testkit")]
pub use testkit::{PgTest, PgTestServer};
