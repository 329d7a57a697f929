//! Backfills: batches that commit one by one, and go on where they stopped.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

use std::sync::{Arc, Mutex};
use std::time::Duration;

use admmgt_core::*;

/// Rows of the application, by number; each batch of them is a line of the journal.
#[derive(Debug, Clone, Default)]
struct Table {
    rows: u64,
    /// The batch that ends with this row meets that error so often.
    fails: Arc<Mutex<Vec<(u64, bool)>>>,
    sizes: Arc<Mutex<Vec<u64>>>,
    /// So often the end of a batch cannot be asked for.
    unasked: Arc<Mutex<u32>>,
    /// How long a row takes.
    slow: Duration,
}

struct Numbers(Table);

#[async_trait]
impl Batches for Numbers {
    async fn next(&mut self, _: &mut Context, after: Option<&str>, count: u64) -> Result<Option<BatchEnd>, BoxError> {
        let after: u64 = after.map_or(Ok(0), str::parse)?;
        let end = (after + count).min(self.0.rows);
        self.0.sizes.lock().unwrap().push(count);
        let mut unasked = self.0.unasked.lock().unwrap();
        if end > 8 && *unasked > 0 {
            *unasked -= 1;
            return Err(Error::Busy { waited: Duration::ZERO }.into());
        }
        Ok((end > after).then(|| BatchEnd::new(end.to_string(), end - after)))
    }

    async fn change(&mut self, cx: &mut Context, after: Option<&str>, end: &str) -> Result<u64, BoxError> {
        cx.execute(format!("{}..{end}", after.unwrap_or("0"))).await?;
        let (from, to): (u64, u64) = (after.map_or(Ok(0), str::parse)?, end.parse()?);
        let failing = {
            let mut fails = self.0.fails.lock().unwrap();
            fails.iter().position(|(row, _)| (from + 1..=to).contains(row)).map(|at| fails.remove(at))
        };
        match failing {
            Some((_, true)) => return Err(Error::Busy { waited: Duration::ZERO }.into()),
            Some((row, false)) => return Err(format!("row {row} cannot be changed").into()),
            None => {}
        }
        tokio::time::sleep(self.0.slow * u32::try_from(to - from)?).await;
        Ok((to - from) / 2)
    }

    async fn estimate(&mut self, _: &mut Context) -> Result<Option<u64>, BoxError> {
        Ok(Some(self.0.rows))
    }
}

/// A migration that is one backfill.
struct Fill {
    meta: Meta,
    table: Table,
    filled: Arc<Mutex<Vec<Filled>>>,
}

impl Fill {
    fn new(table: &Table) -> Self {
        let id = MigrationId::new("app", "1").unwrap();
        let meta = Meta::new(id, Checksum::parse("manual:1").unwrap());
        let meta = meta.transaction(TransactionMode::None).on_interrupt(OnInterrupt::Retry).reversible();
        Self { meta, table: table.clone(), filled: Arc::default() }
    }
}

#[async_trait]
impl Migration for Fill {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    async fn up(&self, cx: &mut Context) -> Result<(), BoxError> {
        let filled = cx.backfill("halves").run(&mut Numbers(self.table.clone())).await?;
        self.filled.lock().unwrap().push(filled);
        Ok(())
    }

    async fn down(&self, _: &mut Context) -> Result<(), BoxError> {
        Ok(())
    }
}

fn policy(rows: u64) -> Policy {
    let mut policy = Policy::default();
    (policy.batch_rows, policy.retry_pause) = (rows, Duration::from_millis(1));
    policy
}

fn migrator(database: &MemoryDriver, fill: Fill, rows: u64) -> Migrator {
    Migrator::new(database.clone()).migrations(Migrations::default().and(fill)).policy(policy(rows))
}

fn databases() -> [MemoryDriver; 2] {
    [MemoryDriver::new(), MemoryDriver::without_transactions()]
}

