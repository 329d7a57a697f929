//! Statements outside of a transaction, on a driver that can take some of them up again: those that begin with `index`.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

use std::any::Any;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use admmgt_core::*;
use tokio::sync::Notify;

/// The driver that is a list of lines, with words of its own.
#[derive(Debug, Clone)]
struct Indexes {
    database: MemoryDriver,
    /// The statements that were sent, and the questions whether one has ended.
    sent: Arc<Mutex<Vec<String>>>,
    /// Somebody waits in `index slow`, the first who runs it.
    waiting: Arc<Notify>,
    waits: Arc<AtomicBool>,
}

impl Indexes {
    fn new() -> Self {
        Self {
            database: MemoryDriver::without_transactions(),
            sent: Arc::default(),
            waiting: Arc::default(),
            waits: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Migrations `1`, `2` … of what each does and how it is taken back.
    fn with_ways_back(&self, texts: &[(&str, &str)]) -> Migrator {
        let one = |((up, down), number): (&(&str, &str), i32)| {
            let one = SqlMigration::new("app", number.to_string(), (*up).to_owned()).unwrap();
            let one = if down.is_empty() { one } else { one.down((*down).to_owned()) };
            one.with(|meta| meta.transaction(TransactionMode::None))
        };
        Migrator::new(self.clone()).migrations(Migrations::new(texts.iter().zip(1..).map(one)))
    }

    /// A run that is dropped in `index slow`.
    async fn drop_slow(&self, run: impl Future<Output = Result<Report>>) {
        tokio::select! {
            ended = run => panic!("it waits: {ended:?}"),
            () = self.waiting.notified() => {}
        }
    }

    fn migrator(&self, text: &str) -> Migrator {
        let mut policy = Policy::default();
        policy.retry_pause = Duration::from_millis(1);
        let one = SqlMigration::new("app", "1", text.to_owned()).unwrap();
        let retried = one.with(|meta| meta.on_interrupt(OnInterrupt::Retry).transaction(TransactionMode::None));
        Migrator::new(self.clone()).migrations(Migrations::new([retried])).policy(policy)
    }

    fn sent(&self) -> Vec<String> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }
}

#[async_trait]
impl Driver for Indexes {
    fn backend(&self) -> Backend {
        self.database.backend()
    }

    fn dialect(&self) -> Arc<dyn Dialect> {
        Arc::new(Words(self.database.dialect()))
    }

    fn store(&self) -> Arc<dyn StateStore> {
        self.database.store()
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        let session = self.database.open(options).await?;
        Ok(Box::new(Open { session, driver: self.clone(), begun: false, locked: 2 }))
    }
}

#[derive(Debug)]
struct Words(Arc<dyn Dialect>);

impl Dialect for Words {
    fn parse(&self, sql: &str, mode: TransactionMode) -> Result<Script, Vec<ScriptProblem>> {
        self.0.parse(sql, mode)
    }

    fn way_back(&self, text: &str) -> Option<String> {
        let lines: Option<Vec<_>> = text.lines().map(|line| line.strip_prefix("told ")).collect();
        Some(lines?.into_iter().rev().map(|line| format!("untold {line}\n")).collect())
    }

    fn is_resumable(&self, statement: &Statement) -> bool {
        statement.text.starts_with("index")
    }
}

#[derive(Debug)]
struct Open {
    session: Box<dyn Session>,
    driver: Indexes,
    /// A transaction of the body's own is open.
    begun: bool,
    /// So often `index locked` is.
    locked: u32,
}

impl Open {
    fn note(&self, text: String) {
        self.driver.sent.lock().unwrap().push(text);
    }
}

#[async_trait]
impl Session for Open {
    fn capabilities(&self) -> &Capabilities {
        self.session.capabilities()
    }

    async fn begin(&mut self, origin: Origin) -> Result<()> {
        self.session.begin(origin).await
    }

    async fn commit(&mut self, batch: &Batch) -> Result<Atomicity> {
        self.session.commit(batch).await
    }

