//! What the black-box tests share.
//!
//! - [`Scratch`]: a folder with a database in it; [`sql`], [`code`], [`asynchronous`]: migrations in
//!   one line;
//! - [`Database`]: a new database of a PostgreSQL server; [`Cluster`]: a server of one's own, to stop and to promote;
//! - [`Orders`]: what a real process is told to do, to race with and to kill; [`Sets`] are the
//!   migrations that it knows by name;
//! - [`CrashDriver`] and [`points`]: where such a process can die.

mod bodies;
mod cluster;
mod crash_driver;
mod database;
mod orders;
pub mod points;
mod proxy;
mod scratch;
mod sets;

pub use bodies::{AsyncCode, Code, asynchronous, code, id, outside, pg, sql};
pub use cluster::{Cluster, Standby};
pub use crash_driver::CrashDriver;
pub use database::{Database, skipped};
pub use orders::{Answer, Hold, Orders, Process, Verb, exit_code};
pub use proxy::Proxy;
pub use scratch::{Scratch, eventually, is_full, say, snapshot};
pub use sets::Sets;