#[tokio::test]
async fn every_row_is_in_one_batch() {
    for database in databases() {
        let fill = Fill::new(&Table { rows: 10, ..Table::default() });
        let filled = Arc::clone(&fill.filled);
        migrator(&database, fill, 4).up().await.unwrap();
        assert_eq!(database.journal(), ["0..4", "4..8", "8..10"]);
        let filled = filled.lock().unwrap()[0];
        assert_eq!((filled.seen, filled.changed, filled.batches), (10, 5, 3));
    }
    let none = MemoryDriver::new();
    migrator(&none, Fill::new(&Table::default()), 4).up().await.unwrap();
    assert!(none.journal().is_empty());
}

#[tokio::test]
async fn an_attempt_goes_on_where_the_last_one_stopped() {
    for database in databases() {
        let table = Table { rows: 10, fails: Arc::new(Mutex::new(vec![(7, false)])), ..Table::default() };
        let error = migrator(&database, Fill::new(&table), 4).up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
        assert!(error.to_string().contains("row 7 cannot be changed"), "{error}");
        let fill = Fill::new(&table);
        let filled = Arc::clone(&fill.filled);
        migrator(&database, fill, 4).up().await.unwrap();
        // Without a transaction the batch that failed is done again.
        let again: &[&str] = if database.journal().len() == 3 { &[] } else { &["4..8"] };
        assert_eq!(database.journal(), [&["0..4"], again, &["4..8", "8..10"]].concat());
        assert_eq!(filled.lock().unwrap()[0].seen, 10);
    }
}

#[tokio::test]
async fn taken_back_and_applied_again_it_begins_anew() {
    let database = MemoryDriver::new();
    let all = migrator(&database, Fill::new(&Table { rows: 4, ..Table::default() }), 4);
    all.up().await.unwrap();
    all.down(Target::Back(1)).await.unwrap();
    all.up().await.unwrap();
    assert_eq!(database.journal(), ["0..4", "0..4"]);
}

#[tokio::test]
async fn a_batch_that_meets_a_lock_is_made_smaller_and_tried_again() {
    for database in databases() {
        let table = Table { rows: 8, fails: Arc::new(Mutex::new(vec![(1, true), (1, true)])), ..Table::default() };
        migrator(&database, Fill::new(&table), 8).up().await.unwrap();
        assert_eq!(table.sizes.lock().unwrap()[..3], [8, 2, 1]);
        assert_eq!(database.journal().last().unwrap().split("..").last(), Some("8"));
    }
    let table = Table { rows: 8, fails: Arc::new(Mutex::new(vec![(1, true); 9])), ..Table::default() };
    let error = migrator(&MemoryDriver::new(), Fill::new(&table), 8).up().await.unwrap_err();
    assert_eq!((error.kind(), &**table.sizes.lock().unwrap()), (ErrorKind::Interrupted, &[8, 2, 1, 1, 1, 1][..]));
}

#[tokio::test]
async fn batches_are_as_large_as_the_time_that_they_may_take() {
    let sizes = async |table: Table, batch_time| {
        let mut limits = policy(50_000);
        limits.batch_time = batch_time;
        migrator(&MemoryDriver::new(), Fill::new(&table), 0).policy(limits).up().await.unwrap();
        table.sizes.lock().unwrap()[..3].to_vec()
    };
    let slow = Table { rows: 2_000, slow: Duration::from_micros(100), ..Table::default() };
    assert_eq!(sizes(slow, Duration::from_millis(1)).await, [1000, 500, 250]);
    let fast = Table { rows: 100_000, ..Table::default() };
    assert_eq!(sizes(fast, Duration::from_secs(3600)).await, [1000, 10_000, 50_000]);
}

