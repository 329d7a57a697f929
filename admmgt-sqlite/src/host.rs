//! The thread of a run: its connection and its lease live and die there, and the application's
//! runtime is never blocked.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use admmgt_core::{BoxFuture, Error, Result};
use rusqlite::InterruptHandle;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

thread_local! {
    /// The stop signal of the run that this thread drives.
    static CURRENT: RefCell<Option<Arc<Stop>>> = const { RefCell::new(None) };
}

/// Tells a run that nobody waits for it any more.
#[derive(Default)]
pub(crate) struct Stop {
    asked: AtomicBool,
    wake: Notify,
    interrupt: Mutex<Option<InterruptHandle>>,
}

impl Stop {
    /// The signal of this thread's run; one that is never given on any other thread.
    pub(crate) fn current() -> Arc<Self> {
        CURRENT.with_borrow(Clone::clone).unwrap_or_default()
    }

    /// Whether the run was dropped.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// The connection whose statement is cut short.
    pub(crate) fn watch(&self, handle: InterruptHandle) {
        *self.interrupt.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
    }

    /// Never returns once the run was dropped, so that nothing more of it is done.
    pub(crate) async fn checkpoint(&self) {
        if self.is_asked() {
            std::future::pending::<()>().await;
        }
    }

    fn ask(&self) {
        // The flag first: an interrupt between two statements is lost, and the progress handler of
        // the next one looks at the flag.
        self.asked.store(true, Ordering::SeqCst);
        self.wake.notify_one();
        if let Some(handle) = &*self.interrupt.lock().unwrap_or_else(PoisonError::into_inner) {
            handle.interrupt();
        }
    }
}

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stop").field("asked", &self.is_asked()).finish_non_exhaustive()
    }
}

/// Asks the run to stop when its caller goes away.
struct StopOnDrop(Option<Arc<Stop>>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(stop) = &self.0 {
            stop.ask();
        }
    }
}

/// Drives a run on a thread of its own. Dropping this future stops the run: its statement is
/// interrupted, and the thread rolls back, closes the connection and frees the lease.
pub(crate) async fn host(run: BoxFuture<'static, ()>) -> Result<()> {
    let runtime = runtime()?;
    let stop = Arc::new(Stop::default());
    let (sender, receiver) = oneshot::channel();
    let dispatch = tracing::dispatcher::get_default(Clone::clone);
    let signal = Arc::clone(&stop);
    let thread = std::thread::Builder::new().name("admmgt-sqlite".to_owned());
    let spawned = thread.spawn(move || {
        CURRENT.set(Some(Arc::clone(&signal)));
        tracing::dispatcher::with_default(&dispatch, || runtime.block_on(until(&signal, run)));
        // The caller may be gone.
        let _ = sender.send(());
    });
    spawned.map_err(|error| Error::Usage { problem: format!("cannot start the connection's thread: {error}") })?;
    let mut guard = StopOnDrop(Some(stop));
    let ended = receiver.await;
    guard.0 = None;
    ended.map_err(|_| Error::Usage { problem: "the connection's thread panicked; see its message above".to_owned() })
}

/// Runs a short piece of blocking work on a thread that the runtime keeps for that.
pub(crate) async fn briefly<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let joined = runtime()?.spawn_blocking(work).await;
    joined.unwrap_or_else(|error| Err(Error::Usage { problem: format!("reading the database was cut short: {error}") }))
}

fn runtime() -> Result<Handle> {
    Handle::try_current().map_err(|_| Error::Usage {
        problem: "this must be called inside a tokio runtime, for example under `#[tokio::main]`".to_owned(),
    })
}

/// Polls the run until it ends or is stopped, and drops it before returning.
async fn until(stop: &Stop, mut run: BoxFuture<'static, ()>) {
    let mut stopped = pin!(stop.wake.notified());
    poll_fn(|task| {
        if stop.is_asked() || stopped.as_mut().poll(task).is_ready() {
            return Poll::Ready(());
        }
        let run: Pin<&mut (dyn Future<Output = ()> + Send)> = run.as_mut();
        run.poll(task)
    })
    .await;
}
