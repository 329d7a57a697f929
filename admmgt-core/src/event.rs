//! What a run says while it works: one typed stream for logs, metrics and progress bars.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::lease::Holder;
use crate::record::RunId;
use crate::{Direction, MigrationId};

/// The version of the serialised form of [`Event`].
pub const EVENT_FORMAT: u32 = 1;

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
#[non_exhaustive]
pub enum Event {
    /// A run begins to look at the database.
    #[non_exhaustive]
    RunStarted {
        /// Its name, also in every record that it writes.
        run: RunId,
        /// [`EVENT_FORMAT`].
        format: u32,
    },
    /// The history knows migrations of our namespaces that this program does not.
    #[non_exhaustive]
    Ahead {
        /// Which.
        migrations: Vec<MigrationId>,
    },
    /// The code of an applied migration has changed since.
    #[non_exhaustive]
    CodeEdited {
        /// Which.
        migration: MigrationId,
    },
    /// Another migrator has the lease.
    #[non_exhaustive]
    LeaseWaiting {
        /// Who.
        holder: Holder,
        /// For how long this one has waited, in milliseconds.
        waited_ms: u64,
    },
    /// This run is the one migrator now.
    LeaseAcquired,
    /// The lease was handed back.
    LeaseReleased,
    /// What will run, in order; the last look at the history is behind us.
    #[non_exhaustive]
    Planned {
        /// The migrations.
        migrations: Vec<MigrationId>,
    },
    /// A migration begins.
    #[non_exhaustive]
    MigrationStarted {
        /// Which.
        migration: MigrationId,
        /// Which way.
        direction: Direction,
        /// Whether inside a transaction.
        transaction: bool,
    },
    /// A statement of it ended well.
    #[non_exhaustive]
    StatementDone {
        /// Which migration.
        migration: MigrationId,
        /// The statement, counted from 1.
        number: u32,
        /// How many there are.
        of: u32,
        /// Rows changed.
        rows: u64,
    },
    /// A body says how far it has come, with [`crate::Context::progress`].
    #[non_exhaustive]
    Progress {
        /// Which migration.
        migration: MigrationId,
        /// So many of its parts are done.
        done: u64,
        /// Of so many, where that is known.
        of: Option<u64>,
    },
    /// A batch of a backfill was committed.
    #[non_exhaustive]
    Backfill {
        /// Which migration.
        migration: MigrationId,
        /// The name of the backfill.
        name: String,
        /// How many rows were looked at, by all attempts of the migration.
        seen: u64,
        /// How many of them were changed.
        changed: u64,
        /// About how many there are, where that is known.
        of: Option<u64>,
        /// How many are looked at in a second.
        per_second: u64,
        /// How long the rest will take, in milliseconds, where that can be told.
        left_ms: Option<u64>,
    },
    /// Its body ended well; nothing is committed yet.
    #[non_exhaustive]
    BodyDone {
        /// Which.
        migration: MigrationId,
    },
    /// It is applied or taken back, and recorded.
    #[non_exhaustive]
    MigrationDone {
        /// Which.
        migration: MigrationId,
        /// Which way.
        direction: Direction,
        /// How long it took, in microseconds.
        duration_us: u64,
    },
    /// It failed and was rolled back.
    #[non_exhaustive]
    MigrationFailed {
        /// Which.
        migration: MigrationId,
        /// What it failed with.
        error: String,
    },
    /// It stopped half-way: part of its change may be there.
    #[non_exhaustive]
    MigrationInterrupted {
        /// Which.
        migration: MigrationId,
        /// What it stopped with.
        error: String,
    },
    /// A migration met an error that may be gone the next time, was rolled back, and is tried again.
    #[non_exhaustive]
    MigrationRetried {
        /// Which.
        migration: MigrationId,
        /// How often it was tried again before, counted from 0.
        retry: u32,
        /// The error, as text.
        error: String,
    },
    /// Something worth a look that stops nothing.
    #[non_exhaustive]
    Notice {
        /// In words.
        text: String,
    },
    /// The run is over.
    #[non_exhaustive]
    RunFinished {
        /// How many migrations it ran.
        ran: usize,
        /// How long it took, in microseconds.
        duration_us: u64,
    },
}

/// Hears every event of a run, in order, on the run's own thread. Closures are observers:
///
/// ```
/// use admmgt_core::{Event, MemoryDriver, Migrator};
///
/// let migrator = Migrator::new(MemoryDriver::new()).observe(|event: &Event| println!("{event:?}"));
/// # let _ = migrator;
/// ```
///
/// A panic in an observer is caught and dropped; it cannot break a run.
pub trait Observer: Send + Sync + 'static {
    /// Hears one event. It should be quick: the run waits for it.
    fn observe(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync + 'static> Observer for F {
    fn observe(&self, event: &Event) {
        self(event);
    }
}

/// All observers of a migrator, and the log.
#[derive(Clone, Default)]
pub(crate) struct Observers(Vec<Arc<dyn Observer>>);

impl Observers {
    pub(crate) fn add(&mut self, observer: impl Observer) {
        self.0.push(Arc::new(observer));
    }

    pub(crate) fn tell(&self, event: &Event) {
        log(event);
        for observer in &self.0 {
            // An observer is not part of the change: its panic is its own affair.
            let _ = catch_unwind(AssertUnwindSafe(|| observer.observe(event)));
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} observers", self.0.len())
    }
}

fn log(event: &Event) {
    match event {
        Event::RunStarted { run, .. } => tracing::debug!(%run, "looking at the history"),
        Event::Ahead { migrations } => {
            tracing::warn!(count = migrations.len(), "the database is ahead of this program");
        }
        Event::CodeEdited { migration } => tracing::warn!(%migration, "applied code was edited since"),
        Event::LeaseWaiting { holder, waited_ms } => tracing::info!(%holder, waited_ms, "waiting for the lease"),
        Event::LeaseAcquired => tracing::debug!("lease acquired"),
        Event::LeaseReleased => tracing::debug!("lease released"),
        Event::Planned { migrations } => tracing::info!(count = migrations.len(), "planned"),
        Event::MigrationStarted { migration, direction, .. } => tracing::debug!(%migration, %direction, "started"),
        Event::StatementDone { migration, number, of, rows } => {
            tracing::trace!(%migration, number, of, rows, "statement done");
        }
        Event::Progress { migration, done, of } => tracing::debug!(%migration, done, of, "progress"),
        Event::Backfill { migration, name, seen, changed, of, per_second, left_ms } => {
            tracing::debug!(%migration, name, seen, changed, of, per_second, left_ms, "backfill");
        }
        Event::BodyDone { migration } => tracing::trace!(%migration, "body done"),
        Event::MigrationDone { migration, direction, duration_us } => {
            tracing::info!(%migration, %direction, duration_us, "done");
        }
        Event::MigrationFailed { migration, error } => tracing::error!(%migration, error, "failed, rolled back"),
        Event::MigrationInterrupted { migration, error } => tracing::error!(%migration, error, "interrupted"),
        Event::MigrationRetried { migration, retry, error } => tracing::warn!(%migration, retry, error, "tried again"),
        Event::Notice { text } => tracing::warn!("{text}"),
        Event::RunFinished { ran, duration_us } => tracing::debug!(ran, duration_us, "run finished"),
    }
}
