//! How does a web service migrate before it serves?
//!
//! `cargo run --example service` migrates `service.db`, then listens on 127.0.0.1:3000 (or the
//! address given as the argument) until Ctrl-C. Start it ten times at once on one file: one process
//! migrates, the others wait for it.

use std::sync::Arc;

use admmgt::prelude::*;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use tokio::sync::Mutex;

/// How often each page was seen.
#[migration(id = "0001_visits")]
fn visits(db: &mut rusqlite::Connection) -> rusqlite::Result<()> {
    db.execute_batch("create table visits (page text primary key, count integer not null) without rowid")
}

type Database = Arc<Mutex<rusqlite::Connection>>;

#[derive(serde::Serialize)]
struct Visits {
    page: &'static str,
    count: i64,
}

async fn home(State(database): State<Database>) -> Result<Json<Visits>, StatusCode> {
    let db = database.lock().await;
    let sql = "insert into visits values (?1, 1) on conflict do update set count = count + 1 returning count";
    let count = db.query_row(sql, ["/"], |row| row.get(0)).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(Json(Visits { page: "/", count }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let path = std::env::args().nth(2).unwrap_or_else(|| "service.db".to_owned());

    // Before the first request can come in: a process that cannot migrate must not serve.
    let report = Migrator::new(Sqlite::open(&path)?).by("example-service").up().await?;
    println!("{report}");

    let database: Database = Arc::new(Mutex::new(rusqlite::Connection::open(&path)?));
    let app = Router::new().route("/", get(home)).with_state(database);
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app)
        .with_graceful_shutdown(async {
            // Without a signal handler it runs until it is killed.
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    Ok(())
}
