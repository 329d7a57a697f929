//! Changes many rows in batches that commit one by one, and goes on where it stopped.
//!
//! ```text
//! checkpoint of this attempt ─▶ end of the next batch ─▶ [ change it · save the checkpoint ] ─▶ pause ─▶ again
//!                                                        one transaction, where the database can
//! ```

mod size;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use self::size::Size;
use crate::driver::Atomicity;
use crate::event::Event;
use crate::executor::caught;
use crate::pause::{self, Pause};
use crate::record::{Batch, Token};
use crate::rows::Rows;
use crate::store::StateStore;
use crate::{BoxError, Context, Error, MigrationId, Policy, Result};

/// What is changed batch by batch, in the order of a key.
///
/// A key is a text that only the batches read: it is put on record, and comes back after the process was killed.
///
/// ```
/// use admmgt_core::{BatchEnd, Batches, BoxError, Context, async_trait};
///
/// /// The days of a year, each of which has rows.
/// struct Days;
///
/// #[async_trait]
/// impl Batches for Days {
///     async fn next(&mut self, _: &mut Context, after: Option<&str>, _: u64) -> Result<Option<BatchEnd>, BoxError> {
///         let day: u64 = after.map_or(Ok(0), str::parse)? + 1;
///         Ok((day <= 365).then(|| BatchEnd::new(day.to_string(), 1)))
///     }
///
///     async fn change(&mut self, cx: &mut Context, _: Option<&str>, end: &str) -> Result<u64, BoxError> {
///         let done = cx.execute(format!("update sales set gross = net * 1.2 where day = {end} and gross is null")).await?;
///         Ok(done.rows_affected)
///     }
/// }
///
/// async fn gross(cx: &mut Context) -> Result<(), BoxError> {
///     cx.backfill("gross").run(&mut Days).await?;
///     Ok(())
/// }
/// ```
#[async_trait]
pub trait Batches: Send {
    /// Where the next batch ends: the key of the last of at most `count` rows behind `after`, which is `None` at the
    /// beginning. `None` where nothing is left.
    ///
    /// # Errors
    /// What the database answered.
    async fn next(&mut self, cx: &mut Context, after: Option<&str>, count: u64) -> Result<Option<BatchEnd>, BoxError>;

    /// Changes what is behind `after`, up to `end` and with it, and says how many rows that were. To change a batch again
    /// must change nothing more: where the database has no transactions, one is done again after a kill.
    ///
    /// # Errors
    /// What the database answered.
    async fn change(&mut self, cx: &mut Context, after: Option<&str>, end: &str) -> Result<u64, BoxError>;

    /// About how many rows there are, to say how long it will take. Default: not known.
    ///
    /// # Errors
    /// What the database answered.
    async fn estimate(&mut self, cx: &mut Context) -> Result<Option<u64>, BoxError> {
        let _ = cx;
        Ok(None)
    }
}

/// The end of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchEnd {
    /// The key of its last row.
    pub key: String,
    /// How many rows it has, whether they need a change or not.
    pub rows: u64,
}

impl BatchEnd {
    /// A batch of so many rows that ends with this key.
    pub fn new(key: impl Into<String>, rows: u64) -> Self {
        Self { key: key.into(), rows }
    }
}

/// Whose checkpoint it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct CheckpointKey {
    /// The migration.
    pub migration: MigrationId,
    /// The name of the backfill in it.
    pub name: String,
}

impl CheckpointKey {
    /// That of a backfill of this name in a migration.
    pub fn new(migration: MigrationId, name: impl Into<String>) -> Self {
        Self { migration, name: name.into() }
    }
}

/// `app/0003_gross/gross`: no two have the same text.
impl fmt::Display for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.migration, self.name)
    }
}

/// How far a backfill has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Checkpoint {
    /// Of which start of the migration: the number of its record. What goes on after an interruption has the same; one of
    /// another start does not count.
    pub begun: u64,
    /// The last key that is done; `None` before the first.
    pub after: Option<String>,
    /// How many rows were looked at.
    pub seen: u64,
    /// How many of them were changed.
    pub changed: u64,
    /// Nothing is left.
    pub ended: bool,
}

impl Checkpoint {
    /// One that was stored.
    pub fn stored(begun: u64, after: Option<String>, seen: u64, changed: u64, ended: bool) -> Self {
        Self { begun, after, seen, changed, ended }
    }
}

