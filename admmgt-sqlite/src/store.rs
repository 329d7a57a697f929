//! History and heads, as tables of the database itself. The only file with SQL of our own tables.

use std::time::Duration;

use admmgt_core::{
    Acquired, ArchivedBody, Batch, Checksum, Digest, Direction, Error, FORMAT, Head, History, LeaseRequest,
    MigrationId, Namespace, NamespaceHead, Origin, Record, RecordKind, Result, RunId, Session, StateStore, Timestamp,
    async_trait,
};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};

use crate::driver::Journal;
use crate::error::Asked;
use crate::lease;
use crate::place::Place;
use crate::session::SqliteSession;

/// What the names of our tables start with.
pub(crate) const PREFIX: &str = "_admmgt_";

const CREATE: &str = "
CREATE TABLE IF NOT EXISTS _admmgt_format (format INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS _admmgt_history (
    seq         INTEGER PRIMARY KEY,
    namespace   TEXT NOT NULL,
    id          TEXT NOT NULL,
    kind        TEXT NOT NULL,
    direction   TEXT NOT NULL,
    at          INTEGER NOT NULL, -- milliseconds since 1970, by the clock of the writer
    run         TEXT NOT NULL,
    checksum    TEXT NOT NULL,
    origin      TEXT NOT NULL,
    step        INTEGER,
    steps       INTEGER,
    duration_us INTEGER,
    by          TEXT NOT NULL,
    host        TEXT NOT NULL,
    library     TEXT NOT NULL,
    detail      TEXT,
    body        BLOB,
    codec       TEXT
);
CREATE TABLE IF NOT EXISTS _admmgt_head (
    namespace TEXT PRIMARY KEY,
    digest    TEXT NOT NULL,
    count     INTEGER NOT NULL,
    seq       INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO _admmgt_format SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM _admmgt_format);
";

const HEADS: &str = "SELECT f.format, h.namespace, h.digest, h.count, h.seq
                     FROM _admmgt_format f LEFT JOIN _admmgt_head h";

const RECORDS: &str = "SELECT seq, namespace, id, kind, direction, at, run, checksum, origin, step, steps,
                              duration_us, by, host, library, detail, body, codec
                       FROM _admmgt_history ORDER BY seq";

const INSERT: &str = "INSERT INTO _admmgt_history (seq, namespace, id, kind, direction, at, run, checksum, origin,
                          step, steps, duration_us, by, host, library, detail, body, codec)
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";

const MOVE_HEAD: &str = "INSERT INTO _admmgt_head (namespace, digest, count, seq) VALUES (?1, ?2, ?3, ?4)
                         ON CONFLICT (namespace) DO UPDATE
                         SET digest = excluded.digest, count = excluded.count, seq = excluded.seq";

/// The history of a SQLite database.
#[derive(Debug)]
pub(crate) struct SqliteStore;

#[async_trait]
impl StateStore for SqliteStore {
    async fn head(&self, session: &mut dyn Session, namespaces: &[Namespace]) -> Result<Option<Head>> {
        let session = own(session)?;
        head(session.db()?, &session.place().name(), session.patience(), namespaces)
    }

    async fn prepare(&self, session: &mut dyn Session) -> Result<()> {
        let session = own(session)?;
        if let (Place::File { .. }, Journal::Wal) = (session.place(), session.journal()) {
            write_ahead(session)?;
        }
        session.batch("beginning a transaction", "BEGIN IMMEDIATE")?;
        let created = create(session);
        let ended = match &created {
            Ok(()) => session.batch("committing", "COMMIT"),
            Err(_) => session.undo(),
        };
        created.and(ended)
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
        // A body outside our transactions may have opened one of its own: then the record is part of it.
        let alone = session.db()?.is_autocommit();
        if alone {
            session.batch("beginning a transaction", "BEGIN IMMEDIATE")?;
        }
        let written = write(session.db()?, batch)
            .map_err(|error| moved(error, |error| session.failed("writing the history", error)));
        if alone {
            match &written {
                Ok(()) => session.batch("committing", "COMMIT")?,
                Err(_) => session.undo()?,
            }
        }
        written?;
        if let Some(record) = batch.records.last() {
            session.saw(record.seq);
        }
        Ok(())
    }

