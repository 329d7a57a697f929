//! From the rows of our tables to values, or to words that name the row and the column.

use std::fmt::Write;

use admmgt_core::{
    ArchivedBody, Author, Checksum, Digest, Direction, Error, InvalidName, MigrationId, Namespace, NamespaceHead,
    Origin, Record, RecordKind, Result, RunId, Timestamp,
};
use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::known;

/// The heads of the last record, one line for each namespace: its name, digest, count and last record.
pub(super) fn heads_text(heads: &[(Namespace, NamespaceHead)]) -> String {
    let mut text = String::with_capacity(heads.len() * 112);
    for (at, (namespace, head)) in heads.iter().enumerate() {
        let between = if at == 0 { "" } else { "\n" };
        // Writing to a string cannot fail.
        let _ = write!(text, "{between}{namespace} {} {} {}", head.digest, head.count, head.seq);
    }
    text
}

/// The heads of a row with the format and the heads of the last record; none without records.
pub(super) fn heads(row: &Row<'_>) -> Result<Vec<(Namespace, NamespaceHead)>> {
    let fields = Fields { row, place: "a row of `_admmgt_format`" };
    known(fields.number("format", 0)?)?;
    let fields = Fields { row, place: "the last row of `_admmgt_history`" };
    let text = fields.optional_text("heads", 1)?.unwrap_or_default();
    let head =
        |line| head_of(line).ok_or_else(|| fields.garbage("heads", &format!("holds `{line}`, which is no head")));
    text.lines().map(head).collect()
}

fn head_of(line: &str) -> Option<(Namespace, NamespaceHead)> {
    let mut words = line.split(' ');
    let namespace = Namespace::new(words.next()?).ok()?;
    let digest = Digest::parse(words.next()?)?;
    let (count, seq) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some((namespace, NamespaceHead { digest, count, seq }))
}

/// A record.
pub(super) fn record(row: &Row<'_>) -> Result<Record> {
    let seq = Fields { row, place: "a row of `_admmgt_history`" }.count("seq", 0)?;
    let place = format!("the row with seq {seq} of `_admmgt_history`");
    let fields = Fields { row, place: &place };
    let namespace =
        Namespace::new(fields.text("namespace", 1)?).map_err(|error| fields.no_name("namespace", &error))?;
    let id = MigrationId::new(namespace, fields.text("id", 2)?);
    let kind = fields.text("kind", 3)?;
    let author = Author::of(RunId::stored(fields.text("run", 6)?), fields.text("by", 12)?, fields.text("host", 13)?);
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
        id.map_err(|error| fields.no_name("id", &error))?,
        RecordKind::parse(&kind)
            .ok_or_else(|| fields.garbage("kind", &format!("is `{kind}`, which this version does not know")))?,
        direction,
        checksum.map_err(|problem| fields.garbage("checksum", &format!("is none: {problem}")))?,
        origin,
        &author,
    );
    record.at = Timestamp(fields.number("at", 5)?);
    record.step = fields.small("step", 9)?;
    record.steps = fields.small("steps", 10)?;
    record.duration_us =
        fields.optional_number("duration_us", 11)?.map(|value| fields.positive("duration_us", value)).transpose()?;
    record.library = fields.text("library", 14)?.into();
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

    fn no_name(&self, column: &str, error: &InvalidName) -> Error {
        self.garbage(column, &format!("is no name: {}", error.problem))
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
