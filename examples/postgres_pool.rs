//! How does an application with a pool migrate PostgreSQL when it starts?
//!
//! `DATABASE_URL=postgres://user@localhost/database cargo run --example postgres_pool` migrates, then works with its pool.
//! The run opens a connection of its own beside the pool; started again, it asks one question and does nothing.

use admmgt::prelude::*;
use admmgt::sqlx::{self, Connection, Executor};

/// Users and their plans.
#[migration(id = "0001_users")]
async fn users(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    db.execute("create table users (id bigint generated always as identity primary key, email text not null unique)")
        .await?;
    db.execute("create table plans (user_id bigint not null references users, name text not null)").await?;
    Ok(())
}

/// The first users. What it begins by itself is a savepoint of the migration's own transaction.
#[migration(id = "0002_welcome", depends_on = [users])]
async fn welcome(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    for name in ["Ada", "Grace", "Barbara"] {
        let mut one = db.begin().await?;
        let insert = sqlx::query_scalar("insert into users (email) values ($1) returning id");
        let id: i64 = insert.bind(format!("{name}@example.org")).fetch_one(&mut *one).await?;
        sqlx::query("insert into plans values ($1, 'free')").bind(id).execute(&mut *one).await?;
        one.commit().await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|_| "set DATABASE_URL=postgres://user@localhost/database")?;
    let pool = sqlx::PgPool::connect(&url).await?;

    // Before the first request can come in: a process that cannot migrate must not serve.
    let report = Migrator::new(Postgres::new(&pool)).migrations(migrations![users, welcome]).up().await?;
    println!("{report}");

    let count: i64 = sqlx::query_scalar("select count(*) from users").fetch_one(&pool).await?;
    println!("{count} users");
    Ok(())
}
