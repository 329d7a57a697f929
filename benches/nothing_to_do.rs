//! What a start-up costs when everything is applied: most start-ups.
//!
//! A program pays it each time it starts, so it has to stay beside "open the file, read one row,
//! close" however many migrations there are. `peek` is all that touches the database: open, read
//! the heads, close, on a thread that may block. `up` is the whole call, which builds the set of
//! migrations first; the bench `set` measures that apart.

use std::path::Path;
use std::time::Duration;

use admmgt::prelude::*;
use admmgt::rusqlite::{Connection, OpenFlags};
use admmgt::{Access, Driver, Namespace, SessionOptions};
use admmgt_benches::{Place, Result, alone, is_wanted, made, paired, table, timed, times};
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

    fn path(&self) -> std::path::PathBuf {
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
    table::pairs("peek", "open, one row, close");
    each(|case, place, count, statement| {
        let current = Current::new(place, &single, count, statement)?;
        for (name, runtime) in runtimes {
            let name = format!("{case}, {name}");
            let measured = paired(times(PAIRS), || peek(runtime, &current), || one_row(&current.path()))?;
            table::pair(&name, &measured, Some(BOUND));
        }
        Ok(())
    })?;

    println!("\n# the same, while the application has the file open (the side files of WAL are there already)");
    table::pairs("peek", "open, one row, close");
    each(|case, place, count, statement| {
        let current = Current::new(place, &single, count, statement)?;
        let application = Connection::open(current.path())?;
        application.query_row("select name from app where id = 1", [], |row| row.get::<_, String>(0))?;
        let measured = paired(times(PAIRS), || peek(&single, &current), || one_row(&current.path()))?;
        table::pair(&format!("{case}, current_thread"), &measured, Some(BOUND));
        Ok(())
    })?;

    println!("\n# the first call in a runtime, which starts the thread that may block");
    table::pairs("peek", "open, one row, close");
    each(|case, place, count, statement| {
        let current = Current::new(place, &single, count, statement)?;
        let first = || peek(&Builder::new_current_thread().enable_time().build()?, &current);
        let measured = paired(times(PAIRS), first, || one_row(&current.path()))?;
        table::pair(&format!("{case}, current_thread"), &measured, None);
        Ok(())
    })?;

    println!("\n# the whole of `Migrator::up`, which builds the set each time");
    table::pairs("up", "open, one row, close");
    each(|case, place, count, statement| {
        let current = Current::new(place, &single, count, statement)?;
        let migrator = current.migrator()?;
        for (name, runtime) in runtimes {
            let up = || timed(|| Ok(runtime.block_on(migrator.up())?));
            let measured = paired(times(PAIRS), up, || one_row(&current.path()))?;
            table::pair(&format!("{case}, {name}"), &measured, None);
        }
        Ok(())
    })?;

    println!("\n# what of it is neither the database nor ours: a function that does nothing, on the runtime's thread");
    table::singles("hop");
    for (name, runtime) in runtimes {
        let hop = || timed(|| Ok(runtime.block_on(runtime.spawn_blocking(|| ()))?));
        table::single(name, &alone(times(PAIRS), hop)?, 1, None);
    }
    Ok(())
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

/// The least that any program does with the file.
fn one_row(path: &Path) -> Result<Duration> {
    timed(|| {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        Ok(db.query_row("select name from app where id = 1", [], |row| row.get::<_, String>(0))?)
    })
}
