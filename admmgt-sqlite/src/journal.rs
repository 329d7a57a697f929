//! The journal mode of a file, and how it is set.

use std::time::{Duration, Instant};

use admmgt_core::{Error, Result};
use rusqlite::Connection;

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

/// A write-ahead log of so many bytes is looked at: SQLite itself puts it into the database from 4 MB on.
const LARGE: u64 = 16 << 20;

/// What is in a write-ahead log goes into the database when nobody reads an older state any more. Whoever reads for long
/// lets it grow without a bound, and makes every other reader slower: that has to be told. Only a large file is asked about.
pub(crate) fn starved(db: &Connection, name: &str) -> Option<String> {
    let file = format!("{}-wal", db.path().filter(|path| !path.is_empty())?);
    if std::fs::metadata(&file).ok()?.len() < LARGE {
        return None;
    }
    let asked = db.query_row("PRAGMA main.wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)));
    let (pages, done): (i64, i64) = asked.ok()?;
    let size: i64 = db.query_row("PRAGMA main.page_size", [], |row| row.get(0)).ok()?;
    let left = u64::try_from((pages - done).saturating_mul(size)).ok()?;
    (left >= LARGE).then(|| {
        format!(
            "{} MB of the write-ahead log of `{name}` cannot be put into the database, because somebody has been reading \
             since before it was written; it grows, and slows every reader, until that transaction ends",
            left >> 20
        )
    })
}
