//! The history, as a table of the database itself; the heads stand in its last row. The only place with SQL of our own
//! tables, but for the lease's.

mod insert;
mod rows;

use admmgt_core::stored::{self, FORMATS, HISTORY};
use admmgt_core::{
    Acquired, Batch, Error, ForeignHistory, Head, History, LeaseRequest, Namespace, Result, Session, StateStore,
    async_trait,
};
use sqlx::PgConnection;

pub(crate) use self::insert::insert;
use self::rows::PgRow;
use crate::error::code;
use crate::foreign;
use crate::hygiene::{AS_OURSELVES, Settings};
use crate::lease;
use crate::place::{GRANTS, Schemas};
use crate::quote;
use crate::session::PgSession;
use crate::wire;

/// The columns of our tables, in order. More than these are left alone; fewer are added.
const HISTORY_COLUMNS: [(&str, &str); 20] = [
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
];

/// `began` is true once there was a record: an empty history was emptied by hand.
const FORMAT_COLUMNS: [(&str, &str); 2] = [("format", "bigint"), ("began", "boolean")];

/// Several processes may make the same table: the one that comes second is told so in one of these ways.
const RACED: [&str; 5] = ["23505", "42P06", "42P07", "42701", "42710"];

/// The history of a PostgreSQL database.
#[derive(Debug)]
pub(crate) struct PgStore;

/// What one look without any question before it can tell.
pub(crate) enum Peeked {
    /// There is no history.
    Nothing,
    Head(Head),
    /// It has to be looked at closely.
    Strange,
}

/// The heads in one round trip, by a connection that has just been made.
pub(crate) async fn peek(
    connection: &mut PgConnection,
    schemas: &Schemas,
    settings: &Settings,
) -> std::result::Result<Peeked, sqlx::Error> {
    let sql = format!("{}{}", settings.while_reading(), heads_query(&schemas.table(HISTORY)));
    match wire::row(connection, sql).await {
        Ok(None) => Ok(Peeked::Strange),
        Ok(Some(row)) => Ok(head_of(&row).map_or(Peeked::Strange, Peeked::Head)),
        Err(error) => match code(&error) {
            "42P01" => Ok(Peeked::Nothing),
            "42703" | "42809" => Ok(Peeked::Strange),
            _ => Err(error),
        },
    }
}

fn heads_query(table: &str) -> String {
    format!("select format, heads from {table} order by seq desc limit 1")
}

fn head_of(row: &[Option<String>]) -> Result<Head> {
    let [format, heads] = row else { return Err(Error::corrupt(format!("table `{HISTORY}`"), "it cannot be read")) };
    let place = format!("column `format` of the last row of `{HISTORY}`");
    let known = format.as_deref().and_then(|format| format.parse().ok());
    stored::check_format(
        known.ok_or_else(|| Error::corrupt(place, "it is no number; restore the row from a backup"))?,
    )?;
    let mut head = Head::default();
    head.namespaces.extend(stored::heads(heads.as_deref())?);
    Ok(head)
}

#[async_trait]
impl StateStore for PgStore {
    async fn head(&self, session: &mut dyn Session, _: &[Namespace]) -> Result<Option<Head>> {
        let session = PgSession::of(session)?;
        if whole(session).await?.is_none() {
            return Ok(None);
        }
        let table = session.table(HISTORY)?;
        let row = session.row("reading the heads", heads_query(&table)).await.map_err(changed)?;
        match row {
            Some(row) => head_of(&row).map(Some),
            None if was_emptied(session).await? => {
                stored::read(Vec::new(), Vec::new(), true).map(|history| Some(history.head))
            }
            None => Ok(Some(Head::default())),
        }
    }

    async fn prepare(&self, session: &mut dyn Session) -> Result<()> {
        let session = PgSession::of(session)?;
        if !session.is_prepared {
            create(session, &[(FORMATS, &FORMAT_COLUMNS), (HISTORY, &HISTORY_COLUMNS)]).await?;
            session.is_prepared = true;
        }
        // By now a newer version may have been here.
        let history = session.table(HISTORY)?;
        let privilege = format!("has_table_privilege({}, 'insert')", quote::text(&history));
        let (format, may_write) = stored_format(session, &privilege).await?;
        if !may_write {
            // It could run migrations and not record them.
            return Err(Error::NotAllowed {
                action: "writing the history".to_owned(),
                problem: format!(
                    "this role may not insert into {history}; migrate as the role that owns it, or grant that"
                ),
            });
        }
        if format.is_some() {
            return Ok(());
        }
        let formats = session.table(FORMATS)?;
        let first = format!(
            "insert into {formats} (format, began) select {}, false where not exists (select from {formats})",
            admmgt_core::FORMAT
        );
        session.run("creating the history tables", first).await
    }