/// Of a history that somebody has taken away, whose numbers begin anew.
#[tokio::test]
async fn a_checkpoint_of_another_history_does_not_count() {
    for database in databases() {
        let mut session = database.open(&SessionOptions::new(Access::Write)).await.unwrap();
        let store = database.store();
        let request = LeaseRequest::new(Author::of_this_process());
        let Acquired::Yes(lease) = store.acquire(&mut *session, &request).await.unwrap() else { panic!("it is free") };
        let key = CheckpointKey::new(MigrationId::new("app", "1").unwrap(), "halves");
        let ended = Checkpoint::stored(1, Some("10".to_owned()), 10, 5, true);
        store.save_checkpoint(&mut *session, &key, &ended, lease.token()).await.unwrap();
        lease.release(&mut *session).await.unwrap();
        session.close().await;
        migrator(&database, Fill::new(&Table { rows: 10, ..Table::default() }), 4).up().await.unwrap();
        assert_eq!(database.journal(), ["0..4", "4..8", "8..10"]);
    }
}

#[tokio::test]
async fn how_far_it_has_come_is_told() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let observer = move |event: &Event| {
        if let Event::Backfill { seen, changed, of, per_second, left_ms, .. } = event {
            heard.lock().unwrap().push(((*seen, *changed, *of), (*per_second, left_ms.unwrap())));
        }
    };
    let row = Duration::from_millis(10);
    let table = Table { rows: 10, slow: row, fails: Arc::new(Mutex::new(vec![(9, false)])), ..Table::default() };
    let (database, fill) = (MemoryDriver::new(), || Fill::new(&table));
    migrator(&database, fill(), 4).observe(observer.clone()).up().await.unwrap_err();
    migrator(&database, fill(), 4).observe(observer).up().await.unwrap();
    let told = told.lock().unwrap();
    let seen: Vec<_> = told.iter().map(|(seen, _)| *seen).collect();
    assert_eq!(seen, [(4, 2, Some(10)), (8, 4, Some(10)), (10, 5, Some(10))]);
    let times: Vec<_> = told.iter().map(|(_, times)| *times).collect();
    // A row takes 10 ms, and on a busy machine more: no more than a hundred in a second, and 60 ms for six at least.
    assert!(times.iter().all(|(rate, _)| (1..=100).contains(rate)), "{times:?}");
    let left: Vec<u64> = times.iter().map(|(_, left)| *left).collect();
    assert!(left[0] >= 60 && left[1] >= 20 && left[2] == 0, "{left:?}");
    // Also of the second attempt, which has seen only two rows of the ten.
    assert!(times[2].0 <= 100, "{times:?}");
}

#[tokio::test]
async fn in_a_transaction_there_is_no_backfill() {
    let mut fill = Fill::new(&Table { rows: 10, ..Table::default() });
    fill.meta = fill.meta.transaction(TransactionMode::Auto);
    let database = MemoryDriver::new();
    let error = migrator(&database, fill, 4).up().await.unwrap_err().to_string();
    assert!(error.contains("the backfill `halves` commits batch by batch") && error.contains("\"none\""), "{error}");
    assert!(database.journal().is_empty());
}

#[tokio::test]
async fn whoever_has_lost_the_lease_saves_nothing() {
    for database in databases() {
        let table = Table { rows: 10, slow: Duration::from_millis(20), ..Table::default() };
        let (run, other) = (migrator(&database, Fill::new(&table), 4), database.clone());
        let (ended, ()) = tokio::join!(run.up(), async move {
            while other.journal().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            other.break_lease();
        });
        let error = ended.unwrap_err();
        assert!(error.to_string().contains("lease"), "{error}");
        assert!(database.journal().len() <= 1, "{:?}", database.journal());
    }
}

/// Batches whose size is their own affair, and which never have the lock.
struct Days;

#[async_trait]
impl Batches for Days {
    async fn next(&mut self, _: &mut Context, after: Option<&str>, _: u64) -> Result<Option<BatchEnd>, BoxError> {
        Ok(after.is_none().then(|| BatchEnd::new("a day", 5000)))
    }

    async fn change(&mut self, _: &mut Context, _: Option<&str>, _: &str) -> Result<u64, BoxError> {
        Err(Error::Busy { waited: Duration::ZERO }.into())
    }
}

