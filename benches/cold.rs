//! What the first start-up costs: a thousand pending migrations, against the loop that one would
//! write by hand on rusqlite.
//!
//! The loop does what makes a migration safe and no more: `BEGIN IMMEDIATE`, the body, one row of
//! history, `COMMIT`. On a disk both wait for one durable commit per migration, so the ratio tells
//! whether there is a second one; on a memory file system it tells what the engine itself costs.
//! Both start without a file and end with it closed; WAL, `synchronous` as SQLite has it (FULL).
//! The time of `up` includes building the set.

use std::path::Path;

use admmgt::prelude::*;
use admmgt::rusqlite::{self, Connection, params};
use admmgt::{BoxFuture, Item};
use admmgt_benches::{Place, Result, is_wanted, made, paired, table, timed, times};
use tokio::runtime::{Builder, Runtime};

const COUNT: usize = 1000;
const BOUND_DISK: f64 = 1.1;
const BOUND_MEMORY: f64 = 1.5;
const BOUND_GROUP: f64 = 1.3;
const PAIRS: usize = 41;

/// The same change of one migration, for the engine and for the loop.
struct Kind {
    name: &'static str,
    migrations: Migrations,
    statement: fn(usize) -> String,
    /// Whether the bounds were promised for it.
    is_bound: bool,
}

fn main() -> Result<()> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let kinds = [
        Kind {
            name: "SQL `create table`",
            migrations: made::sql(COUNT, made::create_table).map(Migrations::new)?,
            statement: made::create_table,
            is_bound: true,
        },
        Kind {
            name: "plain fn `create table`",
            migrations: Migrations::from(&*functions(plain)),
            statement: made::create_table,
            is_bound: true,
        },
        Kind {
            name: "async fn `create table`",
            migrations: Migrations::from(&*functions(asynchronous)),
            statement: made::create_table,
            is_bound: true,
        },
        Kind {
            name: "SQL `insert`",
            migrations: made::sql(COUNT, made::insert).map(Migrations::new)?,
            statement: made::insert,
            is_bound: false,
        },
    ];
    println!("# {COUNT} pending migrations, against a hand-written loop");
    for by in [By::Caller, By::Thread] {
        table::pairs("up", by.name());
        for place in Place::all()? {
            for group in [false, true] {
                for kind in &kinds {
                    let case = format!("{}, {}, {}", place.name, if group { "group" } else { "each" }, kind.name);
                    if is_wanted(&case) {
                        measure(&case, &runtime, &place, group, kind, by)?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Who runs the loop. An async program has to give it a thread, as the engine does; where a disk answers
/// one core, a thread on another one hears of it later.
#[derive(Clone, Copy)]
enum By {
    /// The main thread of the program.
    Caller,
    /// A thread made for it.
    Thread,
}

impl By {
    fn name(self) -> &'static str {
        match self {
            Self::Caller => "loop",
            Self::Thread => "loop on a thread of its own",
        }
    }

    fn run(self, work: impl FnOnce() -> rusqlite::Result<()> + Send) -> Result<()> {
        let done = match self {
            Self::Caller => work(),
            Self::Thread => std::thread::scope(|scope| scope.spawn(work).join()).map_err(|_| "the loop panicked")?,
        };
        Ok(done?)
    }
}

fn measure(case: &str, runtime: &Runtime, place: &Place, group: bool, kind: &Kind, by: By) -> Result<()> {
    let bound = match (group, place.is_disk()) {
        (true, _) => BOUND_GROUP,
        (false, true) => BOUND_DISK,
        (false, false) => BOUND_MEMORY,
    };
    let names: Vec<(String, String)> =
        kind.migrations.metas().map(|meta| (meta.id.to_string(), meta.checksum.to_string())).collect();
    let statements: Vec<String> = (0..COUNT).map(kind.statement).collect();
    let up = || {
        let folder = place.folder()?;
        let path = folder.path().join("app.db");
        application(&path)?;
        let mut policy = Policy::default();
        policy.group = group;
        let migrator = Migrator::new(Sqlite::open(&path)?).migrations(kind.migrations.clone()).policy(policy);
        timed(|| Ok(runtime.block_on(migrator.up())?))
    };
    let by_hand = || {
        let folder = place.folder()?;
        let path = folder.path().join("app.db");
        application(&path)?;
        timed(|| by.run(|| by_hand(&path, group, &names, &statements)))
    };
    let measured = paired(times(PAIRS), up, by_hand)?;
    table::pair(case, &measured, kind.is_bound.then_some(bound));
    Ok(())
}

/// The table that `insert` fills; the file exists before either side starts.
fn application(path: &Path) -> rusqlite::Result<()> {
    Connection::open(path)?.execute_batch("create table app (id integer primary key, name text)")
}

/// As a person writes it who prepares the insert once.
fn by_hand(path: &Path, group: bool, names: &[(String, String)], statements: &[String]) -> rusqlite::Result<()> {
    let db = Connection::open(path)?;
    db.pragma_update(None, "journal_mode", "wal")?;
    db.execute_batch("create table history (id integer primary key, name text, checksum text, at integer)")?;
    let mut insert = db.prepare("insert into history (name, checksum, at) values (?1, ?2, unixepoch())")?;
    if group {
        db.execute_batch("begin immediate")?;
    }
    for ((name, checksum), statement) in names.iter().zip(statements) {
        if !group {
            db.execute_batch("begin immediate")?;
        }
        db.execute_batch(statement)?;
        insert.execute(params![name, checksum])?;
        if !group {
            db.execute_batch("commit")?;
        }
    }
    if group { db.execute_batch("commit") } else { Ok(()) }
}

type BodyResult = std::result::Result<(), BoxError>;

/// As many migrations with the same body, which tells by its context which of them it is.
fn functions(body: fn(&mut Context) -> BoxFuture<'_, BodyResult>) -> Vec<&'static Item> {
    made::items(COUNT, body, |_| Vec::new())
}

fn plain(cx: &mut Context) -> BoxFuture<'_, BodyResult> {
    Box::pin(async move {
        let statement = made::create_table(number(cx)?);
        cx.blocking(move |db: &mut Connection| Ok(db.execute_batch(&statement)?)).await
    })
}

fn asynchronous(cx: &mut Context) -> BoxFuture<'_, BodyResult> {
    Box::pin(async move {
        let statement = made::create_table(number(cx)?);
        cx.execute(statement).await?;
        Ok(())
    })
}

fn number(cx: &Context) -> std::result::Result<usize, BoxError> {
    let id = cx.migration().ok_or("no migration runs")?.id();
    Ok(id.split('_').next().unwrap_or_default().parse()?)
}
