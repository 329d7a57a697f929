//! How a store writes history down, for the backends: one list of columns, one text for heads, and one set of words
//! for a row that cannot be right.
//!
//! A table has the columns of [`COLUMNS`] in that order, and `heads` behind them, which only the last record of a
//! transaction fills: all heads as they are after it.

use std::fmt::Write;

use crate::record::{ArchivedBody, Author, FORMAT, Record, RecordKind, RunId, Timestamp};
use crate::{
    Checksum, Digest, Direction, Error, History, InvalidName, MigrationId, Namespace, NamespaceHead, Origin, Result,
};

/// The columns of a record.
pub const COLUMNS: [&str; 18] = [
    "seq",
    "namespace",
    "id",
    "kind",
    "direction",
    "at",
    "run",
    "checksum",
    "origin",
    "step",
    "steps",
    "duration_us",
    "by",
    "host",
    "library",
    "detail",
    "body",
    "codec",
];

/// The table of records.
pub const HISTORY: &str = "_admmgt_history";
/// The table with one row: the format, and whether there was a record ever.
pub const FORMATS: &str = "_admmgt_format";

/// One row of the table of records; columns are counted as in [`COLUMNS`], `heads` comes after the last.
///
/// An `Err` says in words what the column holds instead: `is 7 and must be text`.
pub trait Row {
    /// A text, or NULL.
    ///
    /// # Errors
    /// In words, where it is something else.
    fn text(&self, at: usize) -> Result<Option<String>, String>;

    /// A number, or NULL.
    ///
    /// # Errors
    /// In words, where it is something else.
    fn number(&self, at: usize) -> Result<Option<i64>, String>;

    /// Bytes, or NULL.
    ///
    /// # Errors
    /// In words, where it is something else.
    fn bytes(&self, at: usize) -> Result<Option<Vec<u8>>, String>;
}

/// The heads as one text, a line for each namespace: its name, digest, count and last record.
pub fn heads_text(heads: &[(Namespace, NamespaceHead)]) -> String {
    let mut text = String::with_capacity(heads.len() * 112);
    for (at, (namespace, head)) in heads.iter().enumerate() {
        let between = if at == 0 { "" } else { "\n" };
        // Writing to a string cannot fail.
        let _ = write!(text, "{between}{namespace} {} {} {}", head.digest, head.count, head.seq);
    }
    text
}

/// The heads of a text.
///
/// # Errors
/// [`Error::CorruptState`].
pub fn heads(text: Option<&str>) -> Result<Vec<(Namespace, NamespaceHead)>> {
    let place = format!("the last row of `{HISTORY}`");
    let fields = Fields { row: &NoRow, place: &place };
    let head =
        |line| head_of(line).ok_or_else(|| fields.garbage("heads", &format!("holds `{line}`, which is no head")));
    text.unwrap_or_default().lines().map(head).collect()
}

fn head_of(line: &str) -> Option<(Namespace, NamespaceHead)> {
    let mut words = line.split(' ');
    let namespace = Namespace::new(words.next()?).ok()?;
    let digest = Digest::parse(words.next()?)?;
    let (count, seq) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some((namespace, NamespaceHead { digest, count, seq }))
}

/// Whether this version can read what is stored in a format, which stands at this place: ``table `_admmgt_format` ``.
///
/// # Errors
/// [`Error::NewerFormat`], [`Error::CorruptState`].
pub fn check_format(place: impl Into<String>, found: i64) -> Result<()> {
    match u32::try_from(found) {
        Ok(FORMAT) => Ok(()),
        Ok(found) if found > FORMAT => Err(Error::NewerFormat { found, supported: FORMAT }),
        _ => Err(Error::corrupt(place, format!("{found} is not a format"))),
    }
}

/// Whether our tables are as they should be: those there are with the words of the database for what they are, and
/// what that word must be.
///
/// # Errors
/// [`Error::CorruptState`] where one is no table, or is not there while others of them are.
pub fn check_tables<'a>(ours: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Result<()> {
    all_are_tables(ours.clone())?;
    let is_there = |table: &str| ours.clone().any(|(name, _)| name == table);
    match [FORMATS, HISTORY].iter().find(|table| !is_there(table)) {
        Some(lost) if ours.clone().next().is_some() => {
            let problem = "it is not there, and others of its kind are; restore it from a backup";
            Err(Error::corrupt(format!("table `{lost}`"), problem))
        }
        _ => Ok(()),
    }
}

/// As [`check_tables`], and nothing has to be there.
///
/// # Errors
/// [`Error::CorruptState`] where one is no table.
pub fn all_are_tables<'a>(mut ours: impl Iterator<Item = (&'a str, &'a str)>) -> Result<()> {
    let Some((name, kind)) = ours.find(|(_, kind)| *kind != "table") else { return Ok(()) };
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    let problem = format!("it is {article} {kind} and must be a table; rename it, so that admmgt can create its own");
    Err(Error::corrupt(format!("`{name}`"), problem))
}

/// What was read, where it can be right: records that were there once are not gone.
///
/// # Errors
/// [`Error::CorruptState`] where the table was emptied by hand.
pub fn read(records: Vec<Record>, heads: Vec<(Namespace, NamespaceHead)>, began: bool) -> Result<History> {
    if records.is_empty() && began {
        let problem = "it is empty, and there were records; restore it from a backup";
        return Err(Error::corrupt(format!("table `{HISTORY}`"), problem));
    }
    let mut history = History::default();
    history.records = records;
    history.head.namespaces.extend(heads);
    Ok(history)
}

