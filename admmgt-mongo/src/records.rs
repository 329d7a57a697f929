//! Records as documents of the history.

use admmgt_core::stored::{self, COLUMNS};
use admmgt_core::{Record, Result};
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document};

/// The document of a record: the columns are its fields, the first one is its `_id`. What a record does not have stands
/// not in it.
pub(crate) fn document(record: &Record) -> Document {
    let (body, codec) = stored::body(record).unzip();
    let values: [Bson; COLUMNS.len()] = [
        signed(record.seq).into(),
        record.migration.namespace().as_str().into(),
        record.migration.id().into(),
        record.kind.as_str().into(),
        stored::direction(record.direction).into(),
        DateTime::from_millis(record.at.0).into(),
        record.run.as_str().into(),
        record.checksum.as_str().into(),
        stored::origin(record.origin).into(),
        record.step.map(i64::from).into(),
        record.steps.map(i64::from).into(),
        record.duration_us.map(signed).into(),
        record.by.as_str().into(),
        record.host.as_str().into(),
        record.library.as_str().into(),
        record.detail.clone().into(),
        body.map(|bytes| Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() }).into(),
        codec.into(),
    ];
    let fields = COLUMNS.iter().zip(values).filter(|(_, value)| !matches!(value, Bson::Null));
    fields.map(|(name, value)| (field(name).to_owned(), value)).collect()
}

/// The record of a document.
///
/// # Errors
/// [`admmgt_core::Error::CorruptState`] names the document and the field.
pub(crate) fn record(document: &Document) -> Result<Record> {
    stored::record(&MongoRow(document))
}

pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A whole number, as we write them or as the shell does.
pub(crate) fn whole(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int64(value) => Some(*value),
        Bson::Int32(value) => Some(i64::from(*value)),
        Bson::Double(value) if value.fract() == 0.0 && value.abs() < 9.0e15 => Some(*value as i64),
        _ => None,
    }
}

fn field(column: &'static str) -> &'static str {
    if column == "seq" { "_id" } else { column }
}

struct MongoRow<'a>(&'a Document);

impl MongoRow<'_> {
    fn value(&self, at: usize) -> Option<&Bson> {
        self.0.get(field(COLUMNS[at])).filter(|value| !matches!(value, Bson::Null))
    }
}

fn wrong(value: &Bson, wanted: &str) -> String {
    format!("is of type {:?} and must be {wanted}", value.element_type())
}

impl stored::Row for MongoRow<'_> {
    fn text(&self, at: usize) -> Result<Option<String>, String> {
        match self.value(at) {
            None => Ok(None),
            Some(Bson::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(wrong(other, "text")),
        }
    }

    fn number(&self, at: usize) -> Result<Option<i64>, String> {
        match self.value(at) {
            None => Ok(None),
            Some(Bson::DateTime(value)) => Ok(Some(value.timestamp_millis())),
            Some(value) => whole(value).map(Some).ok_or_else(|| wrong(value, "a whole number")),
        }
    }

    fn bytes(&self, at: usize) -> Result<Option<Vec<u8>>, String> {
        match self.value(at) {
            None => Ok(None),
            Some(Bson::Binary(binary)) => Ok(Some(binary.bytes.clone())),
            Some(other) => Err(wrong(other, "binary")),
        }
    }
}
