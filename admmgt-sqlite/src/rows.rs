//! The batches of a table's rows, and how far they have come.

use admmgt_core::{BatchEnd, Batches, BoxError, Checkpoint, CheckpointKey, Context, Error, Result, Rows, async_trait};
use rusqlite::{Connection, OptionalExtension, params};

use crate::session::SqliteSession;
use crate::store::signed;

/// The rows of a table in the order of its key. A key is SQL, as `quote()` writes it.
#[derive(Debug)]
pub(crate) struct SqliteRows(pub(crate) Rows);

#[async_trait]
impl Batches for SqliteRows {
    async fn next(&mut self, cx: &mut Context, after: Option<&str>, count: u64) -> Result<Option<BatchEnd>, BoxError> {
        let session = session(cx)?;
        if after.is_none() {
            self.check(session).await?;
        }
        let key = self.quoted();
        let end = session.look(READING, &self.0.nth(&key, after, count), |row| row.get::<_, String>(0)).await?;
        if let Some(end) = end {
            return Ok(Some(BatchEnd::new(end, count)));
        }
        let last = session.look(READING, &self.0.last(&key, after), |row| Ok((row.get(0)?, row.get(1)?))).await?;
        Ok(last.map(|(key, rows): (String, i64)| BatchEnd::new(key, rows.unsigned_abs())))
    }

    async fn change(&mut self, cx: &mut Context, after: Option<&str>, end: &str) -> Result<u64, BoxError> {
        Ok(cx.execute(self.0.update(after, end)).await?.rows_affected)
    }

    async fn estimate(&mut self, cx: &mut Context) -> Result<Option<u64>, BoxError> {
        let sql = format!("select count(*) from {}", self.0.table);
        let count: Option<i64> = session(cx)?.look("counting the rows", &sql, |row| row.get(0)).await?;
        Ok(count.map(i64::unsigned_abs))
    }
}

const READING: &str = "looking for the end of a batch";

impl SqliteRows {
    fn quoted(&self) -> String {
        let columns: Vec<String> = self.0.key.iter().map(|column| format!("quote({column})")).collect();
        columns.join(" || ', ' || ")
    }

    async fn check(&self, session: &mut SqliteSession) -> Result<()> {
        match session.look(READING, &self.0.keyless(), |_| Ok(())).await? {
            None => Ok(()),
            Some(()) => Err(self.0.keyless_error()),
        }
    }
}

fn session(cx: &mut Context) -> Result<&mut SqliteSession> {
    cx.connection().downcast_mut().ok_or_else(|| Error::wrong_backend("rusqlite::Connection"))
}

// The words of the columns are those of the core; `WITHOUT ROWID`, so that no rowid of ours is the last inserted one.
const CREATE: &str = "CREATE TABLE IF NOT EXISTS main._admmgt_checkpoint (
    name     TEXT PRIMARY KEY, -- of the migration and its backfill
    begun    INTEGER,
    last_key TEXT,
    seen     INTEGER,
    changed  INTEGER,
    ended    INTEGER
) WITHOUT ROWID";

/// How far a backfill has come.
pub(crate) fn checkpoint(session: &SqliteSession, key: &CheckpointKey) -> Result<Option<Checkpoint>> {
    session.batch("creating the table of checkpoints", CREATE)?;
    let found = read(session.db()?, key).map_err(|error| session.failed("reading a checkpoint", error))?;
    let Some((begun, after, seen, changed, ended)) = found else { return Ok(None) };
    let count = |value: i64| {
        let place = format!("the row of `{key}` in `_admmgt_checkpoint`");
        u64::try_from(value).map_err(|_| Error::corrupt(place, format!("it counts {value}; restore it from a backup")))
    };
    Ok(Some(Checkpoint::stored(count(begun)?, after, count(seen)?, count(changed)?, ended)))
}

type Stored = (i64, Option<String>, i64, i64, bool);

fn read(db: &Connection, key: &CheckpointKey) -> rusqlite::Result<Option<Stored>> {
    let mut found =
        db.prepare("SELECT begun, last_key, seen, changed, ended FROM main._admmgt_checkpoint WHERE name = ?1")?;
    let stored = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
    found.query_row([key.to_string()], stored).optional()
}

const SAVING: &str = "saving a checkpoint";

/// Saves it, in the transaction that is open.
pub(crate) fn save(session: &SqliteSession, key: &CheckpointKey, checkpoint: &Checkpoint) -> Result<()> {
    let Checkpoint { begun, after, seen, changed, ended, .. } = checkpoint;
    let sql = "INSERT OR REPLACE INTO main._admmgt_checkpoint VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let values = params![key.to_string(), signed(*begun), after, signed(*seen), signed(*changed), ended];
    session.aside(SAVING, || {
        let saved = session.db()?.execute(sql, values);
        saved.map(drop).map_err(|error| session.failed(SAVING, error))
    })
}