    async fn history(&self, session: &mut dyn Session) -> Result<History> {
        let session = PgSession::of(session)?;
        let has_all = session.is_prepared;
        let table = if has_all { None } else { whole(session).await? };
        if table.is_none() && !has_all {
            return Ok(History::default());
        }
        let lacks =
            |column: &str| table.as_ref().is_some_and(|table| !table.columns.iter().any(|there| there == column));
        session.is_prepared = !HISTORY_COLUMNS.iter().any(|(column, _)| lacks(column));
        let history = session.table(HISTORY)?;
        // One query, so that records and heads are of one moment.
        let columns = stored::COLUMNS.map(|column| match column {
            // An earlier version did not have it; `prepare` will add it.
            lacking if lacks(lacking) => "null",
            "at" => "case when isfinite(at) then round(extract(epoch from at) * 1000)::bigint::text else at::text end",
            other => other,
        });
        let query = format!("select {}, heads from {history} order by seq", columns.join(", "));
        let rows = session.rows("reading the history", query).await.map_err(changed)?;
        let heads = rows.last().and_then(|row| row.last().cloned()).flatten();
        let heads = stored::heads(heads.as_deref())?;
        let records: Vec<_> = rows.into_iter().map(|row| stored::record(&PgRow(row))).collect::<Result<_>>()?;
        let emptied = records.is_empty() && was_emptied(session).await?;
        session.saw(records.last().map_or(0, |record| record.seq));
        stored::read(records, heads, emptied)
    }

    async fn append(&self, session: &mut dyn Session, batch: &Batch) -> Result<()> {
        let session = PgSession::of(session)?;
        // One message is one transaction, and what is set locally ends with it.
        let sql = format!("{AS_OURSELVES}; {}", session.writing(batch)?);
        session.run("writing the history", sql).await?;
        session.wrote(batch);
        Ok(())
    }

    async fn names(&self, session: &mut dyn Session) -> Result<Vec<String>> {
        let session = PgSession::of(session)?;
        let rows = session.rows("reading the schema", NAMES.to_owned()).await?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }

    async fn foreign(&self, session: &mut dyn Session) -> Result<Vec<ForeignHistory>> {
        foreign::histories(PgSession::of(session)?).await
    }

    async fn acquire(&self, session: &mut dyn Session, request: &LeaseRequest) -> Result<Acquired> {
        lease::acquire(PgSession::of(session)?, request).await
    }
}