/// What a backfill has done, all attempts of its migration together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filled {
    /// How many rows were looked at.
    pub seen: u64,
    /// How many of them were changed.
    pub changed: u64,
    /// In how many batches, by the last of them.
    pub batches: u64,
}

/// What a body needs to keep a checkpoint; a run has it while the lease is held.
#[derive(Debug, Clone)]
pub(crate) struct Keeping {
    pub(crate) store: Arc<dyn StateStore>,
    pub(crate) fence: Option<Token>,
    pub(crate) policy: Policy,
}

/// A backfill that is about to run: [`Context::backfill`].
#[derive(Debug)]
pub struct Backfill<'a> {
    cx: &'a mut Context,
    name: String,
}

impl<'a> Backfill<'a> {
    pub(crate) fn new(cx: &'a mut Context, name: String) -> Self {
        Self { cx, name }
    }

    /// Updates the rows of a table, of a database with SQL.
    ///
    /// # Errors
    /// As [`Backfill::run`]; [`Error::Usage`] where nothing is set or there is no key.
    pub async fn update(self, rows: &Rows) -> Result<Filled, BoxError> {
        if rows.key.is_empty() || rows.set.trim().is_empty() {
            let problem = format!("the backfill `{}` needs the columns of a key, and `set`", self.name);
            return Err(Error::Usage { problem }.into());
        }
        let mut batches = self.cx.session().batches(rows)?;
        self.run(&mut *batches).await
    }

    /// Runs it to its end, from where an earlier attempt stopped.
    ///
    /// # Errors
    /// What a batch failed with, after as many tries as [`Policy::retries`] allows; [`Error::Usage`] in a migration that
    /// has a transaction.
    pub async fn run(self, batches: &mut (impl Batches + ?Sized)) -> Result<Filled, BoxError> {
        let Self { cx, name } = self;
        let (Some(begun), Some(migration)) = (cx.begun(), cx.migration().cloned()) else {
            return Err(usage(&name).into());
        };
        if cx.is_in_batch() {
            let problem = format!("the backfill `{name}` begins within a batch of another one: let that end first");
            return Err(Error::Usage { problem }.into());
        }
        if !cx.begin_backfill(&name) {
            let problem = format!("two backfills of one migration are called `{name}`; give each a name of its own");
            return Err(Error::Usage { problem }.into());
        }
        cx.take_back().await?;
        let keeping = cx.keeping();
        let key = CheckpointKey { migration, name };
        let found = keeping.store.checkpoint(cx.session(), &key).await?;
        // With nothing before it, one of the same number is of a history that somebody has taken away.
        let found = found.filter(|found| found.begun == begun.record && !begun.is_first);
        let checkpoint = found.unwrap_or(Checkpoint { begun: begun.record, ..Default::default() });
        let of = batches.estimate(cx).await?;
        let clock = Instant::now();
        let size = Size::new(keeping.policy.batch_rows);
        let mut filling =
            Filling { cx, key, keeping, size, tried: 0, of, clock, before: checkpoint.seen, checkpoint, batches: 0 };
        while !filling.checkpoint.ended {
            filling.batch(batches).await?;
        }
        let Checkpoint { seen, changed, .. } = filling.checkpoint;
        Ok(Filled { seen, changed, batches: filling.batches })
    }
}

fn usage(name: &str) -> Error {
    let problem = format!(
        "the backfill `{name}` commits batch by batch, so its migration cannot be in a transaction: write \
         `transaction = \"none\"`, and `on_interrupt = \"retry\"` where it may go on by itself after a kill"
    );
    Error::Usage { problem }
}

/// One that runs.
struct Filling<'a> {
    cx: &'a mut Context,
    key: CheckpointKey,
    keeping: Keeping,
    checkpoint: Checkpoint,
    size: Size,
    /// How many rows the batch had that was tried last.
    tried: u64,
    of: Option<u64>,
    clock: Instant,
    /// What was seen before this attempt of this process.
    before: u64,
    batches: u64,
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        self.cx.backfill_is_over();
    }
}

