//! What the black-box tests share.
//!
//! - [`Scratch`]: a folder with a database in it; [`sql`], [`code`], [`asynchronous`]: migrations in
//!   one line;
//! - [`Around`]: errors of a body's own around the client's;
//! - [`Database`]: a new database of a PostgreSQL server; [`Cluster`]: a server of one's own, to stop and to promote;
//!   [`Bouncer`] and [`Proxy`]: what can stand before it;
//! - [`MongoDatabase`]: a new database of a MongoDB server; [`Mongod`]: a server of one's own;
//! - [`LAYOUTS`]: folders of migrations as people have them;
//! - [`Orders`]: what a real process is told to do, to race with and to kill; [`Sets`] are the
//!   migrations that it knows by name;
//! - [`sweep`]: kills such a process at each of its points, on any [`Ground`];
//! - [`backfill_killed_anywhere`]: the same for a backfill;
//! - [`points`]: where such a process can die.

mod around;
mod bodies;
mod bouncer;
mod cluster;
mod database;
mod filled;
mod layouts;
mod mongo;
mod mongod;
mod orders;
pub mod points;
mod proxy;
mod scratch;
mod sets;
mod sweep;

pub use around::Around;
pub use bodies::{AsyncCode, Code, asynchronous, code, id, outside, pg, sql};
pub use bouncer::Bouncer;
pub use cluster::{Cluster, Standby, binaries, free_port};
pub use database::{Database, now, now_elsewhere, run_at, server_url, skipped};
pub use filled::{Filling, backfill_killed_anywhere, backfill_killed_at_random, batches_of, filling};
pub use layouts::{LAYOUTS, Layout};
pub use mongo::{AloneDatabase, MONGO_TTL, MongoDatabase, mongo};
pub use mongod::{Mongod, admin, mongo_database, mongo_url, mongod, run_command};
pub use orders::{Answer, Hold, Orders, Process, Server, Verb, exit_code, race};
pub use proxy::Proxy;
pub use scratch::{Scratch, eventually, is_full, say, snapshot};
pub use sets::Sets;
pub use sweep::{Case, Ground, Left, for_each, killed_again_and_again, points_of, sweep};