/// The body of a record as its bytes, and how they are packed.
pub fn body(record: &Record) -> Option<(&[u8], &'static str)> {
    record.body.as_ref().map(|body| match body {
        ArchivedBody::Plain(text) => (text.as_bytes(), "plain"),
        ArchivedBody::Deflate(bytes) => (&**bytes, "deflate"),
    })
}

/// The word that is stored for a direction.
pub fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "up",
        Direction::Down => "down",
    }
}

/// The word that is stored for an origin.
pub fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Sql => "sql",
        Origin::Code => "code",
    }
}

/// A record.
///
/// # Errors
/// [`Error::CorruptState`] names the row and the column.
pub fn record(row: &impl Row) -> Result<Record> {
    let place = format!("a row of `{HISTORY}`");
    let seq = Fields { row, place: &place }.count(0)?;
    let place = format!("the row with seq {seq} of `{HISTORY}`");
    let fields = Fields { row, place: &place };
    let namespace = Namespace::new(fields.text(1)?).map_err(|error| fields.no_name("namespace", &error))?;
    let id = MigrationId::new(namespace, fields.text(2)?);
    let kind = fields.text(3)?;
    let author = Author::of(RunId::stored(fields.text(6)?), fields.text(12)?, fields.text(13)?);
    let direction = match &*fields.text(4)? {
        "up" => Direction::Up,
        "down" => Direction::Down,
        other => return Err(fields.garbage("direction", &format!("is `{other}`"))),
    };
    let origin = match &*fields.text(8)? {
        "sql" => Origin::Sql,
        "code" => Origin::Code,
        other => return Err(fields.garbage("origin", &format!("is `{other}`"))),
    };
    let checksum = Checksum::parse(fields.text(7)?);
    let mut record = Record::new(
        seq,
        id.map_err(|error| fields.no_name("id", &error))?,
        RecordKind::parse(&kind)
            .ok_or_else(|| fields.garbage("kind", &format!("is `{kind}`, which this version does not know")))?,
        direction,
        checksum.map_err(|problem| fields.garbage("checksum", &format!("is none: {problem}")))?,
        origin,
        &author,
    );
    record.at = Timestamp(fields.number(5)?);
    record.step = fields.small(9)?;
    record.steps = fields.small(10)?;
    record.duration_us = fields.optional_number(11)?.map(|value| fields.positive(11, value)).transpose()?;
    record.library = fields.text(14)?.into();
    record.detail = fields.optional_text(15)?;
    record.body = fields.body()?;
    Ok(record)
}

/// One row, and what to call it in errors.
struct Fields<'a, R> {
    row: &'a R,
    place: &'a str,
}

impl<R: Row> Fields<'_, R> {
    fn garbage(&self, column: &str, problem: &str) -> Error {
        Error::corrupt(
            format!("column `{column}` of {}", self.place),
            format!("it {problem}; restore the row from a backup"),
        )
    }

    fn no_name(&self, column: &str, error: &InvalidName) -> Error {
        self.garbage(column, &format!("is no name: {}", error.problem))
    }

    fn optional_text(&self, at: usize) -> Result<Option<String>> {
        self.row.text(at).map_err(|problem| self.garbage(COLUMNS[at], &problem))
    }

    fn text(&self, at: usize) -> Result<String> {
        self.optional_text(at)?.ok_or_else(|| self.garbage(COLUMNS[at], "is NULL"))
    }

    fn optional_number(&self, at: usize) -> Result<Option<i64>> {
        self.row.number(at).map_err(|problem| self.garbage(COLUMNS[at], &problem))
    }

    fn number(&self, at: usize) -> Result<i64> {
        self.optional_number(at)?.ok_or_else(|| self.garbage(COLUMNS[at], "is NULL"))
    }

    fn positive(&self, at: usize, value: i64) -> Result<u64> {
        u64::try_from(value).map_err(|_| self.garbage(COLUMNS[at], &format!("is {value}")))
    }

    fn count(&self, at: usize) -> Result<u64> {
        self.positive(at, self.number(at)?)
    }

    fn small(&self, at: usize) -> Result<Option<u32>> {
        let value = self.optional_number(at)?;
        let small = |value| u32::try_from(value).map_err(|_| self.garbage(COLUMNS[at], &format!("is {value}")));
        value.map(small).transpose()
    }

    fn body(&self) -> Result<Option<ArchivedBody>> {
        let Some(codec) = self.optional_text(17)? else { return Ok(None) };
        let bytes = self.row.bytes(16).map_err(|problem| self.garbage("body", &problem))?;
        let bytes = bytes.ok_or_else(|| self.garbage("body", "is NULL"))?;
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

/// Where only a place is needed.
struct NoRow;

impl Row for NoRow {
    fn text(&self, _: usize) -> Result<Option<String>, String> {
        Ok(None)
    }

    fn number(&self, _: usize) -> Result<Option<i64>, String> {
        Ok(None)
    }

    fn bytes(&self, _: usize) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }
}
