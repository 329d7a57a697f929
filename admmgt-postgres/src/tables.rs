//! Our tables: whether they are there and whole, and making them.

use admmgt_core::stored::{self, FORMATS, HISTORY};
use admmgt_core::{Error, Result};

use crate::link::Link;
use crate::quote;

/// A table and the columns it needs. More than these are left alone; fewer are added.
pub(crate) type Wanted = (&'static str, &'static [(&'static str, &'static str)]);

/// The records.
pub(crate) const RECORDS: Wanted = (
    HISTORY,
    &[
        ("seq", "bigint primary key"),
        ("namespace", "text"),
        ("id", "text"),
        ("kind", "text"),
        ("direction", "text"),
        ("at", "timestamptz"),
        ("run", "text"),
        ("checksum", "text"),
        ("origin", "text"),
        ("step", "bigint"),
        ("steps", "bigint"),
        ("duration_us", "bigint"),
        ("by", "text"),
        ("host", "text"),
        ("library", "text"),
        ("detail", "text"),
        ("body", "bytea"),
        ("codec", "text"),
        ("format", "bigint"),
        // Of all namespaces after this record, in the last record of a transaction.
        ("heads", "text"),
    ],
);

/// `began` is true once there was a record: an empty history was emptied by hand.
pub(crate) const FORMAT: Wanted = (FORMATS, &[("format", "bigint"), ("began", "boolean")]);

/// Several processes may make the same table: the one that comes second is told so in one of these ways.
const RACED: [&str; 5] = ["23505", "42P06", "42P07", "42701", "42710"];

/// One of our tables.
#[derive(Debug)]
pub(crate) struct Table {
    name: String,
    kind: String,
    columns: Vec<String>,
}

impl Table {
    pub(crate) fn lacks(&self, column: &str) -> bool {
        !self.columns.iter().any(|there| there == column)
    }
}

/// The table of records, where it is; an error where only some of our tables are, or something else has their names.
pub(crate) async fn records(link: &mut Link) -> Result<Option<Table>> {
    let mut tables = all(link).await?;
    tables.retain(|table| [FORMATS, HISTORY].contains(&&*table.name));
    stored::check_tables(tables.iter().map(|table| (&*table.name, &*table.kind)))?;
    let Some(history) = tables.into_iter().find(|table| table.name == HISTORY) else { return Ok(None) };
    format(link, "true").await?;
    Ok(Some(history))
}

/// The format of what is stored, if this version can read it, `None` before the first `prepare` has come so far; and the
/// answer to another question of yes or no.
pub(crate) async fn format(link: &mut Link, also: &str) -> Result<(Option<i64>, bool)> {
    let query = format!("select max(format)::text, {also} from {}", link.table(FORMATS)?);
    let row = link.row("reading the format", query).await.map_err(changed)?.unwrap_or_default();
    let also = row.get(1).and_then(Option::as_deref) == Some("t");
    let Some(text) = row.into_iter().next().flatten() else { return Ok((None, also)) };
    let garbage = || Error::corrupt(format!("table `{FORMATS}`"), format!("`{text}` is not a format"));
    let format = text.parse().map_err(|_| garbage())?;
    stored::check_format(format!("table `{FORMATS}`"), format)?;
    Ok((Some(format), also))
}

/// Whether there were records, and there are none. One look at both: another process may write the first just now.
pub(crate) async fn was_emptied(link: &mut Link) -> Result<bool> {
    let (formats, history) = (link.table(FORMATS)?, link.table(HISTORY)?);
    let query = format!("select (bool_or(began) and not exists (select from {history}))::text from {formats}");
    let row = link.row("reading the format", query).await.map_err(changed)?;
    Ok(row.and_then(|row| row.into_iter().next().flatten()).as_deref() == Some("true"))
}

/// A table somebody changed by hand.
pub(crate) fn changed(error: Error) -> Error {
    match error {
        Error::Database { code: Some(code), error, .. }
            if ["42", "22", "0A"].iter().any(|class| code.starts_with(class)) =>
        {
            Error::corrupt(
                "the history tables",
                format!("{error}. Somebody changed them by hand; restore them from a backup"),
            )
        }
        other => other,
    }
}

/// Our tables in the schema of the history, and what they are.
async fn all(link: &mut Link) -> Result<Vec<Table>> {
    let Some(schema) = link.schema() else { return Ok(Vec::new()) };
    let query = format!(
        r"select c.relname, case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view'
                 when 'm' then 'materialized view' when 'f' then 'foreign table' when 'S' then 'sequence'
                 when 'i' then 'index' else 'relation of kind ' || c.relkind::text end,
                 (select string_agg(a.attname, ' ') from pg_catalog.pg_attribute a
                  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)
          from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
          where n.nspname = {} and c.relname like '\_admmgt\_%' and c.relname not like '%\_pkey'",
        quote::text(schema),
    );
    let rows = link.rows("reading the schema", query).await?;
    let table = |row: Vec<Option<String>>| {
        let [name, kind, columns] = <[_; 3]>::try_from(row).ok()?;
        let columns = columns.unwrap_or_default().split(' ').map(str::to_owned).collect();
        Some(Table { name: name?, kind: kind?, columns })
    };
    Ok(rows.into_iter().filter_map(table).collect())
}

/// Makes the tables that are missing, and adds the columns that are. Safe to race.
pub(crate) async fn create(link: &mut Link, wanted: &[Wanted]) -> Result<()> {
    const TRIES: usize = 5;
    for _ in 1..TRIES {
        match create_once(link, wanted).await {
            Err(Error::Database { code: Some(code), .. }) if RACED.contains(&&*code) => {}
            decided => return decided,
        }
    }
    create_once(link, wanted).await
}

async fn create_once(link: &mut Link, wanted: &[Wanted]) -> Result<()> {
    let tables = all(link).await?;
    let ours = tables.iter().filter(|table| wanted.iter().any(|(name, _)| *name == table.name));
    stored::all_are_tables(ours.map(|table| (&*table.name, &*table.kind)))?;
    if tables.iter().any(|table| table.name == FORMATS && table.kind == "table") {
        // What is newer is not touched.
        format(link, "true").await?;
    }
    let mut sql = Vec::new();
    for (name, columns) in wanted {
        let qualified = link.table(name)?;
        match tables.iter().find(|table| table.name == *name) {
            None => {
                let columns: Vec<String> = columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
                sql.push(format!("create table {qualified} ({})", columns.join(", ")));
            }
            Some(table) => {
                let missing = columns.iter().filter(|(name, _)| table.lacks(name));
                sql.extend(missing.map(|(name, kind)| format!("alter table {qualified} add column {name} {kind}")));
            }
        }
    }
    if sql.is_empty() {
        return Ok(());
    }
    if let Some(schema) = unmade_schema(link).await? {
        sql.insert(0, format!("create schema {}", quote::name(&schema)));
    }
    link.run("creating the history tables", sql.join("; ")).await
}

/// The schema of the history, where it has to be made first.
async fn unmade_schema(link: &mut Link) -> Result<Option<String>> {
    let Some(schema) = link.server.schemas.history.clone() else { return Ok(None) };
    let query = format!("select 1 from pg_catalog.pg_namespace where nspname = {}", quote::text(&schema));
    let there = link.row("reading the schema", query).await?;
    Ok(there.is_none().then_some(schema))
}