impl Filling<'_> {
    /// The next batch, or the end. One that meets an error that may be gone the next time is made smaller and tried again: it
    /// may be too large for one transaction. Only where it cannot be made smaller does that count as a retry.
    async fn batch(&mut self, batches: &mut (impl Batches + ?Sized)) -> Result<(), BoxError> {
        let mut pause = Pause::new(self.keeping.policy.retry_pause, pause::LONGEST);
        let (mut retry, mut counted) = (0, 0);
        loop {
            let clock = Instant::now();
            self.tried = 0;
            let error = match self.once(batches).await {
                Ok(()) if self.checkpoint.ended => return Ok(()),
                Ok(()) => {
                    self.batches += 1;
                    self.size.took(self.tried, clock.elapsed(), self.keeping.policy.batch_time);
                    self.tell();
                    if !self.keeping.policy.batch_pause.is_zero() {
                        tokio::time::sleep(self.keeping.policy.batch_pause).await;
                    }
                    return Ok(());
                }
                Err(error) => error,
            };
            let can_be_smaller = self.tried > 1 && self.size.next > 1 && self.keeping.policy.retries > 0;
            if !can_be_smaller && counted >= self.keeping.policy.retries || !self.cx.session().is_transient(&error) {
                return Err(error);
            }
            let error = self.cx.session().describe(&error);
            self.cx.tell(&Event::MigrationRetried { migration: self.key.migration.clone(), retry, error });
            // Where a batch ends could not be asked: that says nothing of how large it may be.
            if self.tried > 0 {
                self.size.failed(self.tried);
            }
            pause.wait(Duration::MAX).await;
            (retry, counted) = (retry + 1, counted + u32::from(!can_be_smaller));
        }
    }

    async fn once(&mut self, batches: &mut (impl Batches + ?Sized)) -> Result<(), BoxError> {
        let after = self.checkpoint.after.as_deref();
        let Some(end) = batches.next(self.cx, after, self.size.next).await? else {
            let ended = Checkpoint { ended: true, ..self.checkpoint.clone() };
            self.save(&ended).await?;
            self.checkpoint = ended;
            return Ok(());
        };
        if after == Some(&end.key) {
            return Err("a batch ends where it begins: its key does not grow".into());
        }
        self.tried = end.rows;
        let transactions = self.cx.session().capabilities().transactions;
        self.cx.begin_batch(transactions).await?;
        let next = match caught(self.change(batches, end)).await {
            Ok(next) => next,
            Err(error) => {
                if transactions && !matches!(error.downcast_ref(), Some(Error::ConnectionLost { .. })) {
                    self.cx.session().rollback().await?;
                }
                self.cx.batch_ended();
                return Err(error);
            }
        };
        let nothing = Batch { fence: self.keeping.fence, ..Batch::default() };
        let committed = if transactions { self.cx.session().commit(&nothing).await } else { Ok(Atomicity::Kept) };
        self.cx.batch_ended();
        if committed? == Atomicity::Broken {
            return Err("a batch ended its transaction by itself".into());
        }
        self.checkpoint = next;
        Ok(())
    }

    /// Changes a batch and saves how far that is.
    async fn change(&mut self, batches: &mut (impl Batches + ?Sized), end: BatchEnd) -> Result<Checkpoint, BoxError> {
        let before = &self.checkpoint;
        let changed = batches.change(self.cx, before.after.as_deref(), &end.key).await?;
        let (seen, changed) = (before.seen + end.rows, before.changed + changed);
        let next = Checkpoint { after: Some(end.key), seen, changed, ..before.clone() };
        self.save(&next).await?;
        Ok(next)
    }

    async fn save(&mut self, next: &Checkpoint) -> Result<()> {
        let Keeping { store, fence, .. } = &self.keeping;
        store.save_checkpoint(self.cx.session(), &self.key, next, *fence).await
    }

    fn tell(&self) {
        let (seen, took) = (self.checkpoint.seen, self.clock.elapsed().as_secs_f64().max(1e-6));
        let rate = (seen - self.before) as f64 / took;
        let left = self.of.map(|of| of.saturating_sub(seen) as f64 / rate.max(1e-6));
        self.cx.tell(&Event::Backfill {
            migration: self.key.migration.clone(),
            name: self.key.name.clone(),
            seen,
            changed: self.checkpoint.changed,
            of: self.of,
            per_second: rate as u64,
            left_ms: left.map(|left| (left * 1000.0) as u64),
        });
    }
}
