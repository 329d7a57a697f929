//! Changes many rows in batches that commit one by one, and goes on where it stopped.
//!
//! ```text
//! checkpoint of this attempt ─▶ end of the next batch ─▶ [ change it · save the checkpoint ] ─▶ pause ─▶ again
//!                                                        one transaction, where the database can
//! ```

use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::driver::Atomicity;
use crate::event::Event;
use crate::pause::{self, Pause};
use crate::record::{Batch, Token};
use crate::store::StateStore;
use crate::{BoxError, Context, Error, MigrationId, Origin, Policy, Result};

/// With how many rows it begins; from then on by the time that a batch takes.
const FIRST: u64 = 1_000;

/// What is changed batch by batch, in the order of a key. A backend has types for its tables or collections; what it
/// does not say can be said by implementing this.
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

/// How far a backfill has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Checkpoint {
    /// Of which attempt: the number of the record that started it. One of another attempt does not count.
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
    /// In how many batches, since this attempt began.
    pub batches: u64,
}

/// What a body needs to keep a checkpoint; a run has it while the lease is held.
#[derive(Debug, Clone)]
pub(crate) struct Keeping {
    pub(crate) store: std::sync::Arc<dyn StateStore>,
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

    /// Runs it to its end, from where an earlier attempt stopped.
    ///
    /// # Errors
    /// What a batch failed with, after as many tries as [`Policy::retries`] allows; [`Error::Usage`] in a migration that
    /// has a transaction.
    pub async fn run(self, batches: &mut (impl Batches + ?Sized)) -> Result<Filled, BoxError> {
        let Self { cx, name } = self;
        let (keeping, begun) = cx.keeping().ok_or_else(|| usage(&name))?;
        let Some(migration) = cx.migration().cloned() else { return Err(usage(&name).into()) };
        let key = CheckpointKey { migration, name };
        let found = keeping.store.checkpoint(cx.session(), &key).await?;
        let checkpoint =
            found.filter(|found| found.begun == begun).unwrap_or(Checkpoint { begun, ..Default::default() });
        let of = batches.estimate(cx).await?;
        let clock = Instant::now();
        let size = FIRST.min(keeping.policy.batch_rows).max(1);
        let mut filling =
            Filling { cx, key, keeping, size, of, clock, before: checkpoint.seen, checkpoint, batches: 0 };
        while !filling.checkpoint.ended {
            filling.batch(batches).await?;
        }
        let Filling { checkpoint, batches, .. } = filling;
        Ok(Filled { seen: checkpoint.seen, changed: checkpoint.changed, batches })
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
    /// How many rows the next batch may have.
    size: u64,
    of: Option<u64>,
    clock: Instant,
    /// What was seen before this attempt of this process.
    before: u64,
    batches: u64,
}

impl Filling<'_> {
    /// The next batch, or the end. One that meets an error that may be gone the next time is made smaller and tried again.
    async fn batch(&mut self, batches: &mut (impl Batches + ?Sized)) -> Result<(), BoxError> {
        let mut pause = Pause::new(self.keeping.policy.retry_pause, pause::LONGEST);
        let mut retry = 0;
        loop {
            let clock = Instant::now();
            let error = match self.once(batches).await {
                Ok(()) => {
                    self.adapt(clock.elapsed());
                    self.tell();
                    if !self.checkpoint.ended && !self.keeping.policy.batch_pause.is_zero() {
                        tokio::time::sleep(self.keeping.policy.batch_pause).await;
                    }
                    return Ok(());
                }
                Err(error) => error,
            };
            if retry >= self.keeping.policy.retries || !self.cx.session().is_transient(&error) {
                return Err(error);
            }
            let error = self.cx.session().describe(&error);
            self.cx.tell(&Event::MigrationRetried { migration: self.key.migration.clone(), retry, error });
            self.size = (self.size / 2).max(1);
            pause.wait(Duration::MAX).await;
            retry += 1;
        }
    }

    async fn once(&mut self, batches: &mut (impl Batches + ?Sized)) -> Result<(), BoxError> {
        let after = self.checkpoint.after.as_deref();
        let Some(end) = batches.next(self.cx, after, self.size).await? else {
            return self.save(Checkpoint { ended: true, ..self.checkpoint.clone() }).await;
        };
        if self.checkpoint.after.as_deref() == Some(&end.key) {
            return Err(format!("the batch behind `{}` ends where it begins: its key does not grow", end.key).into());
        }
        let transactions = self.cx.session().capabilities().transactions;
        if transactions {
            self.cx.session().begin(Origin::Sql).await?;
        }
        let changed = match batches.change(self.cx, self.checkpoint.after.as_deref(), &end.key).await {
            Ok(changed) => changed,
            Err(error) => {
                if transactions && !matches!(error.downcast_ref(), Some(Error::ConnectionLost { .. })) {
                    self.cx.session().rollback().await?;
                }
                return Err(error);
            }
        };
        let next = Checkpoint {
            after: Some(end.key),
            seen: self.checkpoint.seen + end.rows,
            changed: self.checkpoint.changed + changed,
            ..self.checkpoint.clone()
        };
        self.batches += 1;
        if !transactions {
            return self.save(next).await;
        }
        let Keeping { store, fence, .. } = &self.keeping;
        if let Err(error) = store.save_checkpoint(self.cx.session(), &self.key, &next, *fence).await {
            if !matches!(error, Error::ConnectionLost { .. }) {
                self.cx.session().rollback().await?;
            }
            return Err(error.into());
        }
        let nothing = Batch { fence: *fence, ..Batch::default() };
        match self.cx.session().commit(&nothing).await? {
            Atomicity::Kept => self.checkpoint = next,
            Atomicity::Broken => return Err("a batch ended its transaction by itself".into()),
        }
        Ok(())
    }

    /// Outside of a transaction.
    async fn save(&mut self, next: Checkpoint) -> Result<(), BoxError> {
        let Keeping { store, fence, .. } = &self.keeping;
        store.save_checkpoint(self.cx.session(), &self.key, &next, *fence).await?;
        self.checkpoint = next;
        Ok(())
    }

    /// The next batch has as many rows as fit into the time that one may take; never more than twice as many.
    fn adapt(&mut self, took: Duration) {
        let wanted = self.keeping.policy.batch_time.as_secs_f64() / took.as_secs_f64().max(1e-6);
        let size = self.size as f64 * wanted.clamp(0.5, 2.0);
        self.size = (size as u64).clamp(1, self.keeping.policy.batch_rows.max(1));
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
