//! Sets of migrations that a test and its children know by name.
//!
//! Migration `n` makes the table `<namespace>_m<n>` and adds one row to `log`, so that what ran,
//! and how often, can be counted from outside.

use std::time::{Duration, Instant};

use admmgt::prelude::*;
use admmgt::rusqlite::Connection;
use admmgt::{BoxFuture, FromContext, Meta, MigrationId, OnInterrupt, Rows, TransactionMode, async_trait};
use serde::{Deserialize, Serialize};

use crate::bodies::meta;
use crate::orders::{Hold, Orders};
use crate::points::pass;
use crate::{AsyncCode, asynchronous};

/// The names of the sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sets {
    /// SQL, a plain function, an async function, in turn.
    Mixed,
    /// SQL only, one statement each but two.
    Small,
    /// As `Small`, but the second is three statements without a transaction.
    Outside,
    /// As `Outside`, with a probe that counts what is there.
    Probed,
    /// As `Small`, but the second is 601 statements without a transaction of ours: rows one by one, as many in
    /// transactions of the file's own, a VACUUM.
    Rows,
    /// As `Outside`, but the first two statements are in a transaction and a savepoint of the file's own.
    OwnTransaction,
    /// As `Small`, but the second is a function without a transaction.
    CodeOutside,
    /// As `Small`, but the second waits in its body for [`Orders::hold`].
    Held,
    /// As `Small`, but the last but one fails.
    Failing,
    /// As `Small`, with a way back for each.
    Reversible,
    /// As `Small`, but the second sleeps in the server for 20 s, once.
    Asleep,
    /// As `Small`, but the second is an index, built beside others' work on the table `big`.
    Index,
    /// As `Small`, but the second adds 1 to each row of the table `big`, in batches.
    Backfill,
}

impl Sets {
    /// After so many statements of the second migration, so many of its effects are there for good: where
    /// a run can be interrupted. Empty where that is not counted.
    pub fn stops(self) -> &'static [(u32, usize)] {
        match self {
            Self::Outside => &[(0, 0), (1, 1), (2, 2), (3, 3)],
            Self::OwnTransaction => &[(0, 0), (6, 2), (7, 3)],
            _ => &[],
        }
    }

    /// The migrations that the orders ask for.
    pub fn migrations(orders: &Orders) -> Migrations {
        if orders.mongo().is_some() {
            return crate::mongo::migrations(orders);
        }
        (1..=orders.count).fold(Migrations::default(), |all, number| {
            let one = One { namespace: orders.namespace.clone(), number, on_server: orders.server.is_some() };
            match (orders.set, number) {
                (Self::Mixed, number) if number % 3 == 2 => all.and(one.code(Way::Plain, None)),
                (Self::Mixed, number) if number % 3 == 0 => all.and(one.code(Way::Async, None)),
                (Self::Outside, 2) => all.and(one.outside()),
                (Self::Index, 2) => all.and(one.index()),
                (Self::Backfill, 2) => all.and(one.backfill()),
                (Self::Index | Self::Backfill, 3) => all.and(one.after_index()),
                (Self::Reversible, _) => all.and(one.reversible()),
                (Self::Asleep, 2) => all.and(one.asleep()),
                (Self::Rows, 2) => all.and(one.rows()),
                (Self::Probed, 2) if one.on_server => all.and(one.outside().probe(probe_server)),
                (Self::Probed, 2) => all.and(one.outside().probe(probe)),
                (Self::OwnTransaction, 2) => all.and(one.own_transaction()),
                (Self::CodeOutside, 2) => all.and(one.code(Way::Outside, None)),
                (Self::Held, 2) => all.and(one.code(Way::Plain, orders.hold.clone())),
                (Self::Failing, number) if number + 1 == orders.count => all.and(one.failing()),
                _ => all.and(one.sql()),
            }
        })
    }
}

/// One migration of a set.
#[derive(Debug, Clone)]
struct One {
    namespace: String,
    number: usize,
    on_server: bool,
}

/// How many of the three effects of the second migration of `app` are there.
fn probe(cx: &mut Context) -> BoxFuture<'_, Result<Probed, BoxError>> {
    let effects = "select (select count(*) from sqlite_schema where name in ('app_m2', 'app_m2_more'))
                       + (select count(*) from log where migration = 'app/0002')";
    let count = |db: &mut Connection| Ok(db.query_row(effects, [], |row| row.get(0))?);
    Box::pin(async move {
        pass("before a probe looks");
        let count: u32 = cx.blocking(count).await?;
        pass("after a probe has looked");
        Ok(if count == 3 { Probed::Done } else { Probed::Statements(count) })
    })
}

