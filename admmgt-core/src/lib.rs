//! The engine of admmgt. It knows no database and no dialect; backends are plugins.
//!
//! ```text
//! registry ──▶ graph ──▶ plan ──▶ executor ──▶ driver, store ──▶ report
//! ```
//!
//! Read the modules in this order:
//!
//! 1. [`MigrationId`], [`Meta`], [`Migration`]: what a change is;
//! 2. [`Migrations`], [`MigrationSet`]: which there are, and their order;
//! 3. [`Record`], [`State`]: what has happened, folded into how each stands;
//! 4. [`plan`]: what would run, decided from values alone;
//! 5. [`Driver`], [`Session`], [`StateStore`], [`Lease`]: what a database must offer;
//! 6. [`Migrator`]: all of it together. [`MemoryDriver`] keeps its database in memory.

mod redact;
mod text;

mod dir;
mod id;
mod meta;
mod migration;
mod script;
pub mod split;
mod sql_migration;
pub mod transactions;
mod way_back;

mod graph;
mod lock;
mod registry;

mod digest;
mod history;
mod record;

mod plan;
mod policy;
mod refusal;
mod target;

mod backfill;
mod context;
mod driver;
mod heart;
mod lease;
mod rows;
mod store;
pub mod stored;

mod error;
mod event;
mod report;
mod status;
mod verified;

mod adopt;
mod amend;
mod begun;
mod executor;
mod leased;
mod migrator;
mod pause;
mod probe;
mod reconnect;
mod run;

mod memory;
#[cfg(feature = "metrics")]
mod metrics;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
use __private as private;

pub use admmgt_files::layout::{Ignored, Layout};
pub use async_trait::async_trait;

#[cfg(feature = "metrics")]
pub use crate::metrics::Metrics;
pub use adopt::{ForeignEntry, ForeignHistory};
pub use amend::{Repair, Resolution};
pub use backfill::{Backfill, BatchEnd, Batches, Checkpoint, CheckpointKey, Filled};
pub use context::{AnyBackend, Context, FromBlocking, FromContext};
pub use digest::{Digest, NamespaceHead};
pub use dir::{DirError, MigrationsDir};
pub use driver::{
    Access, Atomicity, BlockingJob, Capabilities, Driver, MakeBatch, Outcome, Recorded, Session, SessionOptions,
};
pub use error::{Error, ErrorKind, FailedStatement, Failure, Result, sources};
pub use event::{EVENT_FORMAT, Event, Observer};
pub use heart::{Beat, Heart, Renewal};
pub use history::{Earlier, Head, History, Known, Standing, State};
pub use id::{InvalidName, MigrationId, Namespace};
pub use lease::{Acquired, Holder, Lease, LeaseRequest};
pub use lock::{CheckError, LOCKFILE, Lockfile, Unlocked, check, lockfile, unlocked};
pub use memory::{MemoryConnection, MemoryDriver};
pub use meta::{Backend, Checksum, Direction, Location, Meta, OnInterrupt, Origin, TransactionMode};
pub use migration::{Body, BoxError, BoxFuture, CodeBody, Item, Migration, ProbeBody, Probed};
pub use migrator::Migrator;
pub use plan::{Facts, PLAN_FORMAT, Plan, Step, plan};
pub use policy::{Policy, Verdict};
pub use record::{ARCHIVE_LIMIT, ArchivedBody, Author, Batch, FORMAT, Record, RecordKind, RunId, Timestamp, Token};
pub use refusal::{LineDifference, Refusal};
pub use registry::{MigrationSet, Migrations};
pub use report::{REPORT_FORMAT, Ran, Report};
pub use rows::Rows;
pub use script::{Dialect, Names, Script, ScriptProblem, SqlSource, Statement, Streamed};
pub use sql_migration::SqlMigration;
pub use status::{STATUS_FORMAT, Status, StatusRow};
pub use store::StateStore;
pub use target::Target;
pub use text::Text;
pub use verified::Verified;
