//! The history, as a table of the database itself.

use admmgt_core::stored::{self, FORMATS, HISTORY};
use admmgt_core::{
    Acquired, Batch, Checkpoint, CheckpointKey, Error, ForeignHistory, Head, History, LeaseRequest, Namespace, Result,
    Session, StateStore, Token, async_trait,
};
use sqlx::PgConnection;

use crate::error::code;
use crate::foreign;
use crate::hygiene::{AS_OURSELVES, LITTER, Settings};
use crate::lease;
use crate::link::Link;
use crate::place::Schemas;
use crate::quote;
use crate::records;
use crate::rows;
use crate::tables::{self, FORMAT, RECORDS};
use crate::wire;

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
    let sql = format!("{}{}", settings.for_now(), heads_query(&schemas.table(HISTORY)));
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
    let known = known.ok_or_else(|| Error::corrupt(&*place, "it is no number; restore the row from a backup"))?;
    stored::check_format(place, known)?;
    let mut head = Head::default();
    head.namespaces.extend(stored::heads(heads.as_deref())?);
    Ok(head)
}

#[async_trait]
impl StateStore for PgStore {
    async fn head(&self, session: &mut dyn Session, _: &[Namespace]) -> Result<Option<Head>> {
        let link = Link::of(session)?;
        if tables::records(link).await?.is_none() {
            return Ok(None);
        }
        let table = link.table(HISTORY)?;
        let row = link.row("reading the heads", heads_query(&table)).await.map_err(tables::changed)?;
        match row {
            Some(row) => head_of(&row).map(Some),
            None => {
                let emptied = tables::was_emptied(link).await?;
                stored::read(Vec::new(), Vec::new(), emptied).map(|history| Some(history.head))
            }
        }
    }

    async fn prepare(&self, session: &mut dyn Session) -> Result<()> {
        let link = Link::of(session)?;
        if !link.is_prepared {
            tables::create(link, &[FORMAT, RECORDS]).await?;
            link.is_prepared = true;
        }
        // By now a newer version may have been here; and this role may only read.
        let (history, formats) = (link.table(HISTORY)?, link.table(FORMATS)?);
        let may = |table: &str, right| format!("has_table_privilege({}, '{right}')", quote::text(table));
        let (format, may_write) =
            tables::format(link, &format!("{} and {}", may(&history, "insert"), may(&formats, "update"))).await?;
        if !may_write {
            // It could run migrations and not record them.
            return Err(Error::NotAllowed {
                action: "writing the history".to_owned(),
                problem: format!(
                    "this role may not insert into {history} and update {formats}; migrate as the role that owns them, or \
                     grant that"
                ),
            });
        }
        if format.is_some() {
            return Ok(());
        }
        let first = format!(
            "insert into {formats} (format, began) select {}, false where not exists (select from {formats})",
            admmgt_core::FORMAT
        );
        link.run("creating the history tables", first).await
    }

    async fn history(&self, session: &mut dyn Session) -> Result<History> {
        records::read(Link::of(session)?).await
    }

    async fn append(&self, session: &mut dyn Session, batch: &Batch) -> Result<()> {
        let link = Link::of(session)?;
        // One message is one transaction, and what is set locally ends with it.
        let mut sql = format!("{AS_OURSELVES}; {}", records::writing(link, batch)?);
        if link.littered {
            sql = format!("{LITTER}; {sql}");
        }
        link.run("writing the history", sql).await?;
        link.littered = false;
        records::wrote(link, batch);
        Ok(())
    }

    async fn checkpoint(&self, session: &mut dyn Session, key: &CheckpointKey) -> Result<Option<Checkpoint>> {
        rows::checkpoint(Link::of(session)?, key).await
    }

    async fn save_checkpoint(
        &self,
        session: &mut dyn Session,
        key: &CheckpointKey,
        checkpoint: &Checkpoint,
        fence: Option<Token>,
    ) -> Result<()> {
        rows::save(Link::of(session)?, key, checkpoint, fence).await
    }

    async fn names(&self, session: &mut dyn Session) -> Result<Vec<String>> {
        let rows = Link::of(session)?.rows("reading the schema", NAMES.to_owned()).await?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }

    async fn foreign(&self, session: &mut dyn Session) -> Result<Vec<ForeignHistory>> {
        foreign::histories(Link::of(session)?).await
    }

    async fn acquire(&self, session: &mut dyn Session, request: &LeaseRequest) -> Result<Acquired> {
        lease::acquire(Link::of(session)?, request).await
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