    async fn rollback(&mut self) -> Result<Atomicity> {
        self.session.rollback().await
    }

    async fn execute(&mut self, statement: &Statement) -> Result<Outcome> {
        self.note(statement.text.clone());
        match statement.text.as_str() {
            "begin" => self.begun = true,
            "commit" => self.begun = false,
            "index slow" if self.driver.waits.swap(false, Ordering::SeqCst) => {
                self.driver.waiting.notify_one();
                std::future::pending::<()>().await;
            }
            "index locked" if self.locked > 0 => {
                self.locked -= 1;
                return Err(Error::Busy { waited: Duration::ZERO });
            }
            "broken" | "index broken" => return Err(Error::database("running a statement", None, "broken")),
            _ => {}
        }
        Ok(Outcome::default())
    }

    async fn resuming(&mut self, statement: &Statement, may_have_ended: bool) -> Result<bool> {
        self.note(format!("{}? {may_have_ended}", statement.text));
        Ok(may_have_ended)
    }

    fn in_transaction(&self) -> bool {
        self.begun
    }

    fn connection(&mut self) -> &mut (dyn Any + Send) {
        self.session.connection()
    }

    async fn close(self: Box<Self>) {
        self.session.close().await;
    }
}

#[tokio::test]
async fn only_where_an_earlier_run_came_to_is_looked_what_it_left() {
    let driver = Indexes::new();
    let error = driver.migrator("index a\nindex b\nindex broken\nindex d").up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    // Nobody has to look first.
    assert!(error.to_string().ends_with("start again: it goes on with this statement"), "{error}");
    assert_eq!(driver.sent(), ["index a", "index b", "index broken"]);
    driver.migrator("index a\nindex b\nindex c\nindex d").up().await.unwrap();
    assert_eq!(driver.sent(), ["index c? false", "index c", "index d"]);
}

/// In a transaction all of it runs again; what is put back goes on with nobody.
#[tokio::test]
async fn only_what_goes_on_by_itself_is_told_to() {
    let resumes = |error: Error| match error {
        Error::Failed(failure) | Error::Interrupted(failure) => failure.statement.unwrap().resumes,
        other => panic!("{other}"),
    };
    let outside = Indexes::new();
    assert!(resumes(outside.migrator("one\nindex broken").up().await.unwrap_err()));
    assert!(!resumes(Indexes::new().migrator("one\nbroken").up().await.unwrap_err()));
    let within = Indexes { database: MemoryDriver::new(), ..Indexes::new() };
    let one = SqlMigration::new("app", "1", "one\nindex broken").unwrap();
    let within = Migrator::new(within).migrations(Migrations::new([one]));
    assert!(!resumes(within.up().await.unwrap_err()));
}

#[tokio::test]
async fn what_had_ended_and_was_not_on_record_does_not_run_again() {
    let driver = Indexes::new();
    let migrator = driver.migrator("index a\nindex slow\nindex c");
    driver.drop_slow(migrator.up()).await;
    assert_eq!(driver.sent(), ["index a", "index slow"]);
    migrator.up().await.unwrap();
    assert_eq!(driver.sent(), ["index slow? true", "index c"]);
    migrator.ensure_current().await.unwrap();
}

#[tokio::test]
async fn one_that_can_simply_run_again_does_after_an_error_that_may_be_gone() {
    let driver = Indexes::new();
    driver.migrator("one\nindex locked\ntwo").up().await.unwrap();
    assert_eq!(driver.sent(), ["one", "index locked", "index locked", "index locked", "two"]);
}

/// Three migrations, of which the way back of the last one was interrupted in its second statement.
async fn half_way_back() -> (Indexes, Migrator) {
    let driver = Indexes::new();
    let migrator =
        driver.with_ways_back(&[("a", "index no a"), ("b", "index no b"), ("c", "index x\nindex slow\nindex y")]);
    migrator.up().await.unwrap();
    driver.drop_slow(migrator.down(Target::Back(1))).await;
    driver.sent();
    (driver, migrator)
}

#[tokio::test]
async fn a_way_back_that_was_interrupted_goes_on_where_it_can_simply_run_again() {
    for (target, sent, left) in [
        (Target::Back(1), &["index slow? true", "index y"][..], 2),
        (Target::Back(2), &["index slow? true", "index y", "index no b"], 1),
        (Target::BackTo("app/1".parse().unwrap()), &["index slow? true", "index y", "index no b"], 1),
        (Target::Nothing, &["index slow? true", "index y", "index no b", "index no a"], 0),
    ] {
        let (driver, migrator) = half_way_back().await;
        let plan = migrator.clone().target(target.clone()).plan().await.unwrap();
        assert_eq!(plan.steps[0].resume, Some(1), "{target}");
        migrator.down(target.clone()).await.unwrap();
        assert_eq!(driver.sent(), sent, "{target}");
        let status = migrator.status().await.unwrap();
        let applied = status.migrations.iter().filter(|one| one.standing == Standing::Applied).count();
        assert_eq!(applied, left, "{target}");
        assert_eq!(status.pending().len(), 3 - left, "{target}");
    }
}

#[tokio::test]
async fn nobody_goes_forwards_or_elsewhere_over_a_way_back_that_was_interrupted() {
    let (driver, migrator) = half_way_back().await;
    for target in [Target::Back(0), Target::BackTo("app/3".parse().unwrap()), Target::Again(1)] {
        let error = migrator.down(target.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{target}: {error}");
    }
    assert_eq!(migrator.up().await.unwrap_err().kind(), ErrorKind::Interrupted);
    assert!(driver.sent().is_empty());
}

/// What is to be done about an interruption is said of the way forwards.
#[tokio::test]
async fn a_way_back_that_cannot_simply_run_again_is_for_a_person() {
    let driver = Indexes::new();
    let migrator = driver.with_ways_back(&[("a", "index a\nslow b\nindex broken")]);
    migrator.up().await.unwrap();
    assert!(migrator.down(Target::Back(1)).await.is_err());
    let edited = driver.with_ways_back(&[("a", "index a\nslow b\nplain")]);
    for choice in [None, Some(OnInterrupt::Retry), Some(OnInterrupt::Probe)] {
        let mut policy = Policy::default();
        policy.on_interrupt = choice;
        let error = edited.clone().policy(policy).down(Target::Back(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{choice:?}: {error}");
    }
}

#[tokio::test]
async fn a_dialect_can_tell_the_way_back_of_what_has_none() {
    let driver = Indexes::new();
    let migrator = driver.with_ways_back(&[("told a\ntold b", ""), ("told c", "written")]);
    migrator.up().await.unwrap();
    driver.sent();
    let plan = migrator.clone().target(Target::Nothing).plan().await.unwrap();
    assert_eq!(plan.steps.len(), 2);
    migrator.down(Target::Nothing).await.unwrap();
    assert_eq!(driver.sent(), ["written", "untold b", "untold a"]);

    // Of what is not said in its words it tells none, and of what is repeatable there is an earlier form.
    let mixed = driver.with_ways_back(&[("told a\nother", "")]);
    mixed.up().await.unwrap();
    let error = mixed.down(Target::Back(1)).await.unwrap_err();
    assert!(error.to_string().contains("has no way back"), "{error}");
}

#[tokio::test]
async fn what_ran_in_a_transaction_of_its_own_is_on_record_at_its_end() {
    let driver = Indexes::new();
    driver.migrator("begin\none\ncommit\ntwo").up().await.unwrap();
    let records = driver.database.history().records;
    let steps: Vec<_> = records.iter().filter(|record| record.kind == RecordKind::StepDone).collect();
    assert_eq!(steps.iter().map(|record| record.step.unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(steps.iter().all(|record| record.duration_us.is_some()), "{steps:?}");
}