    async fn acquire(&self, session: &mut dyn Session, request: &LeaseRequest) -> Result<Acquired> {
        lease::acquire(own(session)?, request)
    }
}

fn own(session: &mut dyn Session) -> Result<&mut SqliteSession> {
    session.connection().downcast_mut().ok_or_else(|| Error::wrong_backend("rusqlite::Connection"))
}

/// The heads, or `None` where our tables are not there.
pub(crate) fn head(db: &Connection, what: &str, patience: Duration, namespaces: &[Namespace]) -> Result<Option<Head>> {
    let asked = Asked { what, patience };
    let read = || read_heads(db, |namespace| namespaces.contains(namespace));
    let failed = match read() {
        Ok(head) => return head.map(Some),
        Err(error) => asked.failed("reading the heads", error),
    };
    // "No such table" is bare code 1, which can mean anything: ask the schema.
    match tables(db) {
        Ok(tables) if tables.is_empty() => Ok(None),
        // They are there, and may have been made since the first look.
        Ok(_) => {
            format_of(db)?;
            read().map_err(|error| asked.failed("reading the heads", error))?.map(Some)
        }
        Err(_) => Err(failed),
    }
}

/// Creates what is missing; refuses what is newer or not ours.
fn create(session: &SqliteSession) -> Result<()> {
    let db = session.db()?;
    let tables = tables(db).map_err(|error| session.failed("reading the schema", error))?;
    if let Some((name, kind)) = tables.iter().find(|(_, kind)| kind != "table") {
        return Err(Error::corrupt(
            format!("`{name}`"),
            format!("it is a {kind} and must be a table; rename it, so that admmgt can create its own"),
        ));
    }
    if tables.iter().any(|(name, _)| name == "_admmgt_format") {
        format_of(db)?;
    }
    session.batch("creating the history tables", CREATE)
}