/// The same on a server.
fn probe_server(cx: &mut Context) -> BoxFuture<'_, Result<Probed, BoxError>> {
    const EFFECTS: &str = "select (select count(*) from pg_tables where tablename in ('app_m2', 'app_m2_more'))
                           + (select count(*) from log where migration = 'app/0002')";
    Box::pin(async move {
        pass("before a probe looks");
        let db: &mut PgConnection = FromContext::<Postgres>::from_context(cx)?;
        let count: i64 = sqlx::query_scalar(EFFECTS).fetch_one(db).await?;
        pass("after a probe has looked");
        Ok(if count == 3 { Probed::Done } else { Probed::Statements(u32::try_from(count)?) })
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    Async,
    Outside,
}

impl One {
    /// Wide enough that a newer program never has an id alike.
    fn name(&self) -> String {
        format!("{:04}", self.number)
    }

    fn log(&self) -> String {
        format!("insert into log values ('{}/{}')", self.namespace, self.name())
    }

    fn table(&self) -> String {
        format!("create table {}_m{} (id integer)", self.namespace, self.number)
    }

    fn first(&self) -> &'static str {
        if self.number == 1 { "create table if not exists log (migration text);\n" } else { "" }
    }

    fn migration(&self, text: String) -> SqlMigration {
        SqlMigration::new(&*self.namespace, self.name(), text).expect("a name")
    }

    fn sql(&self) -> SqlMigration {
        self.migration(format!("{}{};\n{};", self.first(), self.table(), self.log()))
    }

    fn outside(&self) -> SqlMigration {
        let table = format!("create table {}_m2_more (id integer)", self.namespace);
        let text = format!("{};\n{};\n{table};", self.table(), self.log());
        self.migration(text).with(|meta| meta.transaction(TransactionMode::None))
    }

    fn reversible(&self) -> SqlMigration {
        let back = format!(
            "drop table {}_m{};\ndelete from log where migration = '{}/{}';",
            self.namespace,
            self.number,
            self.namespace,
            self.name()
        );
        self.sql().down(back)
    }

    fn asleep(&self) -> SqlMigration {
        self.migration(format!("{};\nselect pg_sleep(20);\n{};", self.table(), self.log()))
    }

    /// Nothing but the index: wherever it is interrupted, the next process goes on by itself.
    fn index(&self) -> SqlMigration {
        self.migration(format!("create index concurrently {}_big on big (value)", self.namespace))
    }

    /// What tells of the migration before it, which could not do so in a transaction.
    fn after_index(&self) -> SqlMigration {
        let before = Self { number: self.number - 1, ..self.clone() };
        self.migration([before.table(), before.log(), self.table(), self.log()].join(";\n"))
    }

    /// Nothing but the backfill, which may always go on.
    fn backfill(&self) -> AsyncCode {
        let id = MigrationId::new(&*self.namespace, self.name()).expect("a name");
        asynchronous(&self.name(), |cx| {
            Box::pin(async move {
                let rows = Rows::of("big", ["id"]).set("value = value + 1");
                cx.backfill("one more").update(&rows).await?;
                Ok(())
            })
        })
        .with(|_| meta(id).transaction(TransactionMode::None).on_interrupt(OnInterrupt::Retry))
    }

    fn own_transaction(&self) -> SqlMigration {
        let table = format!("create table {}_m2_more (id integer)", self.namespace);
        let own = format!("begin;\n{};\nsavepoint mine;\n{};\nrelease mine;\ncommit;", self.table(), self.log());
        self.migration(format!("{own}\n{table};")).with(|meta| meta.transaction(TransactionMode::None))
    }

    fn rows(&self) -> SqlMigration {
        let mut text = format!("create table {0}_m2 (id integer);\n", self.namespace);
        for row in 0..600 {
            let (begin, commit) = if row >= 300 { (row % 50 == 0, row % 50 == 49) } else { (false, false) };
            text += if begin { "begin;\n" } else { "" };
            text += &format!("insert into {}_m2 values ({row});\n", self.namespace);
            text += if commit { "commit;\n" } else { "" };
        }
        text += &format!("{};\nvacuum;", self.log());
        self.migration(text).with(|meta| meta.transaction(TransactionMode::None))
    }

    fn failing(&self) -> SqlMigration {
        self.migration(format!("{};\n{};\ninsert into nowhere values (1);", self.table(), self.log()))
    }

    fn code(self, way: Way, hold: Option<Hold>) -> Scripted {
        let id = MigrationId::new(&*self.namespace, self.name()).expect("a name");
        let meta = meta(id);
        let meta = if way == Way::Outside { meta.transaction(TransactionMode::None) } else { meta };
        Scripted { meta, way, hold, on_server: self.on_server, statements: [self.table(), self.log()] }
    }
}

struct Scripted {
    meta: Meta,
    way: Way,
    hold: Option<Hold>,
    on_server: bool,
    statements: [String; 2],
}

impl Scripted {
    fn plain(&self, db: &mut Connection) -> Result<(), BoxError> {
        for statement in &self.statements {
            pass("before a statement in a body");
            db.execute_batch(statement)?;
            pass("after a statement in a body");
        }
        tracing::info!("from the body");
        if let Some(hold) = &self.hold {
            hold.wait()?;
        }
        Ok(())
    }

    async fn on_server(&self, db: &mut PgConnection) -> Result<(), BoxError> {
        for statement in &self.statements {
            pass("before a statement in a body");
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement.as_str())).execute(&mut *db).await?;
            pass("after a statement in a body");
        }
        if let Some(hold) = &self.hold {
            std::fs::write(&hold.running, "")?;
            while !hold.release.exists() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Migration for Scripted {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    async fn up(&self, cx: &mut Context) -> Result<(), BoxError> {
        if self.way != Way::Async && self.on_server {
            return self.on_server(FromContext::<Postgres>::from_context(cx)?).await;
        }
        if self.way != Way::Async {
            return cx.blocking(|db: &mut Connection| self.plain(db)).await;
        }
        for statement in &self.statements {
            cx.execute(statement.as_str()).await?;
        }
        Ok(())
    }
}

impl Hold {
    fn wait(&self) -> Result<(), BoxError> {
        std::fs::write(&self.running, "")?;
        let clock = Instant::now();
        while !self.release.exists() {
            if clock.elapsed() > Duration::from_secs(100) {
                return Err("nobody released this migration".into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}
