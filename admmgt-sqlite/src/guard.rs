//! What keeps a body from ending the transaction it runs in, and tells if it did. A body without a
//! transaction of ours is not kept from anything.
//!
//! Prevention: an authorizer refuses transaction control, the guard's savepoint, writes to the
//! history and `PRAGMA foreign_keys`; a commit hook turns any commit that still happens into a
//! rollback. Detection: a savepoint, `is_autocommit` and a rollback hook, for a body that took the
//! hooks away, and for `INSERT OR ROLLBACK`, which SQLite allows at any time. Only what holds the
//! connection can take hooks away, so SQL that is run statement by statement needs no savepoint.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use crate::host::Stop;
use crate::store::PREFIX;

/// How many instructions of SQLite's machine run between two looks at the clock and the stop signal.
const PROGRESS_EVERY: i32 = 1000;

#[derive(Debug)]
pub(crate) struct Guard {
    savepoint: String,
    /// The savepoint was made in this transaction.
    stands: bool,
    flags: Arc<Flags>,
}

#[derive(Debug)]
struct Flags {
    /// A body runs.
    armed: AtomicBool,
    /// SQLite rolled the whole transaction back while the guard was armed.
    rolled_back: AtomicBool,
    /// A table was dropped or altered: foreign keys may point to nothing now.
    reshaped: AtomicBool,
    /// A PRAGMA was given a value.
    tuned: AtomicBool,
    /// The schema was written to as a table is.
    rewritten: AtomicBool,
    /// Something was made that is of this connection alone, or a database attached.
    of_session: AtomicBool,
    /// `PRAGMA case_sensitive_like` was given a value.
    likened: AtomicBool,
    /// What the body tried and may not do.
    denied: Mutex<Option<String>>,
    /// When the running statement has to end, in microseconds since `born`; 0 for never.
    deadline: AtomicU64,
    born: Instant,
    stop: Arc<Stop>,
}

impl Guard {
    /// A guard with a name of its own, not installed yet.
    pub(crate) fn new(stop: Arc<Stop>) -> Self {
        let flags = Flags {
            armed: AtomicBool::new(false),
            rolled_back: AtomicBool::new(false),
            reshaped: AtomicBool::new(false),
            tuned: AtomicBool::new(false),
            rewritten: AtomicBool::new(false),
            of_session: AtomicBool::new(false),
            likened: AtomicBool::new(false),
            denied: Mutex::new(None),
            deadline: AtomicU64::new(0),
            born: Instant::now(),
            stop,
        };
        Self { savepoint: format!("admmgt_{:016x}", fastrand::u64(..)), stands: false, flags: Arc::new(flags) }
    }

    /// Puts the hooks into a connection; again, after code that could have replaced them.
    pub(crate) fn install(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let (flags, savepoint) = (Arc::clone(&self.flags), self.savepoint.clone());
        connection.authorizer(Some(move |context: AuthContext<'_>| flags.judge(&context.action, &savepoint))).done()?;
        let flags = Arc::clone(&self.flags);
        connection.commit_hook(Some(move || flags.is_armed())).done()?;
        let flags = Arc::clone(&self.flags);
        connection
            .rollback_hook(Some(move || {
                if flags.is_armed() {
                    flags.rolled_back.store(true, Ordering::SeqCst);
                }
            }))
            .done()?;
        let flags = Arc::clone(&self.flags);
        connection.progress_handler(PROGRESS_EVERY, Some(move || flags.is_over())).done()
    }

    /// Takes the hooks out again.
    pub(crate) fn uninstall(connection: &mut Connection) -> rusqlite::Result<()> {
        connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>).done()?;
        connection.commit_hook(None::<fn() -> bool>).done()?;
        connection.rollback_hook(None::<fn()>).done()?;
        connection.progress_handler(0, None::<fn() -> bool>).done()
    }

    /// Makes the savepoint that stands between the transaction and the body, once, where there is a
    /// transaction to guard.
    pub(crate) fn stand(&mut self, db: &Connection) -> rusqlite::Result<()> {
        if self.stands || !self.flags.is_armed() {
            return Ok(());
        }
        self.disarm();
        let made = db.execute_batch(&format!("SAVEPOINT {}", self.savepoint));
        self.flags.armed.store(true, Ordering::SeqCst);
        self.stands = made.is_ok();
        made
    }

    /// Whether the savepoint, where one was made, is still there for this to be done to it.
    pub(crate) fn is_unbroken(&self, db: &Connection, action: &str) -> bool {
        !self.stands || db.execute_batch(&format!("{action} {}", self.savepoint)).is_ok()
    }

    /// A body begins.
    pub(crate) fn arm(&mut self) {
        self.stands = false;
        self.flags.rolled_back.store(false, Ordering::SeqCst);
        self.flags.reshaped.store(false, Ordering::SeqCst);
        *self.flags.denied.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.flags.armed.store(true, Ordering::SeqCst);
    }

    /// Whether a body is in the transaction.
    pub(crate) fn is_armed(&self) -> bool {
        self.flags.is_armed()
    }

    /// Does work of ours while the body has not ended.
    pub(crate) fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        let armed = self.flags.armed.swap(false, Ordering::SeqCst);
        let done = work();
        self.flags.armed.store(armed, Ordering::SeqCst);
        done
    }

    /// The body is over; what follows is ours.
    pub(crate) fn disarm(&self) {
        self.flags.armed.store(false, Ordering::SeqCst);
    }

    /// Whether SQLite took everything back while the body ran.
    pub(crate) fn saw_rollback(&self) -> bool {
        self.flags.rolled_back.load(Ordering::SeqCst)
    }

