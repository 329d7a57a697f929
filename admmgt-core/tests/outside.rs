//! Statements outside of a transaction, on a driver that can take some of them up again: those that begin with `index`.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

use std::any::Any;
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
            "index broken" => return Err(Error::database("running a statement", None, "broken")),
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
    assert_eq!(driver.sent(), ["index a", "index b", "index broken"]);
    driver.migrator("index a\nindex b\nindex c\nindex d").up().await.unwrap();
    assert_eq!(driver.sent(), ["index c? false", "index c", "index d"]);
}

#[tokio::test]
async fn what_had_ended_and_was_not_on_record_does_not_run_again() {
    let driver = Indexes::new();
    let migrator = driver.migrator("index a\nindex slow\nindex c");
    tokio::select! {
        ended = migrator.up() => panic!("it waits: {ended:?}"),
        () = driver.waiting.notified() => {}
    }
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

#[tokio::test]
async fn what_ran_in_a_transaction_of_its_own_is_on_record_at_its_end() {
    let driver = Indexes::new();
    driver.migrator("begin\none\ncommit\ntwo").up().await.unwrap();
    let records = driver.database.history().records;
    let steps: Vec<_> = records.iter().filter(|record| record.kind == RecordKind::StepDone).collect();
    assert_eq!(steps.iter().map(|record| record.step.unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(steps.iter().all(|record| record.duration_us.is_some()), "{steps:?}");
}
