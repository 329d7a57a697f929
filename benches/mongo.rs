//! MongoDB, on a replica set of the bench's own.
//!
//! - Nothing to do: what a start-up costs when everything is applied, against finding one document. `peek` is all that asks the
//!   server; `up` is the whole call, which builds the set of migrations first.
//! - Cold: a hundred pending migrations, against the loop that one would write by hand: a transaction with the change and a
//!   document of history, written with the same concern.

use admmgt::mongodb::bson::{Document, doc};
use admmgt::mongodb::options::{Acknowledgment, WriteConcern};
use admmgt::mongodb::{Client, Collection};
use admmgt::prelude::*;
use admmgt::{Access, Driver, Namespace, SessionOptions};
use admmgt_benches::{Result, paired, table, timed, times};
use admmgt_tests::{MongoDatabase, Mongod};
use tokio::runtime::{Builder, Runtime};

const COUNTS: [usize; 3] = [10, 100, 1000];
const COLD: usize = 100;
const BOUND: f64 = 1.2;

fn main() -> Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let Some(server) = Mongod::replica_set() else {
        println!("SKIPPED: MongoDB is not there");
        return Ok(());
    };
    let server = server.url("admin");
    println!("# MongoDB: nothing to do, with the client of an application");
    table::pairs("peek, or up", "find one");
    for count in COUNTS {
        nothing_to_do(&runtime, &server, count)?;
    }
    println!("\n# {COLD} pending migrations of one `insert` each, against a loop written by hand");
    table::pairs("up", "loop");
    cold(&runtime, &server)
}

fn migrations(count: usize) -> Result<Migrations> {
    (0..count).try_fold(Migrations::default(), |all, number| {
        let text = format!("{{\"insert\": \"things\", \"documents\": [{{\"_id\": {number}}}]}}");
        Ok(all.and(SqlMigration::new("app", format!("{number:05}"), text)?))
    })
}

fn nothing_to_do(runtime: &Runtime, server: &str, count: usize) -> Result<()> {
    let db = MongoDatabase::at(server);
    let client = runtime.block_on(Client::with_uri_str(db.url()))?;
    let migrator = Migrator::new(Mongo::new(&client, db.name())).migrations(migrations(count)?);
    runtime.block_on(migrator.up())?;
    let state: Collection<Document> = client.database(db.name()).collection("_admmgt_state");
    let (driver, namespaces) = (Mongo::new(&client, db.name()), [Namespace::new("app")?]);
    let options = SessionOptions::new(Access::Read);
    let peek = || timed(|| Ok(runtime.block_on(driver.peek(&options, &namespaces))?.ok_or("no history")?));
    let up = || timed(|| Ok(runtime.block_on(migrator.up())?));
    let one = || timed(|| Ok(runtime.block_on(async { state.find_one(doc! { "_id": "lease" }).await })?));
    table::pair(&format!("{count} × `insert`: peek"), &paired(times(400), peek, one)?, Some(BOUND));
    table::pair(&format!("{count} × `insert`: up"), &paired(times(400), up, one)?, None);
    Ok(())
}

fn cold(runtime: &Runtime, server: &str) -> Result<()> {
    let client = runtime.block_on(Client::with_uri_str(server))?;
    let list = migrations(COLD)?;
    let up = || {
        let db = MongoDatabase::at(server);
        let mut policy = Policy::default();
        policy.foreign = admmgt::Verdict::Allow;
        runtime.block_on(db.run(doc! { "create": "things" }));
        let migrator = Migrator::new(Mongo::new(&client, db.name())).migrations(list.clone()).policy(policy);
        timed(|| Ok(runtime.block_on(migrator.up())?))
    };
    let by_hand = || {
        let db = MongoDatabase::at(server);
        runtime.block_on(db.run(doc! { "create": "things" }));
        let database = client.database(db.name());
        timed(|| {
            runtime.block_on(async {
                let (things, history) =
                    (database.collection::<Document>("things"), database.collection::<Document>("history"));
                database.create_collection("history").await?;
                let safely = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
                let mut session = client.start_session().await?;
                for number in 0..COLD {
                    session.start_transaction().write_concern(safely.clone()).await?;
                    things.insert_one(doc! { "_id": i64::try_from(number)? }).session(&mut session).await?;
                    let record =
                        doc! { "_id": i64::try_from(number)?, "id": format!("{number:05}"), "checksum": "v1:sha256:0" };
                    history.insert_one(record).session(&mut session).await?;
                    session.commit_transaction().await?;
                }
                Ok(())
            })
        })
    };
    table::pair("one transaction each", &paired(times(41), up, by_hand)?, Some(BOUND));
    Ok(())
}
