//! The journal mode of a file, and how it is set.

use std::time::{Duration, Instant};

use admmgt_core::{Error, Result};

use crate::session::SqliteSession;

/// The journal mode of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Journal {
    /// `WAL`, set before the first migration runs: other connections go on reading while one does.
    #[default]
    Wal,
    /// As it is.
    Keep,
}

/// Switches to the write-ahead log. SQLite does not wait for other connections here, so this does.
pub(crate) fn write_ahead(session: &SqliteSession) -> Result<()> {
    let clock = Instant::now();
    loop {
        let mode = session.db()?.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0));
        match mode.map_err(|error| session.failed("switching to the write-ahead log", error)) {
            // A file system without shared memory keeps its mode and says so: then readers wait.
            Ok(_) => return Ok(()),
            Err(Error::Busy { .. }) if clock.elapsed() < session.patience() => {
                std::thread::sleep(Duration::from_millis(fastrand::u64(5..25)));
            }
            Err(error) => return Err(error),
        }
    }
}
