#![allow(missing_docs)]
use std::time::Duration;
use admmgt::prelude::*;
use admmgt::rusqlite::{Connection, OpenFlags};
use admmgt::{Access, Driver, Namespace, SessionOptions};
use admmgt_benches::{Place, Result, made, paired, table, timed};
use tokio::runtime::Builder;

const HEADS: &str = "SELECT f.format, h.namespace, h.digest, h.count, h.seq
                     FROM _admmgt_format f LEFT JOIN _admmgt_head h";

fn open(path: &std::path::Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).unwrap()
}
fn row(path: &std::path::Path) {
    let db = open(path);
    db.query_row("select name from app where id = 1", [], |row| row.get::<_, String>(0)).unwrap();
}
fn main() -> Result<()> {
    let rt = Builder::new_current_thread().enable_time().build()?;
    let rtm = Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    for place in Place::all()? {
        for kept in [false, true] {
        let folder = place.folder()?;
        let path = folder.path().join("app.db");
        Connection::open(&path)?.execute_batch("create table app (id integer primary key, name text); insert into app values (1, 'one')")?;
        let migrations = Migrations::new(made::sql(1000, made::insert)?);
        let mut policy = Policy::default();
        policy.group = true;
        rt.block_on(Migrator::new(Sqlite::open(&path)?).migrations(migrations).policy(policy).up())?;
        let app = kept.then(|| { let c = open(&path); c.query_row("select 1 from app", [], |r| r.get::<_, i64>(0)).unwrap(); c });
        table::pairs("a", "one row");
        let n = 600;
        let base = || timed(|| Ok(row(&path)));
        let p = |name: &str, f: &mut dyn FnMut() -> Result<Duration>| -> Result<()> { table::pair(&format!("{} kept {kept} {name}", place.name), &paired(n, f, base)?, None); Ok(()) };
        p("same", &mut || timed(|| Ok(row(&path))))?;
        p("open+close only", &mut || timed(|| Ok(drop(open(&path)))))?;
        p("one row on spawn_blocking", &mut || { let path = path.clone(); timed(|| Ok(rt.block_on(rt.spawn_blocking(move || row(&path)))?)) })?;
        p("one row on spawn_blocking, multi", &mut || { let path = path.clone(); timed(|| Ok(rtm.block_on(rtm.spawn_blocking(move || row(&path)))?)) })?;
        p("one row on std thread", &mut || { let path = path.clone(); timed(|| Ok(std::thread::spawn(move || row(&path)).join().unwrap())) })?;
        p("one row in block_on", &mut || timed(|| Ok(rt.block_on(async { row(&path) }))))?;
        p("heads inline", &mut || timed(|| { let db = open(&path); let mut s = db.prepare(HEADS)?; let mut r = s.query([])?; while let Some(x) = r.next()? { std::hint::black_box(x.get::<_, i64>(0)?); } Ok(()) }))?;
        p("heads inline, stat, busy_timeout", &mut || timed(|| { std::fs::metadata(&path)?; let db = open(&path); db.busy_timeout(Duration::from_secs(5))?; let mut s = db.prepare(HEADS)?; let mut r = s.query([])?; while let Some(x) = r.next()? { std::hint::black_box(x.get::<_, i64>(0)?); } Ok(()) }))?;
        let driver = Sqlite::open(&path)?;
        let (options, namespaces) = (SessionOptions::new(Access::Read), [Namespace::new(made::NAMESPACE)?]);
        p("peek", &mut || timed(|| Ok(rt.block_on(driver.peek(&options, &namespaces))?.unwrap())))?;
        drop(app);
        }
    }
    Ok(())
}