/// The tables and views besides the system's, ours, and those of extensions; without the schema where that is the
/// one that names without a schema are in.
const NAMES: &str = r"
select case when n.nspname = current_schema() then c.relname else n.nspname || '.' || c.relname end
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f')
  and n.nspname <> 'information_schema' and n.nspname not like 'pg\_%'
  and c.relname not like '\_admmgt\_%'
  and not exists (select from pg_catalog.pg_depend d
                  where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')";

/// What goes into the transaction that is open, or into one message: the proof that the lease is still ours, the
/// records and the heads.
pub(crate) fn writing(session: &PgSession, batch: &Batch) -> Result<String> {
    let table = session.table(HISTORY)?;
    let Some(first) = batch.records.first() else { return Ok("select 1".to_owned()) };
    let mut sql = insert(&table, batch, lease::if_held(session, batch.fence, first.seq)?);
    if batch.after() == Some(0) {
        sql.push_str(&format!("; update {} set began = true", session.table(FORMATS)?));
    }
    Ok(sql)
}

/// A table somebody changed by hand.
fn changed(error: Error) -> Error {
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

/// The table of records, where it is; an error where only some of our tables are, or something else has their names.
async fn whole(session: &mut PgSession) -> Result<Option<Table>> {
    let mut tables = tables(session).await?;
    tables.retain(|table| [FORMATS, HISTORY].contains(&&*table.name));
    stored::check_tables(tables.iter().map(|table| (&*table.name, &*table.kind)))?;
    let Some(history) = tables.into_iter().find(|table| table.name == HISTORY) else { return Ok(None) };
    stored_format(session, "true").await?;
    Ok(Some(history))
}

/// The format of what is stored, if this version can read it, `None` before the first `prepare` has come so far; and the
/// answer to another question of yes or no.
async fn stored_format(session: &mut PgSession, also: &str) -> Result<(Option<i64>, bool)> {
    let query = format!("select max(format)::text, {also} from {}", session.table(FORMATS)?);
    let row = session.row("reading the format", query).await.map_err(changed)?.unwrap_or_default();
    let also = row.get(1).and_then(Option::as_deref) == Some("t");
    let Some(text) = row.into_iter().next().flatten() else { return Ok((None, also)) };
    let garbage = || Error::corrupt(format!("table `{FORMATS}`"), format!("`{text}` is not a format"));
    let format = text.parse().map_err(|_| garbage())?;
    stored::check_format(format)?;
    Ok((Some(format), also))
}

/// Whether there were records, and there are none. One look at both: another process may write the first just now.
async fn was_emptied(session: &mut PgSession) -> Result<bool> {
    let (formats, history) = (session.table(FORMATS)?, session.table(HISTORY)?);
    let query = format!("select (bool_or(began) and not exists (select from {history}))::text from {formats}");
    let row = session.row("reading the format", query).await.map_err(changed)?;
    Ok(row.and_then(|row| row.into_iter().next().flatten()).as_deref() == Some("true"))
}

/// One of our tables.
struct Table {
    name: String,
    kind: String,
    columns: Vec<String>,
}

/// Our tables in the schema of the history, and what they are.
async fn tables(session: &mut PgSession) -> Result<Vec<Table>> {
    let Some(schema) = session.schema() else { return Ok(Vec::new()) };
    let query = format!(
        r"select c.relname, case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view'
                 when 'm' then 'materialized view' when 'f' then 'foreign table' when 'S' then 'sequence'
                 when 'i' then 'index' else 'relation of kind ' || c.relkind::text end,
                 (select string_agg(a.attname, ' ') from pg_catalog.pg_attribute a
                  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)
          from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
          where n.nspname = {} and c.relname in ('{FORMATS}', '{HISTORY}', '{}')",
        quote::text(schema),
        lease::TABLE,
    );
    let rows = session.rows("reading the schema", query).await?;
    let table = |row: Vec<Option<String>>| {
        let [name, kind, columns] = <[_; 3]>::try_from(row).ok()?;
        let columns = columns.unwrap_or_default().split(' ').map(str::to_owned).collect();
        Some(Table { name: name?, kind: kind?, columns })
    };
    Ok(rows.into_iter().filter_map(table).collect())
}

/// A table and the columns it needs.
type Wanted<'a> = (&'a str, &'a [(&'a str, &'a str)]);

/// Makes the tables that are missing, and adds the columns that are. Safe to race.
pub(crate) async fn create(session: &mut PgSession, wanted: &[Wanted<'_>]) -> Result<()> {
    const TRIES: usize = 5;
    for _ in 1..TRIES {
        match create_once(session, wanted).await {
            Err(Error::Database { code: Some(code), .. }) if RACED.contains(&&*code) => {}
            decided => return decided,
        }
    }
    create_once(session, wanted).await
}

async fn create_once(session: &mut PgSession, wanted: &[Wanted<'_>]) -> Result<()> {
    let tables = tables(session).await?;
    stored::all_are_tables(tables.iter().map(|table| (&*table.name, &*table.kind)))?;
    if tables.iter().any(|table| table.name == FORMATS) {
        // What is newer is not touched.
        stored_format(session, "true").await?;
    }
    let mut sql = Vec::new();
    for (name, columns) in wanted {
        let qualified = session.table(name)?;
        match tables.iter().find(|table| table.name == *name) {
            None => {
                let columns: Vec<String> = columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
                sql.push(format!("create table {qualified} ({})", columns.join(", ")));
            }
            Some(table) => {
                let missing = columns.iter().filter(|(name, _)| !table.columns.iter().any(|there| there == name));
                sql.extend(missing.map(|(name, kind)| format!("alter table {qualified} add column {name} {kind}")));
            }
        }
    }
    if sql.is_empty() {
        return Ok(());
    }
    if let Some(schema) = session.unmade_schema().await? {
        sql.insert(0, format!("create schema {}", quote::name(&schema)));
    }
    session.run("creating the history tables", sql.join("; ")).await.map_err(|error| match error {
        Error::NotAllowed { problem, .. } if !problem.contains(GRANTS) => Error::NotAllowed {
            action: "creating the history tables".to_owned(),
            problem: format!("{problem}; {GRANTS}"),
        },
        other => other,
    })
}