/// Batches that say the same end again and again, and not how many there will be.
struct Endless;

#[async_trait]
impl Batches for Endless {
    async fn next(&mut self, _: &mut Context, _: Option<&str>, _: u64) -> Result<Option<BatchEnd>, BoxError> {
        Ok(Some(BatchEnd::new("here", 1)))
    }

    async fn change(&mut self, _: &mut Context, _: Option<&str>, _: &str) -> Result<u64, BoxError> {
        Ok(1)
    }
}

/// A batch with a backfill in it.
struct Nests;

#[async_trait]
impl Batches for Nests {
    async fn next(&mut self, _: &mut Context, after: Option<&str>, _: u64) -> Result<Option<BatchEnd>, BoxError> {
        Ok(after.is_none().then(|| BatchEnd::new("1", 1)))
    }

    async fn change(&mut self, cx: &mut Context, _: Option<&str>, _: &str) -> Result<u64, BoxError> {
        Ok(cx.backfill("inner").run(&mut Days).await?.changed)
    }
}

/// A batch that commits by itself.
struct Commits;

#[async_trait]
impl Batches for Commits {
    async fn next(&mut self, _: &mut Context, after: Option<&str>, _: u64) -> Result<Option<BatchEnd>, BoxError> {
        Ok(after.is_none().then(|| BatchEnd::new("1", 1)))
    }

    async fn change(&mut self, cx: &mut Context, _: Option<&str>, _: &str) -> Result<u64, BoxError> {
        cx.execute("commit").await?;
        Ok(1)
    }
}

