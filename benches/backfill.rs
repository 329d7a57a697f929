//! Backfills: many rows in batches that commit one by one, each with its checkpoint.
//!
//! - Against a bare loop of the same ranged updates, each committed by itself: what finding the ends of the batches
//!   and keeping the checkpoints costs.
//! - On PostgreSQL against one single `update`, and what a writer beside it feels of each.
//! - From ten thousand rows to three millions: the rate of the backfill itself, without the start of the run, and the most
//!   memory that the process had.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use admmgt::mongo::Documents;
use admmgt::mongodb::bson::{Document, doc};
use admmgt::prelude::*;
use admmgt::sqlx::{Connection as _, raw_sql};
use admmgt::{Driver, OnInterrupt, Rows, Verdict};
use admmgt_benches::{Result, alone, is_quick, is_wanted, paired, table, timed};
use admmgt_tests::{AsyncCode, Cluster, Database, MongoDatabase, Mongod, asynchronous, outside};
use tokio::runtime::{Builder, Runtime};

/// 85 % of the rate of the bare loop.
const BOUND: f64 = 1.0 / 0.85;
const BOUND_SINGLE: f64 = 1.2;
/// As many as ours come to: the most that the policy allows.
const BATCH: i64 = 10_000;

fn rows() -> i64 {
    if is_quick() { 100_000 } else { 1_000_000 }
}

fn times() -> usize {
    if is_quick() { 3 } else { 5 }
}

fn main() -> Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // A part of them: `cargo bench --bench backfill -- SQLite`, or `rate`.
    println!("# {} rows, against a bare loop of ranged updates of {BATCH}", rows());
    table::pairs("backfill", "loop");
    if is_wanted("SQLite loop") {
        sqlite(&runtime)?;
    }
    let cluster = Cluster::start_with("fsync = on\n");
    if let Some(cluster) = cluster.as_ref().filter(|_| is_wanted("PostgreSQL loop")) {
        postgres(&runtime, cluster)?;
    }
    let server = Mongod::replica_set();
    if let Some(server) = server.as_ref().filter(|_| is_wanted("MongoDB loop")) {
        mongo(&runtime, &server.url("admin"))?;
    }
    println!(
        "\n# the rate of the backfill itself, by the number of rows; bound: all within 20 % of what is between them"
    );
    println!("\n| | rows | rows/s | p10 to p90 | peak, MB |");
    println!("|---|--:|--:|--:|--:|");
    if is_wanted("SQLite rate") {
        rates("SQLite", |count| {
            let place = tempfile::tempdir()?;
            let path = place.path().join("app.db");
            fill_sqlite(&path, count)?;
            filled(&runtime, Sqlite::open(&path)?, update)
        })?;
    }
    if let Some(cluster) = cluster.as_ref().filter(|_| is_wanted("PostgreSQL rate")) {
        let url = cluster.url("postgres");
        rates("PostgreSQL", |count| filled(&runtime, filled_postgres(&runtime, &url, count).driver(), update))?;
    }
    if let Some(server) = server.as_ref().filter(|_| is_wanted("MongoDB rate")) {
        let url = server.url("admin");
        rates("MongoDB", |count| {
            let db = filled_mongo(&runtime, &url, count)?;
            filled(&runtime, db.driver().lease_ttl(Duration::from_secs(30)), documents)
        })?;
    }
    Ok(())
}

/// How fast rows are filled, from few to many of them.
fn rates(name: &str, mut fill: impl FnMut(i64) -> Result<Duration>) -> Result<()> {
    let mut rates = Vec::new();
    for (count, times) in [(10_000, 15), (100_000, 9), (1_000_000, 5), (3_000_000, 3)] {
        if is_quick() && count > 100_000 {
            continue;
        }
        let samples = alone(times, || fill(count))?;
        let rate = |hundredths| count as f64 / samples.percentile(hundredths);
        println!("| {name} | {count} | {:.0} | {:.0} to {:.0} | {:.0} |", rate(50), rate(90), rate(10), peak());
        rates.push(rate(50));
    }
    let (least, most) =
        rates.iter().fold((f64::MAX, 0.0_f64), |(least, most), rate| (least.min(*rate), most.max(*rate)));
    println!("| {name} | all | within {:.0} % | | |", (most - least) / (most + least) * 100.0);
    Ok(())
}

