//! Every limit and every choice of a run, in one place.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::OnInterrupt;

/// What is done about something that is neither clearly right nor clearly wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It goes on, and an event says so.
    Allow,
    /// Nothing runs while it stands.
    Refuse,
}

/// The limits and choices of a run. Every field can be changed on its own:
///
/// ```
/// use admmgt_core::{Policy, Verdict};
/// use std::time::Duration;
///
/// let mut policy = Policy::default();
/// policy.lease_wait = Duration::from_secs(30);
/// policy.out_of_order = Verdict::Allow;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// How long to wait for another migrator to finish. Default: 5 minutes.
    pub lease_wait: Duration,
    /// The first pause between two questions for the lease; it doubles, with jitter, up to
    /// [`Policy::lease_poll_max`]. Default: 50 ms.
    pub lease_poll_min: Duration,
    /// The longest pause between two questions for the lease. Default: 2 s.
    pub lease_poll_max: Duration,
    /// How long one statement waits for a lock inside the database. Default: 5 s.
    pub lock_timeout: Duration,
    /// How long one statement may run; the body of a plain `fn` counts as one. Default: as long as it takes.
    pub statement_timeout: Option<Duration>,
    /// How long a database that does not answer yet is asked again: it refuses connections, starts up, or has too many
    /// of them. What will not change by itself, such as a wrong password, fails at once. Default: 1 s.
    pub connect_wait: Duration,
    /// How long a run that lost its connection in the middle tries to have another one. It reads the history again then,
    /// and goes on behind what was committed; [`Policy::retries`] times without getting any further. Default: 30 s.
    pub reconnect_wait: Duration,
    /// How often a migration in a transaction, or a batch of a backfill, is tried again after an error that may be gone the
    /// next time: a lock that was not had in time, a deadlock, a serialization failure. It was rolled back as a whole.
    /// Default: 3 times.
    pub retries: u32,
    /// The first pause before it is tried again; it doubles, with jitter, up to 2 s. Default: 50 ms.
    pub retry_pause: Duration,
    /// How long a batch of a backfill should take: its rows are locked for so long. The number of rows follows it. Default:
    /// 100 ms.
    pub batch_time: Duration,
    /// How many rows a batch of a backfill has at most, however fast they are: whoever changes one of them meanwhile waits
    /// for its end. Default: 10,000.
    pub batch_rows: u64,
    /// How long a backfill waits between two batches, for the sake of others. Default: it does not.
    pub batch_pause: Duration,
    /// One transaction around all pending migrations: all of them or none. Default: one each.
    pub group: bool,
    /// A pending migration that sorts before one applied already in its namespace. Default: refused.
    /// `Allow` is sound: dependencies are still respected.
    pub out_of_order: Verdict,
    /// An applied migration whose Rust code has changed since. Default: allowed, with an event and a
    /// mark in the status, because renaming a local variable is enough to get here. Edited SQL is
    /// always refused.
    pub edited_code: Verdict,
    /// The history has migrations of our namespaces that this program does not know: it is older
    /// than the one that ran last. Default: allowed, so that a rolling deploy can go on.
    pub ahead: Verdict,
    /// The lockfile that was given ([`crate::Migrator::lockfile`]) lists migrations that nobody registered: a file was
    /// deleted, or a crate is not linked. Default: refused; `Allow` goes on with an event.
    pub missing: Verdict,
    /// Another tool has its history in this database, and nothing is on record here yet: to run everything would
    /// run what is there already. Also: a pending migration would make what is there. Default: refused; `Allow` where
    /// the tool's migrations are others than these.
    pub foreign: Verdict,
    /// What is done about interrupted migrations. Default: what each of them says of itself.
    pub on_interrupt: Option<OnInterrupt>,
    /// Statements of SQL migrations that would silently do nothing, such as a PRAGMA that a transaction
    /// ignores. Default: refused; `Allow` leaves them out, with a note in the plan.
    pub idle: Verdict,
    /// SQL migrations that cannot be in one transaction as they are written: `VACUUM` among other statements,
    /// several blocks of `BEGIN … COMMIT`. Default: refused; `Allow` runs them without one, statement by
    /// statement, as a plain client does.
    pub mixed: Verdict,
    /// A SQL migration without a single statement. Default: refused.
    pub empty: Verdict,
    /// Whether SQL bodies are kept in the history, up to 1 MiB each. Default: yes.
    pub archive_bodies: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            lease_wait: Duration::from_secs(300),
            lease_poll_min: Duration::from_millis(50),
            lease_poll_max: Duration::from_secs(2),
            lock_timeout: Duration::from_secs(5),
            statement_timeout: None,
            connect_wait: Duration::from_secs(1),
            reconnect_wait: Duration::from_secs(30),
            retries: 3,
            retry_pause: Duration::from_millis(50),
            batch_time: Duration::from_millis(100),
            batch_rows: 10_000,
            batch_pause: Duration::ZERO,
            group: false,
            out_of_order: Verdict::Refuse,
            edited_code: Verdict::Allow,
            ahead: Verdict::Allow,
            missing: Verdict::Refuse,
            foreign: Verdict::Refuse,
            on_interrupt: None,
            idle: Verdict::Refuse,
            mixed: Verdict::Refuse,
            empty: Verdict::Refuse,
            archive_bodies: true,
        }
    }
}