/// Switches to the write-ahead log. SQLite does not wait for other connections here, so this does.
fn write_ahead(session: &SqliteSession) -> Result<()> {
    let clock = std::time::Instant::now();
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

/// Our tables, and what they are.
fn tables(db: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let mut statement = db.prepare("SELECT name, type FROM sqlite_schema WHERE substr(name, 1, 8) = '_admmgt_'")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// The stored format, if this version can read it.
fn format_of(db: &Connection) -> Result<()> {
    let found = db.query_row("SELECT max(format) FROM _admmgt_format", [], |row| row.get::<_, Option<i64>>(0));
    match found {
        Ok(None) => Ok(()),
        Ok(Some(found)) => known(found),
        Err(error) => Err(Error::corrupt("table `_admmgt_format`", format!("it cannot be read: {error}"))),
    }
}

fn known(found: i64) -> Result<()> {
    match u32::try_from(found) {
        Ok(FORMAT) => Ok(()),
        Ok(found) if found > FORMAT => Err(Error::NewerFormat { found, supported: FORMAT }),
        _ => Err(Error::corrupt("table `_admmgt_format`", format!("{found} is not a format"))),
    }
}

/// The outer result is the database's, the inner one is about what the rows say.
fn read_heads(db: &Connection, wanted: impl Fn(&Namespace) -> bool) -> rusqlite::Result<Result<Head>> {
    let mut statement = db.prepare(HEADS)?;
    let mut rows = statement.query([])?;
    let mut head = Head::default();
    while let Some(row) = rows.next()? {
        match read_head(row) {
            Ok(Some((namespace, found))) if wanted(&namespace) => {
                head.namespaces.insert(namespace, found);
            }
            Ok(_) => {}
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(head))
}

/// A head; `None` where there is a format and no head yet.
fn read_head(row: &Row<'_>) -> Result<Option<(Namespace, NamespaceHead)>> {
    let fields = Fields { row, place: "a row of `_admmgt_head`" };
    known(fields.number("format", 0)?)?;
    let Some(namespace) = fields.optional_text("namespace", 1)? else { return Ok(None) };
    let fields = Fields { row, place: &format!("the row `{namespace}` of `_admmgt_head`") };
    let head = NamespaceHead {
        digest: Digest::parse(&fields.text("digest", 2)?).ok_or_else(|| fields.garbage("digest", "is not a digest"))?,
        count: fields.count("count", 3)?,
        seq: fields.count("seq", 4)?,
    };
    Ok(Some((Namespace::new(namespace).map_err(|error| fields.garbage("namespace", &error.to_string()))?, head)))
}

fn history(session: &SqliteSession) -> Result<History> {
    let db = session.db()?;
    let failed = |error| session.failed("reading the history", error);
    if tables(db).map_err(failed)?.is_empty() {
        return Ok(History::default());
    }
    format_of(db)?;
    let head = read_heads(db, |_| true).map_err(failed)??;
    let mut statement = db.prepare(RECORDS).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut records = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        records.push(read_record(row)?);
    }
    let mut history = History::default();
    history.records = records;
    history.head = head;
    Ok(history)
}

fn read_record(row: &Row<'_>) -> Result<Record> {
    let seq = Fields { row, place: "a row of `_admmgt_history`" }.count("seq", 0)?;
    let place = format!("the row with seq {seq} of `_admmgt_history`");
    let fields = Fields { row, place: &place };
    let id = MigrationId::new(fields.text("namespace", 1)?, fields.text("id", 2)?);
    let kind = fields.text("kind", 3)?;
    let author = admmgt_core::Author::of(
        RunId::stored(fields.text("run", 6)?),
        fields.text("by", 12)?,
        fields.text("host", 13)?,
    );
    let direction = match &*fields.text("direction", 4)? {
        "up" => Direction::Up,
        "down" => Direction::Down,
        other => return Err(fields.garbage("direction", &format!("is `{other}`"))),
    };
    let origin = match &*fields.text("origin", 8)? {
        "sql" => Origin::Sql,
        "code" => Origin::Code,
        other => return Err(fields.garbage("origin", &format!("is `{other}`"))),
    };
    let checksum = Checksum::parse(fields.text("checksum", 7)?);
    let mut record = Record::new(
        seq,
        id.map_err(|error| fields.garbage("id", &error.to_string()))?,
        RecordKind::parse(&kind)
            .ok_or_else(|| fields.garbage("kind", &format!("is `{kind}`, which this version does not know")))?,
        direction,
        checksum.map_err(|problem| fields.garbage("checksum", &problem))?,
        origin,
        &author,
    );
    record.at = Timestamp(fields.number("at", 5)?);
    record.step = fields.small("step", 9)?;
    record.steps = fields.small("steps", 10)?;
    record.duration_us =
        fields.optional_number("duration_us", 11)?.map(|value| fields.positive("duration_us", value)).transpose()?;
    record.library = fields.text("library", 14)?;
    record.detail = fields.optional_text("detail", 15)?;
    record.body = fields.body()?;
    Ok(record)
}

/// One row, and what to call it in errors.
struct Fields<'a> {
    row: &'a Row<'a>,
    place: &'a str,
}

impl Fields<'_> {
    fn garbage(&self, column: &str, problem: &str) -> Error {
        Error::corrupt(
            format!("column `{column}` of {}", self.place),
            format!("it {problem}; restore the row from a backup"),
        )
    }

    fn value(&self, column: &str, at: usize) -> Result<ValueRef<'_>> {
        self.row.get_ref(at).map_err(|error| self.garbage(column, &format!("cannot be read ({error})")))
    }

    fn optional_text(&self, column: &str, at: usize) -> Result<Option<String>> {
        match self.value(column, at)? {
            ValueRef::Null => Ok(None),
            ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(_) => Err(self.garbage(column, "is not UTF-8")),
            },
            other => Err(self.garbage(column, &format!("is {} and must be text", other.data_type()))),
        }
    }

    fn text(&self, column: &str, at: usize) -> Result<String> {
        self.optional_text(column, at)?.ok_or_else(|| self.garbage(column, "is NULL"))
    }

    fn optional_number(&self, column: &str, at: usize) -> Result<Option<i64>> {
        match self.value(column, at)? {
            ValueRef::Null => Ok(None),
            ValueRef::Integer(value) => Ok(Some(value)),
            other => Err(self.garbage(column, &format!("is {} and must be an integer", other.data_type()))),
        }
    }

    fn number(&self, column: &str, at: usize) -> Result<i64> {
        self.optional_number(column, at)?.ok_or_else(|| self.garbage(column, "is NULL"))
    }

    fn positive(&self, column: &str, value: i64) -> Result<u64> {
        u64::try_from(value).map_err(|_| self.garbage(column, &format!("is {value}")))
    }

    fn count(&self, column: &str, at: usize) -> Result<u64> {
        self.positive(column, self.number(column, at)?)
    }

    fn small(&self, column: &str, at: usize) -> Result<Option<u32>> {
        let value = self.optional_number(column, at)?;
        value.map(|value| u32::try_from(value).map_err(|_| self.garbage(column, &format!("is {value}")))).transpose()
    }

    fn body(&self) -> Result<Option<ArchivedBody>> {
        let Some(codec) = self.optional_text("codec", 17)? else { return Ok(None) };
        let bytes = match self.value("body", 16)? {
            ValueRef::Blob(bytes) | ValueRef::Text(bytes) => bytes.to_vec(),
            other => return Err(self.garbage("body", &format!("is {}", other.data_type()))),
        };
        match &*codec {
            "plain" => match String::from_utf8(bytes) {
                Ok(text) => Ok(Some(ArchivedBody::Plain(text))),
                Err(_) => Err(self.garbage("body", "is not UTF-8")),
            },
            "deflate" => Ok(Some(ArchivedBody::Deflate(bytes))),
            other => Err(self.garbage("codec", &format!("is `{other}`, which this version does not know"))),
        }
    }
}