/// The most memory that this process had, in megabytes.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|rest| rest.split_whitespace().next()).and_then(|kb| kb.parse::<f64>().ok());
    peak.unwrap_or_default() / 1024.0
}

/// How long a backfill took in its body.
type Took = Arc<Mutex<Duration>>;

fn filled(runtime: &Runtime, driver: impl Driver, code: impl FnOnce(Took) -> AsyncCode) -> Result<Duration> {
    let took = Took::default();
    run(runtime, driver, code(Arc::clone(&took)))?;
    let took = took.lock().map_err(|_| "the backfill panicked")?;
    Ok(*took)
}

/// The backfill of a table.
fn update(took: Took) -> AsyncCode {
    filling(asynchronous("1", move |cx| {
        let took = Arc::clone(&took);
        Box::pin(async move {
            let rows = Rows::of("sales", ["id"]).set("gross = net + 1").only("gross is null");
            let clock = Instant::now();
            cx.backfill("gross").update(&rows).await?;
            *took.lock().map_err(|_| "a backfill panicked")? = clock.elapsed();
            Ok(())
        })
    }))
}

/// The backfill of a collection.
fn documents(took: Took) -> AsyncCode {
    filling(asynchronous("1", move |cx| {
        let took = Arc::clone(&took);
        Box::pin(async move {
            let gross = doc! { "$set": { "gross": 1 } };
            let mut sales = Documents::of("sales").update(gross).only(doc! { "gross": null });
            let clock = Instant::now();
            cx.backfill("gross").run(&mut sales).await?;
            *took.lock().map_err(|_| "a backfill panicked")? = clock.elapsed();
            Ok(())
        })
    }))
}

fn filling(code: AsyncCode) -> AsyncCode {
    code.with(|meta| outside(meta).on_interrupt(OnInterrupt::Retry))
}

fn run(runtime: &Runtime, driver: impl Driver, code: AsyncCode) -> Result<Duration> {
    let mut policy = Policy::default();
    policy.foreign = Verdict::Allow;
    let migrator = Migrator::new(driver).migrations(Migrations::default().and(code)).policy(policy);
    timed(|| Ok(runtime.block_on(migrator.up())?))
}

fn fill_sqlite(path: &std::path::Path, count: i64) -> Result<()> {
    let db = rusqlite::Connection::open(path)?;
    db.execute_batch(&format!(
        "pragma journal_mode = wal;
         create table sales (id integer primary key, net integer not null, note text not null, gross integer);
         with recursive n(i) as (select 1 union all select i + 1 from n where i < {count})
         insert into sales select i, i % 1000, 'a note of some length ' || i, null from n"
    ))?;
    Ok(())
}

fn sqlite(runtime: &Runtime) -> Result<()> {
    let fresh = || -> Result<_> {
        let place = tempfile::tempdir()?;
        fill_sqlite(&place.path().join("app.db"), rows())?;
        Ok(place)
    };
    let ours = || {
        let place = fresh()?;
        run(runtime, Sqlite::open(place.path().join("app.db"))?, update(Took::default()))
    };
    let bare = || {
        let place = fresh()?;
        let db = rusqlite::Connection::open(place.path().join("app.db"))?;
        timed(|| {
            for from in (0..rows()).step_by(usize::try_from(BATCH)?) {
                db.execute_batch(&format!(
                    "begin immediate; update sales set gross = net + 1 where id > {from} and id <= {} and gross is null; commit",
                    from + BATCH
                ))?;
            }
            Ok(())
        })
    };
    table::pair("SQLite", &paired(times(), ours, bare)?, Some(BOUND));
    Ok(())
}

fn filled_postgres(runtime: &Runtime, server: &str, count: i64) -> Database {
    runtime.block_on(async {
        let db = Database::on(server, true).await;
        db.run(&format!(
            "create table sales (id bigint primary key, net integer not null, note text not null, gross integer);
             insert into sales select i, i % 1000, 'a note of some length ' || i, null from generate_series(1, {count}) i;
             checkpoint; analyze sales"
        ))
        .await;
        db
    })
}

