//! MongoDB for admmgt, on the official driver ([`mongodb`]).
//!
//! ```text
//! Mongo (driver) ──opens──▶ session ──▶ MongoSession: what a body gets, bound to the transaction
//!                              │
//!                            link: the client's session, what the server can do
//!                              │
//!                              ├── perform: a statement of a file, a command of the server or a step with a way back
//!                              ├── store ──▶ _admmgt_history, _admmgt_state (the lease and the fence),
//!                              │             _admmgt_checkpoint
//!                              └── lease: a document with the server's clock, and a heartbeat
//! ```
//!
//! Start with [`Mongo`].

mod driver;
mod place;
mod server;

mod handle;
mod link;
mod read;
mod session;

mod append;
mod end;
mod fence;
mod held;
mod history;
mod lease;
mod leftover;
mod records;
mod store;

mod checkpoints;
mod documents;
mod foreign;
mod ids;

mod error;

mod command;
mod dialect;
mod json;
mod split;

mod step;
mod steps;

mod perform;

mod index;
mod validator;

mod kept;

#[cfg(feature = "testkit")]
mod testkit;

pub use dialect::MongoDialect;
pub use documents::Documents;
pub use driver::Mongo;
pub use error::Answer;
pub use handle::{MongoCollection, MongoSession};
pub use mongodb;
pub use read::{Cursor, Find, MongoReader, ReadCollection};
pub use steps::{Steps, Validator};
#[cfg(feature = "testkit")]
pub use testkit::{MongoTest, MongoTestServer};