/// The number of the last record; 0 without any.
pub(crate) fn last_seq(db: &Connection) -> rusqlite::Result<u64> {
    let mut statement = db.prepare("SELECT max(seq) FROM _admmgt_history")?;
    let last: Option<i64> = statement.query_row([], |row| row.get(0))?;
    Ok(last.and_then(|last| u64::try_from(last).ok()).unwrap_or(0))
}

/// Adds records and moves heads, inside whatever transaction is open.
pub(crate) fn write(db: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    let mut insert = db.prepare(INSERT)?;
    for record in &batch.records {
        let (body, codec) = match &record.body {
            None => (None, None),
            Some(ArchivedBody::Plain(text)) => (Some(text.as_bytes()), Some("plain")),
            Some(ArchivedBody::Deflate(bytes)) => (Some(&**bytes), Some("deflate")),
            Some(_) => (None, None),
        };
        insert.execute(params![
            signed(record.seq),
            record.migration.namespace().as_str(),
            record.migration.id(),
            record.kind.as_str(),
            match record.direction {
                Direction::Up => "up",
                Direction::Down => "down",
            },
            record.at.0,
            record.run.as_str(),
            record.checksum.as_str(),
            match record.origin {
                Origin::Sql => "sql",
                Origin::Code => "code",
            },
            record.step,
            record.steps,
            record.duration_us.map(signed),
            record.by,
            record.host,
            record.library,
            record.detail,
            body,
            codec,
        ])?;
    }
    let mut move_head = db.prepare(MOVE_HEAD)?;
    for (namespace, head) in &batch.heads {
        let digest = head.digest.to_string();
        move_head.execute(params![namespace.as_str(), digest, signed(head.count), signed(head.seq)])?;
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

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
