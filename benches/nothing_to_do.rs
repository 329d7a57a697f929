//! What a start-up costs when everything is applied: most start-ups.
//!
//! A program pays it each time it starts, so it has to stay beside "open the file, read one row,
//! close" however many migrations there are. `peek` is all that touches the database: open, read
//! the heads, close. `up` is the whole call, which builds the set of
//! migrations first; the bench `set` measures that apart.

use std::path::{Path, PathBuf};
use std::time::Duration;

use admmgt::prelude::*;
use admmgt::rusqlite::{self, Connection, OpenFlags};
use admmgt::{Access, Driver, Namespace, SessionOptions};
use admmgt_benches::{Place, Result, is_wanted, made, paired, table, timed, times};
use tokio::runtime::{Builder, Runtime};

const COUNTS: [usize; 4] = [10, 100, 1000, 5000];
const BOUND: f64 = 1.2;
const PAIRS: usize = 400;

/// A database with everything applied.
struct Current {
    folder: tempfile::TempDir,
    migrations: Migrations,
}

impl Current {
    fn new(place: &Place, runtime: &Runtime, count: usize, statement: Statement) -> Result<Self> {
        let folder = place.folder()?;
        let current = Self { folder, migrations: Migrations::new(made::sql(count, statement)?) };
        let db = Connection::open(current.path())?;
        db.execute_batch("create table app (id integer primary key, name text); insert into app values (1, 'one')")?;
        drop(db);
        let mut policy = Policy::default();
        policy.group = true;
        runtime.block_on(current.migrator()?.policy(policy).up())?;
        Ok(current)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    fn migrator(&self) -> Result<Migrator> {
        Ok(Migrator::new(Sqlite::open(self.path())?).migrations(self.migrations.clone()))
    }
}

fn main() -> Result<()> {
    let single = Builder::new_current_thread().enable_time().build()?;
    let many = Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let runtimes = [("current_thread", &single), ("multi_thread", &many)];

    println!("# nothing to do: the file is in WAL mode, and nobody else has it open");
    for reader in [Reader::Caller, Reader::Blocking] {
        table::pairs("peek", reader.name());
        each(|case, place, count, statement| {
            let current = Current::new(place, &single, count, statement)?;
            for (name, runtime) in runtimes {
                let row = || reader.one_row(runtime, current.path());
                let measured = paired(times(PAIRS), || peek(runtime, &current), row)?;
                table::pair(&format!("{case}, {name}"), &measured, Some(BOUND));
            }
            Ok(())
        })?;
    }

    println!("\n# the same, while the application has the file open: the side files of WAL are there already");
    for reader in [Reader::Caller, Reader::Blocking] {
        table::pairs("peek", reader.name());
        each(|case, place, count, statement| {
            let current = Current::new(place, &single, count, statement)?;
            let application = Connection::open(current.path())?;
            application.query_row(ONE_ROW, [], |row| row.get::<_, String>(0))?;
            let row = || reader.one_row(&single, current.path());
            let measured = paired(times(PAIRS), || peek(&single, &current), row)?;
            table::pair(&format!("{case}, current_thread"), &measured, Some(BOUND));
            Ok(())
        })?;
    }

    println!("\n# the whole of `Migrator::up`, which builds the set each time");
    table::pairs("up", Reader::Caller.name());
    each(|case, place, count, statement| {
        let current = Current::new(place, &single, count, statement)?;
        let migrator = current.migrator()?;
        let up = || timed(|| Ok(single.block_on(migrator.up())?));
        let row = || Reader::Caller.one_row(&single, current.path());
        table::pair(&format!("{case}, current_thread"), &paired(times(PAIRS), up, row)?, None);
        Ok(())
    })
}

/// The statement of each migration.
type Statement = fn(usize) -> String;

/// Every place, kind of migration and count.
fn each(mut measure: impl FnMut(&str, &Place, usize, Statement) -> Result<()>) -> Result<()> {
    let kinds: [(&str, Statement); 2] = [("insert", made::insert), ("create table", made::create_table)];
    for place in Place::all()? {
        for (kind, statement) in kinds {
            for count in COUNTS {
                let case = format!("{}, {count} × `{kind}`", place.name);
                if is_wanted(&case) {
                    measure(&case, &place, count, statement)?;
                }
            }
        }
    }
    Ok(())
}

/// What `up` does after the set is built.
fn peek(runtime: &Runtime, current: &Current) -> Result<Duration> {
    let driver = Sqlite::open(current.path())?;
    let (options, namespaces) = (SessionOptions::new(Access::Read), [Namespace::new(made::NAMESPACE)?]);
    timed(|| Ok(runtime.block_on(driver.peek(&options, &namespaces))?.ok_or("no history")?))
}

const ONE_ROW: &str = "select name from app where id = 1";

/// Who does the least that any program does with the file. What an async program does in good style
/// goes to another thread, and waking that one costs as much as the row: both are measured.
#[derive(Clone, Copy)]
enum Reader {
    /// The thread that asks.
    Caller,
    /// The runtime's thread for what blocks.
    Blocking,
}

impl Reader {
    fn name(self) -> &'static str {
        match self {
            Self::Caller => "open, one row, close",
            Self::Blocking => "open, one row, close, in `spawn_blocking`",
        }
    }

    fn one_row(self, runtime: &Runtime, path: PathBuf) -> Result<Duration> {
        match self {
            Self::Caller => timed(|| Ok(one_row(&path)?)),
            Self::Blocking => timed(|| Ok(runtime.block_on(runtime.spawn_blocking(move || one_row(&path)))??)),
        }
    }
}

fn one_row(path: &Path) -> rusqlite::Result<String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)?.query_row(ONE_ROW, [], |row| row.get(0))
}
