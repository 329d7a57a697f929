//! [`FaultyDriver`]: a driver of which a chosen call fails, is late, or has its answer lost.

mod lease;
mod session;
mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use admmgt_core::{
    Backend, BoxFuture, Dialect, Driver, Error, Head, Namespace, Result, Session, SessionOptions, StateStore,
};
use async_trait::async_trait;

use self::session::FaultySession;
use self::store::FaultyStore;

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It is not made, and an error is returned. The connection stays as that call's errors leave it: a commit that fails
    /// has rolled back, and a rollback fails only where the connection is lost.
    Error,
    /// The connection breaks before it arrives: it is not made, and everything after it fails until
    /// another connection is opened.
    LostRequest,
    /// It is made so much later.
    Delay(Duration),
    /// It is made, and the connection breaks before the answer arrives: everything after it fails until
    /// another connection is opened.
    LostReply,
}

/// Passes everything on to another driver, and counts the calls; some of them meet a fault. For one run at a time:
/// which call belongs to which of several connections it does not know.
///
/// ```
/// use admmgt_core::{MemoryDriver, Migrations, Migrator, SqlMigration};
/// use admmgt_testkit::{Fault, FaultyDriver};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let database = MemoryDriver::new();
/// let users = Migrations::new([SqlMigration::new("app", "0001_users", "create users")?]);
///
/// let driver = FaultyDriver::new(database.clone());
/// Migrator::new(driver.clone()).migrations(users.clone()).up().await?;
/// let commit = driver.calls().iter().position(|call| *call == "commit").expect("it commits") + 1;
///
/// let database = MemoryDriver::new();
/// let driver = FaultyDriver::new(database.clone()).fault(commit, Fault::LostReply);
/// let report = Migrator::new(driver).migrations(users).up().await?;   // it connects again, and looks
/// assert_eq!(database.journal(), ["create users"]);
/// assert_eq!(report.ran.len(), 1);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct FaultyDriver {
    inner: Arc<dyn Driver>,
    faults: Faults,
}

impl fmt::Debug for FaultyDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyDriver").field("inner", &self.inner).finish_non_exhaustive()
    }
}

type Watch = dyn Fn(&str) + Send + Sync;

/// What is planned, and what has happened.
#[derive(Clone, Default)]
struct Faults {
    planned: BTreeMap<usize, Fault>,
    watch: Option<Arc<Watch>>,
    calls: Arc<Mutex<Vec<&'static str>>>,
    /// The present connection is broken.
    broken: Arc<AtomicBool>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("planned", &self.planned).finish_non_exhaustive()
    }
}

impl FaultyDriver {
    /// A driver without faults, yet.
    pub fn new(inner: impl Driver) -> Self {
        Self { inner: Arc::new(inner), faults: Faults::default() }
    }

    /// The call of that number, counted from 1, meets a fault.
    pub fn fault(mut self, call: usize, fault: Fault) -> Self {
        self.faults.planned.insert(call, fault);
        self
    }

    /// Calls `watch` before and after every call, with `before commit` and `after commit`: there a test can wait, or
    /// the process can die.
    pub fn watch(mut self, watch: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.faults.watch = Some(Arc::new(watch));
        self
    }

    /// The calls so far, by the names of the methods of [`Driver`], [`Session`], [`StateStore`] and
    /// [`Lease`](admmgt_core::Lease).
    pub fn calls(&self) -> Vec<&'static str> {
        self.faults.calls().clone()
    }
}

impl Faults {
    fn calls(&self) -> MutexGuard<'_, Vec<&'static str>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }

    fn pass(&self, when: &str, call: &str) {
        if let Some(watch) = &self.watch {
            watch(&format!("{when} {call}"));
        }
    }

    /// Counts a call, and says what it meets.
    fn next(&self, call: &'static str) -> Option<Fault> {
        let mut calls = self.calls();
        calls.push(call);
        self.planned.get(&calls.len()).copied()
    }

    /// Makes a call, or not.
    async fn call<T>(&self, call: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        if self.is_broken() {
            return Err(lost());
        }
        let fault = self.next(call);
        self.pass("before", call);
        match fault {
            Some(Fault::Error) => return Err(Error::database(call, None, Injected)),
            Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
            Some(Fault::LostRequest) => {
                self.broken.store(true, Ordering::SeqCst);
                return Err(lost());
            }
            Some(Fault::LostReply) | None => {}
        }
        let result = work.await;
        if fault == Some(Fault::LostReply) {
            self.broken.store(true, Ordering::SeqCst);
            return Err(lost());
        }
        self.pass("after", call);
        result
    }
}

/// What the database seems to answer.
#[derive(Debug)]
struct Injected;

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an injected fault")
    }
}

impl std::error::Error for Injected {}

fn is_injected(error: &Error) -> bool {
    matches!(error, Error::Database { error, .. } if error.is::<Injected>())
}

fn lost() -> Error {
    Error::ConnectionLost { what: "the database".to_owned(), problem: "an injected fault".to_owned() }
}

#[async_trait]
impl Driver for FaultyDriver {
    fn backend(&self) -> Backend {
        self.inner.backend()
    }

    fn dialect(&self) -> Arc<dyn Dialect> {
        self.inner.dialect()
    }

    fn store(&self) -> Arc<dyn StateStore> {
        Arc::new(FaultyStore { inner: self.inner.store(), faults: self.faults.clone() })
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        self.faults.broken.store(false, Ordering::SeqCst);
        let session = self.faults.call("open", self.inner.open(options)).await?;
        Ok(Box::new(FaultySession { inner: session, faults: self.faults.clone() }))
    }

    async fn peek(&self, options: &SessionOptions, namespaces: &[Namespace]) -> Result<Option<Head>> {
        self.faults.broken.store(false, Ordering::SeqCst);
        self.faults.call("peek", self.inner.peek(options, namespaces)).await
    }

    /// Not a call of its own: everything else happens in it. It is watched.
    async fn host(&self, run: BoxFuture<'static, ()>) -> Result<()> {
        self.faults.pass("before", "host");
        let hosted = self.inner.host(run).await;
        self.faults.pass("after", "host");
        hosted
    }

    /// Not a call: it asks the database for nothing.
    async fn settled(&self) {
        self.inner.settled().await;
    }
}