/// A body of backfills, in this order.
struct Body(Meta, Vec<&'static str>);

#[async_trait]
impl Migration for Body {
    fn meta(&self) -> &Meta {
        &self.0
    }

    async fn up(&self, cx: &mut Context) -> Result<(), BoxError> {
        for name in &self.1 {
            let backfill = cx.backfill(*name);
            match *name {
                "days" => backfill.run(&mut Days).await?,
                "nests" => backfill.run(&mut Nests).await?,
                "commits" => backfill.run(&mut Commits).await?,
                "endless" => backfill.run(&mut Endless).await?,
                "rows" => backfill.update(&Rows::of("users", ["id"]).set("plan = 'free'")).await?,
                _ => backfill.run(&mut Numbers(Table { rows: 3, ..Table::default() })).await?,
            };
        }
        Ok(())
    }
}

fn body(names: &[&'static str]) -> Body {
    Body(Fill::new(&Table::default()).meta, names.to_vec())
}

#[tokio::test]
async fn a_batch_that_cannot_be_made_smaller_is_given_up() {
    let migrator = Migrator::new(MemoryDriver::new()).migrations(Migrations::default().and(body(&["days"])));
    let ended = tokio::time::timeout(Duration::from_secs(20), migrator.policy(policy(5000)).up()).await;
    assert_eq!(ended.expect("it ends").unwrap_err().kind(), ErrorKind::Interrupted);
}

#[tokio::test]
async fn two_backfills_of_one_name_are_refused() {
    let run = async |names: &[&'static str]| {
        Migrator::new(MemoryDriver::new()).migrations(Migrations::default().and(body(names))).up().await
    };
    run(&["one", "two"]).await.unwrap();
    let error = run(&["one", "one"]).await.unwrap_err();
    assert!(error.to_string().contains("two backfills of one migration are called `one`"), "{error}");
}

#[tokio::test]
async fn batches_that_do_not_get_on_are_an_error() {
    for database in databases() {
        let migrator = Migrator::new(database).migrations(Migrations::default().and(body(&["endless"])));
        let error = migrator.policy(policy(10)).up().await.unwrap_err();
        assert!(error.to_string().contains("its key does not grow"), "{error}");
    }
}

#[tokio::test]
async fn a_backfill_within_a_batch_is_refused() {
    for database in databases() {
        let migrator = Migrator::new(database).migrations(Migrations::default().and(body(&["nests"])));
        let error = migrator.policy(policy(10)).up().await.unwrap_err();
        assert!(error.to_string().contains("`inner` begins within a batch of another one"), "{error}");
    }
}

#[tokio::test]
async fn a_batch_that_ends_its_transaction_is_an_error() {
    let migrator = Migrator::new(MemoryDriver::new()).migrations(Migrations::default().and(body(&["commits"])));
    let error = migrator.policy(policy(10)).up().await.unwrap_err();
    assert!(error.to_string().contains("a batch ended its transaction by itself"), "{error}");
}

#[tokio::test]
async fn a_database_without_sql_says_what_to_give_it() {
    let migrator = Migrator::new(MemoryDriver::new()).migrations(Migrations::default().and(body(&["rows"])));
    let error = migrator.up().await.unwrap_err();
    assert!(error.to_string().contains("give it batches of your own"), "{error}");
}

#[tokio::test]
async fn there_is_a_pause_between_two_batches() {
    let pause = Duration::from_millis(30);
    let mut policy = policy(1);
    policy.batch_pause = pause;
    let fill = Fill::new(&Table { rows: 5, ..Table::default() });
    let migrator = Migrator::new(MemoryDriver::new()).migrations(Migrations::default().and(fill)).policy(policy);
    let clock = std::time::Instant::now();
    migrator.up().await.unwrap();
    assert!(clock.elapsed() >= pause * 4, "{:?}", clock.elapsed());
}

/// Of a batch that was not tried nothing says that it is too large.
#[tokio::test]
async fn where_a_batch_ends_can_be_asked_again() {
    for database in databases() {
        let table = Table { rows: 16, unasked: Arc::new(Mutex::new(2)), ..Table::default() };
        migrator(&database, Fill::new(&table), 4).up().await.unwrap();
        assert_eq!(database.journal(), ["0..4", "4..8", "8..12", "12..16"]);
        assert_eq!(*table.sizes.lock().unwrap(), [4; 7]);
    }
}

/// A batch that changes something and never ends.
struct Stuck;

#[async_trait]
impl Batches for Stuck {
    async fn next(&mut self, _: &mut Context, _: Option<&str>, _: u64) -> Result<Option<BatchEnd>, BoxError> {
        Ok(Some(BatchEnd::new("1", 1)))
    }

    async fn change(&mut self, cx: &mut Context, _: Option<&str>, _: &str) -> Result<u64, BoxError> {
        cx.execute("stuck").await?;
        std::future::pending().await
    }
}

/// Drops a backfill in the middle of a batch, and goes on with the connection, which may be in its transaction.
struct Drops(Meta, bool);

#[async_trait]
impl Migration for Drops {
    fn meta(&self) -> &Meta {
        &self.0
    }

    async fn up(&self, cx: &mut Context) -> Result<(), BoxError> {
        let stuck = tokio::time::timeout(Duration::from_millis(20), cx.backfill("stuck").run(&mut Stuck)).await;
        assert!(stuck.is_err());
        let _ = cx.connection();
        if self.1 {
            // What it swallows does not help it.
            let _ = cx.execute("behind").await;
            let _ = cx.backfill("another").run(&mut Numbers(Table { rows: 3, ..Table::default() })).await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn what_was_done_behind_a_dropped_batch_is_not_said_to_be_there() {
    for (database, goes_on) in databases().into_iter().zip([false, true]).chain([(MemoryDriver::new(), true)]) {
        let drops = Drops(Fill::new(&Table::default()).meta, goes_on);
        let migrator = Migrator::new(database.clone()).migrations(Migrations::default().and(drops));
        let error = migrator.up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        assert!(error.to_string().contains("dropped in the middle of a batch"), "{error}");
        assert!(!database.journal().contains(&"behind".to_owned()), "{:?}", database.journal());
        let history = migrator.history().await.unwrap();
        assert_eq!(history.last().map(|record| record.kind), Some(RecordKind::Failed));
    }
}
