#!/usr/bin/env bash
# Tries the library as a new user has it: an application outside the workspace, and a library crate
# of migrations that it links.
#   outside.sh ROOT TARGET
set -euo pipefail
root=$1
export CARGO_TARGET_DIR=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder"/{app/src,library/src}

cat >"$folder/library/Cargo.toml" <<TOML
[package]
name = "library"
version = "0.1.0"
edition = "2024"
[dependencies]
admmgt = { path = "$root/admmgt", features = ["sqlite"] }
[workspace]
TOML
cat >"$folder/library/src/lib.rs" <<'RUST'
use admmgt::prelude::*;

/// Books.
#[migration(id = "0001_books")]
pub fn books(db: &mut rusqlite::Connection) -> rusqlite::Result<()> {
    db.execute_batch("create table books (id integer primary key, title text not null)")
}
RUST
cat >"$folder/app/Cargo.toml" <<TOML
[package]
name = "app"
version = "0.1.0"
edition = "2024"
[dependencies]
admmgt = { path = "$root/admmgt", features = ["sqlite"] }
library = { path = "../library" }
tokio = { version = "1", features = ["macros", "rt", "time"] }
[workspace]
TOML

run() { (cd "$folder/app" && cargo run --quiet 2>&1); }

# The library is only in Cargo.toml: rustc does not link it, and the error must say so.
cat >"$folder/app/src/main.rs" <<'RUST'
use admmgt::prelude::*;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    match Migrator::new(Sqlite::open("app.db").expect("a path")).up().await {
        Ok(report) => println!("{report}"),
        Err(error) => println!("error: {error}"),
    }
}
RUST
said=$(run)
echo "$said"
grep -q 'no migration is registered' <<<"$said"
grep -q 'admmgt::link!(the_crate);' <<<"$said"
[ ! -e "$folder/app/app.db" ]

# Named once, it is linked; and a migration of the application depends on one of it.
sed -i '1a admmgt::link!(library);' "$folder/app/src/main.rs"
cat >>"$folder/app/src/main.rs" <<'RUST'

/// Who wrote them.
#[migration(id = "0001_authors", depends_on = [library::books])]
async fn authors(cx: &mut Context) -> Result<(), BoxError> {
    cx.execute("alter table books add column author text").await?;
    Ok(())
}
RUST
said=$(run)
echo "$said"
grep -q 'ran 2 migrations' <<<"$said"
grep -q 'library/0001_books' <<<"$said"
grep -q 'app/0001_authors' <<<"$said"
said=$(run)
echo "$said"
grep -q '^nothing to do: 2 migrations are applied' <<<"$said"

# A folder that is compiled in; a file that comes later is named, with what to do.
mkdir "$folder/app/migrations"
echo 'create table shelves (id integer primary key);' >"$folder/app/migrations/0002_shelves.sql"
echo 'migrations_dir!("migrations", backend = "sqlite", strict = true);' >>"$folder/app/src/main.rs"
said=$(run)
echo "$said"
grep -q 'up   app/0002_shelves' <<<"$said"
echo 'create table rooms (id integer primary key);' >"$folder/app/migrations/0003_rooms.sql"
said=$(run)
echo "$said"
grep -q '0003_rooms.sql is new and not in this program' <<<"$said"
touch "$folder/app/src/main.rs"
said=$(run)
echo "$said"
grep -q 'up   app/0003_rooms' <<<"$said"

# Its own tests: a fresh, migrated database for each, and a claim about its migrations.
cat >>"$folder/app/Cargo.toml" <<TOML
[dev-dependencies]
admmgt = { path = "$root/admmgt", features = ["sqlite", "testkit"] }
TOML
cat >>"$folder/app/src/main.rs" <<'RUST'

#[cfg(test)]
mod tests {
    use admmgt::prelude::*;
    use admmgt::testkit::*;

    #[tokio::test]
    async fn a_book_has_an_author() -> Result<(), BoxError> {
        let database = Sqlite::tests().fresh().await?;
        database.connection()?.execute("insert into books(title, author) values ('Emma', 'Austen')", [])?;
        Ok(())
    }