fn postgres(runtime: &Runtime, cluster: &Cluster) -> Result<()> {
    let server = &cluster.url("postgres");
    let ours = || run(runtime, filled_postgres(runtime, server, rows()).driver(), update(Took::default()));
    let by_hand = |step: i64| {
        let db = filled_postgres(runtime, server, rows());
        timed(|| {
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&db.url()).await?;
                for from in (0..rows()).step_by(usize::try_from(step)?) {
                    let update = format!(
                        "update sales set gross = net + 1 where id > {from} and id <= {} and gross is null",
                        from + step
                    );
                    raw_sql(sqlx::AssertSqlSafe(update)).execute(&mut connection).await?;
                }
                Ok(())
            })
        })
    };
    table::pair("PostgreSQL", &paired(times(), ours, || by_hand(BATCH))?, Some(BOUND));
    table::pair("PostgreSQL, one update", &paired(times(), ours, || by_hand(rows()))?, Some(BOUND_SINGLE));
    beside(runtime, cluster)
}

/// What a writer of single rows feels of something else.
fn beside(runtime: &Runtime, cluster: &Cluster) -> Result<()> {
    println!("\n# a writer of single rows beside it: its 99th percentile");
    let server = &cluster.url("postgres");
    let sample = |work: &mut dyn FnMut(&Database) -> Result<()>| -> Result<(Duration, Duration)> {
        let db = filled_postgres(runtime, server, rows());
        writer(runtime, &db, work)
    };
    let mut counts = |db: &Database| {
        runtime.block_on(db.run("select count(*) from generate_series(1, 3000) a, generate_series(1, 20000) b"));
        Ok(())
    };
    let mut fills = |db: &Database| run(runtime, db.driver(), update(Took::default())).map(drop);
    // One by one in turn, as all that is compared.
    let mut all = [const { Vec::new() }; 5];
    for _ in 0..times() {
        all[0].push(sample(&mut |_| {
            std::thread::sleep(Duration::from_secs(3));
            Ok(())
        })?);
        // No rows of the table, no locks, no log: what it costs the writer is the processor's.
        all[1].push(sample(&mut counts)?);
        all[2].push(sample(&mut fills)?);
        all[3].extend(apart(runtime, cluster)?);
        all[4].push(sample(&mut |db| {
            runtime.block_on(db.run("update sales set gross = net + 1 where gross is null"));
            Ok(())
        })?);
    }
    println!("\n| beside | p99, ms | least to most | longest, ms | times idle | bound | |");
    println!("|---|--:|--:|--:|--:|--:|---|");
    for of_one in &mut all {
        of_one.sort_unstable();
    }
    let median = |of_one: &[(Duration, Duration)]| of_one[of_one.len() / 2].0.as_secs_f64();
    let unit = median(&all[0]);
    let names = [
        ("nothing", None),
        ("a statement that only counts", None),
        ("a backfill", Some(3.0)),
        ("a backfill, the server's process for it on another processor", Some(3.0)),
        ("one update", None),
    ];
    for ((name, bound), of_one) in names.into_iter().zip(&all).filter(|(_, of_one)| !of_one.is_empty()) {
        let ratio = median(of_one) / unit;
        let longest = of_one.iter().map(|(_, most)| *most).max().unwrap_or_default();
        let [least, most] = [of_one[0], of_one[of_one.len() - 1]].map(|(p99, _)| p99.as_secs_f64() * 1e3);
        let judged = bound.map_or("", |bound| if ratio <= bound { "holds" } else { "DOES NOT HOLD" });
        let bound = bound.map_or(String::new(), |bound: f64| bound.to_string());
        println!(
            "| {name} | {:.2} | {least:.2} to {most:.2} | {:.1} | {ratio:.1} | {bound} | {judged} |",
            ratio * unit * 1e3,
            longest.as_secs_f64() * 1e3,
        );
    }
    Ok(())
}

