//! The history, as a table of the database itself; the heads stand in its last row. The only file with SQL of our own tables.

mod columns;

use std::time::Duration;

use admmgt_core::{
    Acquired, Batch, Checkpoint, CheckpointKey, Error, ForeignHistory, Head, History, LeaseRequest, Namespace, Result,
    Session, StateStore, Token, async_trait, stored,
};
use rusqlite::{Connection, params};

use self::columns::SqliteRow;
use crate::error::{self, Asked};
use crate::foreign;
use crate::journal::{self, Journal};
use crate::lease;
use crate::place::Place;
use crate::rows;
use crate::session::SqliteSession;

/// What the names of our tables start with.
pub(crate) const PREFIX: &str = "_admmgt_";

// `main.` everywhere: a temporary table of the same name would come first.

// The history is read with every column checked, and none is declared NOT NULL: for each of those SQLite
// compiles words for an error into each insert, a quarter of its work.
const CREATE: &str = "
CREATE TABLE IF NOT EXISTS main._admmgt_format (
    format INTEGER NOT NULL,
    began  INTEGER NOT NULL -- 1 once there was a record: an empty history was emptied by hand
);
CREATE TABLE IF NOT EXISTS main._admmgt_history (
    seq         INTEGER PRIMARY KEY,
    namespace   TEXT,
    id          TEXT,
    kind        TEXT,
    direction   TEXT,
    at          INTEGER, -- milliseconds since 1970, by the clock of the writer
    run         TEXT,
    checksum    TEXT,
    origin      TEXT,
    step        INTEGER,
    steps       INTEGER,
    duration_us INTEGER,
    by          TEXT,
    host        TEXT,
    library     TEXT,
    detail      TEXT,
    body        BLOB,
    codec       TEXT,
    heads       TEXT -- of all namespaces after this record, in the last record of a transaction
);
INSERT INTO main._admmgt_format (format, began) SELECT 1, 0 WHERE NOT EXISTS (SELECT 1 FROM main._admmgt_format);
";

// A subquery in the list of columns: as a join it costs a start-up with nothing to do a seventh more.
const HEADS: &str = "SELECT format, (SELECT heads FROM main._admmgt_history ORDER BY seq DESC LIMIT 1)
                     FROM main._admmgt_format";

/// In the order of the table, without `heads`.
macro_rules! columns {
    () => {
        "seq, namespace, id, kind, direction, at, run, checksum, origin, step, steps, duration_us, by, host, \
         library, detail, body, codec"
    };
}

macro_rules! values {
    () => {
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    };
}

/// Columns that hold nothing in some records: an older table may lack them.
const OPTIONAL: [(&str, &str); 6] = [
    ("step", "INTEGER"),
    ("steps", "INTEGER"),
    ("duration_us", "INTEGER"),
    ("detail", "TEXT"),
    ("body", "BLOB"),
    ("codec", "TEXT"),
];

/// All records, with nothing for what this table lacks.
fn records(db: &Connection) -> rusqlite::Result<String> {
    let there = columns(db)?;
    let lacks = |name: &str| OPTIONAL.iter().any(|(one, _)| *one == name) && there.iter().all(|column| column != name);
    let asked: Vec<&str> = stored::COLUMNS.iter().map(|name| if lacks(name) { "NULL" } else { *name }).collect();
    Ok(format!("SELECT {} FROM main._admmgt_history ORDER BY seq", asked.join(", ")))
}

/// The columns that the table has, in its order.
fn columns(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = db.prepare("SELECT name FROM pragma_table_info('_admmgt_history', 'main') ORDER BY cid")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// Adds what a table of an older version lacks.
fn add_columns(session: &SqliteSession) -> Result<()> {
    let there = columns(session.db()?).map_err(|error| session.failed("reading the schema", error))?;
    for (name, kind) in OPTIONAL.iter().filter(|(name, _)| there.iter().all(|column| column != name)) {
        let add = format!("ALTER TABLE main._admmgt_history ADD COLUMN {name} {kind}");
        session.batch("adding a column to the history", &add)?;
    }
    Ok(())
}

/// How a record is written. SQLite compiles it again after each change of the schema, so for most
/// migrations, and nineteen names are a third of that work: they are left out where the table has no
/// columns but ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Insert {
    #[default]
    ByName,
    ByPlace,
}

impl Insert {
    fn sql(self) -> &'static str {
        match self {
            Self::ByName => concat!("INSERT INTO main._admmgt_history (", columns!(), ", heads) ", values!()),
            Self::ByPlace => concat!("INSERT INTO main._admmgt_history ", values!()),
        }
    }

    /// What suits the table as it is.
    fn suiting(db: &Connection) -> rusqlite::Result<Self> {
        let names = columns(db)?;
        let ours = concat!(columns!(), ", heads").split(", ");
        Ok(if ours.eq(names.iter().map(String::as_str)) { Self::ByPlace } else { Self::ByName })
    }
}

const BEGAN: &str = "UPDATE main._admmgt_format SET began = 1";