    #[tokio::test]
    async fn books_are_kept() {
        let mut authors = Preserved::by("app/0001_authors");
        authors.seed = "insert into books(title) values ('Emma')";
        assert_data_preserved(&Sqlite::tests(), authors).await;
    }

    #[tokio::test]
    async fn everything_can_be_taken_back() {
        assert_reversible(&Sqlite::tests()).await;
    }
}
RUST
said=$(cd "$folder/app" && cargo test --quiet 2>&1) && exit 1
grep -q 'app/0001_authors: it has no way back' <<<"$said"
grep -q 'library/0001_books: it has no way back' <<<"$said"
grep -q '2 passed; 1 failed' <<<"$said"
said=$(cd "$folder/app" && cargo test --quiet -- --skip everything_can 2>&1)
echo "$said"
grep -q '2 passed; 0 failed' <<<"$said"

# PostgreSQL alone: nothing of SQLite comes with it.
mkdir -p "$folder/shop/src"
cat >"$folder/shop/Cargo.toml" <<TOML
[package]
name = "shop"
version = "0.1.0"
edition = "2024"
[dependencies]
admmgt = { path = "$root/admmgt", default-features = false, features = ["postgres"] }
sqlx = { version = "0.9", default-features = false, features = ["postgres", "runtime-tokio"] }
tokio = { version = "1", features = ["macros", "rt", "time"] }
[workspace]
TOML
cat >"$folder/shop/src/main.rs" <<'RUST'
use admmgt::prelude::*;

/// Products and their prices.
#[migration(id = "0001_products")]
async fn products(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("create table products (id bigint primary key, cents bigint not null)").execute(&mut *db).await?;
    sqlx::query("insert into products values ($1, $2)").bind(1_i64).bind(995_i64).execute(db).await?;
    Ok(())
}

sql_migration!(id = "0002_by_price", depends_on = [products], up = "by_price.sql", on_interrupt = "retry");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("DATABASE_URL")?;
    println!("{}", Migrator::new(Postgres::connect(&url)?).up().await?);
    Ok(())
}
RUST
echo 'create index concurrently if not exists products_by_price on products (cents);' >"$folder/shop/by_price.sql"
cd "$folder/shop"
cargo generate-lockfile --quiet
if cargo tree --prefix none --edges normal | grep -E '^(rusqlite|libsqlite3-sys|clap) '; then exit 1; fi
cargo build --quiet
if [ -n "${ADMMGT_TEST_PG:-}" ]; then
  "$ADMMGT_TEST_PG_BIN/psql" -X -q "$ADMMGT_TEST_PG" -c "create database outside"
  export DATABASE_URL=${ADMMGT_TEST_PG%/*}/outside
  said=$(cargo run --quiet 2>&1)
  echo "$said"
  grep -q '^ran 2 migrations' <<<"$said"
  grep -q 'up   shop/0002_by_price .*without a transaction' <<<"$said"
  cargo run --quiet 2>&1 | grep '^nothing to do: 2 migrations are applied'

  # Its own tests, each with a database of its own.
  cat >>Cargo.toml <<TOML
[dev-dependencies]
admmgt = { path = "$root/admmgt", default-features = false, features = ["postgres", "testkit"] }
TOML
  cat >>src/main.rs <<'RUST'

#[cfg(test)]
mod tests {
    use admmgt::prelude::*;
    use admmgt::testkit::*;

    #[tokio::test]
    async fn products_have_prices() -> Result<(), BoxError> {
        let database = Postgres::tests(&std::env::var("DATABASE_URL")?)?.fresh().await?;
        let pool = database.pool().await?;
        let prices: Vec<i64> = sqlx::query_scalar("select cents from products").fetch_all(&pool).await?;
        assert_eq!(prices, [995]);
        assert_idempotent(&Postgres::tests(&std::env::var("DATABASE_URL")?)?).await;
        Ok(())
    }
}
RUST
  said=$(cargo test --quiet 2>&1)
  echo "$said"
  grep -q '1 passed; 0 failed' <<<"$said"
fi
