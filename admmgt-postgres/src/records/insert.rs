//! How records are written: as one statement, with every value quoted.

use std::fmt::Write;

use admmgt_core::{Batch, Record, stored};

use crate::quote;

/// 9999-12-31: the last year that every reader of a `timestamptz` knows.
const LAST_MILLIS: i64 = 253_402_300_799_999;

/// The statement that adds records and heads. `first` is the number of the first record, or fails.
pub(crate) fn insert(table: &str, batch: &Batch, first: String) -> String {
    let mut seq = Some(first);
    let last = batch.records.last().map(|record| record.seq);
    let mut sql = format!("insert into {table} ({}, format, heads) values ", stored::COLUMNS.join(", "));
    for record in &batch.records {
        let heads = (Some(record.seq) == last).then(|| stored::heads_text(&batch.heads));
        let between = if seq.is_some() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(
            sql,
            "{between}({}, {}, {}, {})",
            seq.take().unwrap_or_else(|| record.seq.to_string()),
            values(record).join(", "),
            admmgt_core::FORMAT,
            quote::optional(heads.as_deref())
        );
    }
    sql
}

/// In the order of [`stored::COLUMNS`], without the number.
fn values(record: &Record) -> [String; 17] {
    let (body, codec) = stored::body(record).unzip();
    let at = record.at.0.clamp(-LAST_MILLIS, LAST_MILLIS);
    [
        quote::text(record.migration.namespace().as_str()),
        quote::text(record.migration.id()),
        quote::text(record.kind.as_str()),
        quote::text(stored::direction(record.direction)),
        format!("timestamptz 'epoch' + {at} * interval '1 millisecond'"),
        quote::text(record.run.as_str()),
        quote::text(record.checksum.as_str()),
        quote::text(stored::origin(record.origin)),
        quote::number(record.step),
        quote::number(record.steps),
        quote::number(record.duration_us),
        quote::text(&record.by),
        quote::text(&record.host),
        quote::text(&record.library),
        quote::optional(record.detail.as_deref()),
        body.map_or_else(|| "NULL".to_owned(), quote::bytes),
        quote::optional(codec),
    ]
}