/// The history of a SQLite database.
#[derive(Debug)]
pub(crate) struct SqliteStore;

#[async_trait]
impl StateStore for SqliteStore {
    async fn head(&self, session: &mut dyn Session, _: &[Namespace]) -> Result<Option<Head>> {
        let session = own(session)?;
        head(session.db()?, &session.place().name(), session.patience())
    }

    async fn prepare(&self, session: &mut dyn Session) -> Result<()> {
        let session = own(session)?;
        if let (Place::File { .. }, Journal::Wal) = (session.place(), session.journal()) {
            journal::write_ahead(session)?;
        }
        session.batch("beginning a transaction", "BEGIN IMMEDIATE")?;
        let created = create(session).and_then(|insert| session.batch("committing", "COMMIT").map(|()| insert));
        if created.is_err() {
            session.undo()?;
        }
        session.insert = created?;
        Ok(())
    }

    async fn history(&self, session: &mut dyn Session) -> Result<History> {
        let session = own(session)?;
        // One transaction, so that records and heads are of one moment.
        let alone = session.db()?.is_autocommit();
        if alone {
            session.batch("beginning to read", "BEGIN")?;
        }
        let history = history(session);
        if alone {
            session.undo()?;
        }
        let history = history?;
        session.saw(history.records.last().map_or(0, |record| record.seq));
        Ok(history)
    }

    async fn append(&self, session: &mut dyn Session, batch: &Batch) -> Result<()> {
        let session = own(session)?;
        session.batch("beginning a transaction", "BEGIN IMMEDIATE")?;
        let written = append(session, batch).and_then(|()| session.batch("committing", "COMMIT"));
        if written.is_err() {
            session.undo()?;
        }
        written?;
        if let Some(record) = batch.records.last() {
            session.saw(record.seq);
        }
        Ok(())
    }

    async fn checkpoint(&self, session: &mut dyn Session, key: &CheckpointKey) -> Result<Option<Checkpoint>> {
        rows::checkpoint(own(session)?, key)
    }

    async fn save_checkpoint(
        &self,
        session: &mut dyn Session,
        key: &CheckpointKey,
        checkpoint: &Checkpoint,
        _: Option<Token>,
    ) -> Result<()> {
        rows::save(own(session)?, key, checkpoint)
    }

    async fn names(&self, session: &mut dyn Session) -> Result<Vec<String>> {
        let session = own(session)?;
        let names = || {
            let mut names = session.db().ok()?.prepare(NAMES).ok()?;
            names.query_map([], |row| row.get(0)).ok()?.collect::<rusqlite::Result<_>>().ok()
        };
        // What cannot be read now is found where it is needed.
        Ok(names().unwrap_or_default())
    }

    async fn foreign(&self, session: &mut dyn Session) -> Result<Vec<ForeignHistory>> {
        let session = own(session)?;
        foreign::histories(session.db()?).map_err(|error| session.failed("reading the history of another tool", error))
    }

    async fn acquire(&self, session: &mut dyn Session, request: &LeaseRequest) -> Result<Acquired> {
        lease::acquire(own(session)?, request)
    }
}

/// The tables and views of the database besides what is SQLite's and ours; indexes and triggers go with their tables.
const NAMES: &str = "SELECT name FROM main.sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
                     AND name NOT LIKE '\\_admmgt\\_%' ESCAPE '\\'";

/// Adds records where they belong, directly after the last one, in the transaction that is open.
pub(crate) fn append(session: &SqliteSession, batch: &Batch) -> Result<()> {
    let db = session.db()?;
    let last = last_seq(db).map_err(|error| session.failed("reading the history again", error))?;
    if batch.after().is_some_and(|after| after != last) {
        return Err(Error::HistoryMoved { problem: format!("its last record is {last}") });
    }
    session.without_a_trace(|| {
        write(db, session.insert, batch)
            .map_err(|error| moved(error, |error| session.failed("writing the history", error)))
    })
}

fn own(session: &mut dyn Session) -> Result<&mut SqliteSession> {
    session.connection().downcast_mut().ok_or_else(|| Error::wrong_backend("rusqlite::Connection"))
}

/// The heads, or `None` where our tables are not there.
pub(crate) fn head(db: &Connection, what: &str, patience: Duration) -> Result<Option<Head>> {
    let asked = Asked { what, patience };
    let read = || read_heads(db);
    let failed = match read() {
        Ok(head) => return head.map(Some),
        Err(error) => asked.failed("reading the heads", error),
    };
    // "No such table" is bare code 1, which can mean anything: ask the schema.
    match tables(db) {
        Ok(tables) if tables.is_empty() => Ok(None),
        // They are there, and may have been made since the first look.
        Ok(tables) => {
            stored::check_tables(named(&tables))?;
            format_of(db)?;
            let read = read().map_err(|error| match asked.failed("reading the heads", error) {
                Error::Database { error, .. } => Error::corrupt(
                    "the history tables",
                    format!("{error}. Somebody changed them by hand; restore them from a backup"),
                ),
                other => other,
            });
            read?.map(Some)
        }
        Err(error) => match asked.failed("reading the schema", error) {
            busy @ Error::Busy { .. } => Err(busy),
            _ => Err(failed),
        },
    }
}