/// Updates a row of the table again and again while the work runs: the 99th percentile of what one took, and the longest.
fn writer(
    runtime: &Runtime,
    db: &Database,
    work: &mut dyn FnMut(&Database) -> Result<()>,
) -> Result<(Duration, Duration)> {
    let mut connection = runtime.block_on(PgConnection::connect(&db.url()))?;
    let (over, count) = (Arc::new(AtomicBool::new(false)), rows());
    let stops = Arc::clone(&over);
    let writer = runtime.spawn(async move {
        let mut latencies = Vec::new();
        while !stops.load(Ordering::SeqCst) {
            let id = fastrand::i64(1..=count);
            let clock = Instant::now();
            let update = format!("update sales set note = 'changed' where id = {id}");
            raw_sql(sqlx::AssertSqlSafe(update)).execute(&mut connection).await?;
            latencies.push(clock.elapsed());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        latencies.sort_unstable();
        let most = latencies.last().copied().unwrap_or_default();
        Ok::<_, sqlx::Error>((latencies[latencies.len() * 99 / 100], most))
    });
    work(db)?;
    over.store(true, Ordering::SeqCst);
    Ok(runtime.block_on(writer)??)
}

/// As beside a backfill that the server runs on one processor, and the writer and all of this program on another; `None` where
/// there is only one.
fn apart(runtime: &Runtime, cluster: &Cluster) -> Result<Option<(Duration, Duration)>> {
    let (allowed, server, client) = (processors(), cluster.pid().ok_or("the server does not run")?, std::process::id());
    let [first, second, ..] = allowed[..] else { return Ok(None) };
    let db = filled_postgres(runtime, &cluster.url("postgres"), rows());
    // A process for a connection runs where the server did when it began.
    pin(server, &[second])?;
    let sample = writer(runtime, &db, &mut |db| {
        pin(server, &[first])?;
        pin(client, &[second])?;
        run(runtime, db.driver(), update(Took::default())).map(drop)
    });
    pin(server, &allowed)?;
    pin(client, &allowed)?;
    sample.map(Some)
}

/// The numbers of those that this program may use.
fn processors() -> Vec<usize> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    let ranges = list.split(',').filter_map(|range| {
        let (first, last) = range.trim().split_once('-').unwrap_or((range.trim(), range.trim()));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    ranges.flatten().collect()
}

/// Lets a process run on these processors only.
fn pin(process: u32, processors: &[usize]) -> Result<()> {
    let list: Vec<String> = processors.iter().map(ToString::to_string).collect();
    let done = Command::new("taskset").args(["-acp", &list.join(","), &process.to_string()]).output()?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into()) }
}

fn filled_mongo(runtime: &Runtime, server: &str, count: i64) -> Result<MongoDatabase> {
    let db = MongoDatabase::at(server);
    runtime.block_on(async {
        let sales = db.collection("sales").await;
        for from in (0..count).step_by(10_000) {
            let all = (from..count.min(from + 10_000))
                .map(|id| doc! { "_id": id + 1, "net": id % 1000, "note": "a note of some length" });
            sales.insert_many(all).await?;
        }
        Ok::<_, admmgt::mongodb::error::Error>(())
    })?;
    Ok(db)
}

fn mongo(runtime: &Runtime, server: &str) -> Result<()> {
    let ours = || {
        let db = filled_mongo(runtime, server, rows())?;
        run(runtime, db.driver().lease_ttl(Duration::from_secs(30)), documents(Took::default()))
    };
    let bare = || {
        let db = filled_mongo(runtime, server, rows())?;
        timed(|| {
            runtime.block_on(async {
                let sales = db.collection("sales").await;
                let safely = admmgt::mongodb::options::WriteConcern::builder()
                    .w(admmgt::mongodb::options::Acknowledgment::Majority)
                    .journal(true)
                    .build();
                for from in (0..rows()).step_by(usize::try_from(BATCH)?) {
                    let filter: Document = doc! { "_id": { "$gt": from, "$lte": from + BATCH }, "gross": null };
                    let update = doc! { "$set": { "gross": 1 } };
                    sales.update_many(filter, update).write_concern(safely.clone()).await?;
                }
                Ok(())
            })
        })
    };
    table::pair("MongoDB", &paired(times(), ours, bare)?, Some(BOUND));
    Ok(())
}