    /// Whether a body dropped or altered a table since this was asked last.
    pub(crate) fn take_reshaped(&self) -> bool {
        self.flags.reshaped.swap(false, Ordering::SeqCst)
    }

    /// Whether a PRAGMA was given a value since this was asked last.
    pub(crate) fn take_tuned(&self) -> bool {
        self.flags.tuned.swap(false, Ordering::SeqCst)
    }

    /// Whether a body could have written to the schema as to a table since this was asked last.
    pub(crate) fn take_rewritten(&self) -> bool {
        self.flags.rewritten.swap(false, Ordering::SeqCst)
    }

    /// Whether a body changed how LIKE compares since this was asked last.
    pub(crate) fn take_likened(&self) -> bool {
        self.flags.likened.swap(false, Ordering::SeqCst)
    }

    /// Whether a body made something temporary or attached a database.
    pub(crate) fn has_of_session(&self) -> bool {
        self.flags.of_session.load(Ordering::SeqCst)
    }

    /// As [`Guard::has_of_session`]; it is forgotten.
    pub(crate) fn take_of_session(&self) -> bool {
        self.flags.of_session.swap(false, Ordering::SeqCst)
    }

    /// What the body tried and was refused, in words that say what to do.
    pub(crate) fn denied(&self) -> Option<String> {
        self.flags.denied.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on the running statement may take so long.
    pub(crate) fn allow(&self, time: Option<Duration>) {
        let deadline = time.map_or(0, |time| micros(self.flags.born.elapsed().saturating_add(time)).max(1));
        self.flags.deadline.store(deadline, Ordering::SeqCst);
    }

    /// Whether the running statement took longer than it was allowed.
    pub(crate) fn is_late(&self) -> bool {
        self.flags.is_late()
    }
}

impl Flags {
    fn is_armed(&self) -> bool {
        self.armed.load(Ordering::SeqCst)
    }

    fn is_late(&self) -> bool {
        let deadline = self.deadline.load(Ordering::SeqCst);
        deadline != 0 && micros(self.born.elapsed()) > deadline
    }

    fn is_over(&self) -> bool {
        self.stop.is_asked() || self.is_late()
    }

    fn judge(&self, action: &AuthAction<'_>, savepoint: &str) -> Authorization {
        // The progress handler never sees statements of a few instructions each.
        if self.stop.is_asked() {
            return Authorization::Deny;
        }
        match action {
            AuthAction::Pragma { pragma_name, pragma_value: Some(_) } => {
                self.tuned.store(true, Ordering::SeqCst);
                if pragma_name.eq_ignore_ascii_case("writable_schema") {
                    self.rewritten.store(true, Ordering::SeqCst);
                } else if pragma_name.eq_ignore_ascii_case("case_sensitive_like") {
                    self.likened.store(true, Ordering::SeqCst);
                }
            }
            AuthAction::CreateTempTable { .. }
            | AuthAction::CreateTempView { .. }
            | AuthAction::CreateTempTrigger { .. }
            | AuthAction::Attach { .. } => self.of_session.store(true, Ordering::SeqCst),
            _ => {}
        }
        if !self.is_armed() {
            return Authorization::Allow;
        }
        let denied = match action {
            AuthAction::Transaction { .. } => {
                "it tried BEGIN, COMMIT or ROLLBACK, and the transaction is the executor's: the change and its record \
                 are committed together. Use `Connection::savepoint` instead of `Connection::transaction`, take \
                 transaction control out of SQL, or write `transaction = \"none\"` (in a SQL file: `-- no-transaction` as its first line)"
            }
            AuthAction::Savepoint { savepoint_name, .. } if savepoint_name.eq_ignore_ascii_case(savepoint) => {
                "it tried to end the savepoint that guards its transaction; use savepoints of its own"
            }
            AuthAction::Pragma { pragma_name, pragma_value: Some(_) }
                if pragma_name.eq_ignore_ascii_case("foreign_keys") =>
            {
                "it tried `PRAGMA foreign_keys`, which does nothing inside a transaction. Foreign keys are off while a \
                 migration runs and are checked before its commit: take the pragma out"
            }
            AuthAction::Insert { table_name }
            | AuthAction::Update { table_name, .. }
            | AuthAction::Delete { table_name }
            | AuthAction::DropTable { table_name }
            | AuthAction::AlterTable { table_name, .. }
            | AuthAction::CreateTable { table_name }
            | AuthAction::CreateTempTable { table_name }
            | AuthAction::CreateView { view_name: table_name }
            | AuthAction::CreateTempView { view_name: table_name }
            | AuthAction::CreateIndex { table_name, .. }
            | AuthAction::CreateTrigger { table_name, .. }
            | AuthAction::CreateTempTrigger { table_name, .. }
                if table_name.to_ascii_lowercase().starts_with(PREFIX) =>
            {
                "it tried to change admmgt's own tables, which only the executor writes; take that out"
            }
            AuthAction::DropTable { .. } | AuthAction::AlterTable { .. } => {
                self.reshaped.store(true, Ordering::SeqCst);
                return Authorization::Allow;
            }
            _ => return Authorization::Allow,
        };
        *self.denied.lock().unwrap_or_else(PoisonError::into_inner) = Some(denied.to_owned());
        Authorization::Deny
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Setting a hook returns nothing in older versions of rusqlite and a `Result` in newer ones.
trait Done {
    fn done(self) -> rusqlite::Result<()>;
}

impl Done for () {
    fn done(self) -> rusqlite::Result<()> {
        Ok(())
    }
}

impl Done for rusqlite::Result<()> {
    fn done(self) -> rusqlite::Result<()> {
        self
    }
}
