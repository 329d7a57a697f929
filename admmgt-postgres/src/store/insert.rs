//! How records are written: as one statement, with every value quoted.

use std::fmt::Write;

use admmgt_core::{Batch, Record, stored};

use crate::quote;

/// 9999-12-31: the last year that every reader of a `timestamptz` knows.
const LAST_MILLIS: i64 = 253_402_300_799_999;

/// The statement that adds records and heads; none where there are no records.
pub(crate) fn insert(table: &str, batch: &Batch) -> String {
    let Some(last) = batch.records.last() else { return String::new() };
    let mut sql = format!("insert into {table} ({}, format, heads) values ", stored::COLUMNS.join(", "));
    for record in &batch.records {
        let heads = (record.seq == last.seq).then(|| stored::heads_text(&batch.heads));
        let between = if record.seq == batch.records[0].seq { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(
            sql,
            "{between}({}, {}, {})",
            values(record).join(", "),
            admmgt_core::FORMAT,
            quote::optional(heads.as_deref())
        );
    }
    sql
}

/// In the order of [`stored::COLUMNS`].
fn values(record: &Record) -> [String; 18] {
    let (body, codec) = stored::body(record).unzip();
    let at = record.at.0.clamp(-LAST_MILLIS, LAST_MILLIS);
    [
        record.seq.to_string(),
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