/// Creates what is missing; refuses what is newer or not ours. Says how records are written.
fn create(session: &SqliteSession) -> Result<Insert> {
    let db = session.db()?;
    let tables = tables(db).map_err(|error| session.failed("reading the schema", error))?;
    stored::all_are_tables(named(&tables))?;
    if tables.iter().any(|(name, _)| name == "_admmgt_format") {
        format_of(db)?;
    }
    session.batch("creating the history tables", CREATE)?;
    add_columns(session)?;
    Insert::suiting(db).map_err(|error| session.failed("reading the schema", error))
}

/// Our tables, and what they are.
fn tables(db: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let mut statement =
        db.prepare("SELECT name, type FROM main.sqlite_schema WHERE substr(name, 1, 8) = '_admmgt_'")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// The names of our tables with what they are.
fn named(ours: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> + Clone {
    ours.iter().map(|(name, kind)| (&**name, &**kind))
}

fn has_begun(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("SELECT max(began) FROM main._admmgt_format", [], |row| row.get::<_, Option<bool>>(0))
        .map(Option::unwrap_or_default)
}

/// The stored format, if this version can read it.
fn format_of(db: &Connection) -> Result<()> {
    let found = db.query_row("SELECT max(format) FROM main._admmgt_format", [], |row| row.get::<_, Option<i64>>(0));
    match found {
        Ok(None) => Ok(()),
        Ok(Some(found)) => stored::check_format("table `_admmgt_format`", found),
        Err(error) => Err(Error::corrupt("table `_admmgt_format`", format!("it cannot be read: {error}"))),
    }
}

/// The outer result is the database's, the inner one is about what the rows say.
fn read_heads(db: &Connection) -> rusqlite::Result<Result<Head>> {
    let mut statement = db.prepare(HEADS)?;
    let mut rows = statement.query([])?;
    let mut head = Head::default();
    while let Some(row) = rows.next()? {
        match columns::heads(row) {
            Ok(found) => head.namespaces.extend(found),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(head))
}

fn history(session: &SqliteSession) -> Result<History> {
    let db = session.db()?;
    let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
        // Bare code 1, or none where rusqlite says where in the text: a column is not there.
        None | Some(rusqlite::ErrorCode::Unknown) => {
            let words = error::without_literals(&error).unwrap_or_else(|| error.to_string());
            Error::corrupt("the history tables", format!("they cannot be read: {words}"))
        }
        _ => session.failed("reading the history", error),
    };
    let tables = tables(db).map_err(failed)?;
    if tables.is_empty() {
        return Ok(History::default());
    }
    stored::check_tables(named(&tables))?;
    format_of(db)?;
    let head = read_heads(db).map_err(failed)??;
    let mut statement = db.prepare(&records(db).map_err(failed)?).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut records = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        records.push(stored::record(&SqliteRow(row))?);
    }
    let began = records.is_empty() && has_begun(db).map_err(failed)?;
    stored::read(records, head.namespaces.into_iter().collect(), began)
}

/// The number of the last record; 0 without any.
pub(crate) fn last_seq(db: &Connection) -> rusqlite::Result<u64> {
    let mut statement = db.prepare("SELECT max(seq) FROM main._admmgt_history")?;
    let last: Option<i64> = statement.query_row([], |row| row.get(0))?;
    Ok(last.and_then(|last| u64::try_from(last).ok()).unwrap_or(0))
}

/// Adds records and moves heads, inside whatever transaction is open.
pub(crate) fn write(db: &Connection, insert: Insert, batch: &Batch) -> rusqlite::Result<()> {
    let heads = stored::heads_text(&batch.heads);
    let last = batch.records.last().map(|record| record.seq);
    let mut insert = db.prepare(insert.sql())?;
    for record in &batch.records {
        let (body, codec) = stored::body(record).unzip();
        insert.execute(params![
            signed(record.seq),
            record.migration.namespace().as_str(),
            record.migration.id(),
            record.kind.as_str(),
            stored::direction(record.direction),
            record.at.0,
            record.run.as_str(),
            record.checksum.as_str(),
            stored::origin(record.origin),
            record.step,
            record.steps,
            record.duration_us.map(signed),
            record.by.as_str(),
            record.host.as_str(),
            record.library.as_str(),
            record.detail,
            body,
            codec,
            (Some(record.seq) == last).then_some(&heads),
        ])?;
    }
    if batch.after() == Some(0) {
        db.execute(BEGAN, [])?;
    }
    Ok(())
}

/// A record with that number is there already: somebody else wrote it.
pub(crate) fn moved(error: rusqlite::Error, otherwise: impl FnOnce(rusqlite::Error) -> Error) -> Error {
    let code = error.sqlite_error().map(|error| error.extended_code);
    if code == Some(rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY) {
        return Error::HistoryMoved { problem: "a record with the next number is there already".to_owned() };
    }
    otherwise(error)
}

pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
