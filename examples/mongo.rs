//! How does an application migrate MongoDB when it starts?
//!
//! `DATABASE_URL='mongodb://localhost/shop?replicaSet=rs0' cargo run --example mongo` applies a folder of commands in JSON, a
//! migration in Rust with documents of one's own types, and a backfill whose probe can tell whether it is done.

use admmgt::mongo::{Documents, MongoReader};
use admmgt::mongodb::bson::{self, doc};
use admmgt::prelude::*;
use admmgt::{Probed, mongodb};
use serde::{Deserialize, Serialize};

// Compiled in: `0001_users` and `0002_first`.
migrations_dir!("documents", backend = "mongo");

#[derive(Debug, Serialize, Deserialize)]
struct User {
    #[serde(rename = "_id")]
    id: bson::oid::ObjectId,
    email: String,
    plan: Option<String>,
}

/// Everybody has a plan. What is written through `db` is in the transaction of the migration, with its record.
#[migration(id = "0003_plans", depends_on = ["admmgt-examples/0002_first"])]
async fn plans(db: &mut MongoSession) -> mongodb::error::Result<()> {
    let mut users = db.collection::<User>("users");
    for user in users.find(doc! { "plan": null }).all().await? {
        let plan = if user.email.starts_with("ada") { "team" } else { "free" };
        users.update_one(doc! { "_id": user.id }, doc! { "$set": { "plan": plan } }).await?;
    }
    Ok(())
}

/// In batches, each with its own transaction: others go on meanwhile, and what was killed goes on where it stopped.
#[migration(id = "0004_domains", depends_on = [plans], transaction = "none", probe = has_domains)]
async fn domains(cx: &mut Context) -> Result<(), BoxError> {
    let domain = doc! { "$arrayElemAt": [{ "$split": ["$email", "@"] }, 1] };
    let mut all = Documents::of("users").update(vec![doc! { "$set": { "domain": domain } }]);
    cx.backfill("domains").run(&mut all).await?;
    Ok(())
}

/// Through a handle that has no method to write.
async fn has_domains(db: &mut MongoReader) -> Result<Probed, BoxError> {
    let left = db.collection::<bson::Document>("users").count(doc! { "domain": null }).await?;
    Ok(if left == 0 { Probed::Done } else { Probed::NotDone })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|_| "set DATABASE_URL=mongodb://localhost/shop?replicaSet=rs0")?;
    let client = mongodb::Client::with_uri_str(&url).await?;
    let database = client.default_database().ok_or("the URL names no database")?;

    // Before the first request can come in: a process that cannot migrate must not serve.
    let report = Migrator::new(Mongo::new(&client, database.name())).up().await?;
    println!("{report}");

    let mut users = database.collection::<User>("users").find(doc! {}).sort(doc! { "email": 1 }).await?;
    while users.advance().await? {
        let User { email, plan, .. } = users.deserialize_current()?;
        println!("{email} has the plan {}", plan.unwrap_or_default());
    }
    Ok(())
}
