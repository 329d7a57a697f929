#!/usr/bin/env bash
# What the library adds to an application that uses SQLite anyway: crates, size, time of a clean build.
#
# The least application has one migration and calls `up`; it is held against one that opens the same
# database with rusqlite by itself, on the same runtime.
#   footprint.sh [ROUNDS]     default 1: how often each is built from nothing; the fastest is printed
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
rounds=${1:-1}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset CARGO_TARGET_DIR
rusqlite=$(sed -n '/^name = "rusqlite"$/{n;s/version = "\(.*\)"/\1/p}' "$root/Cargo.lock")

application() { # name, its dependency
  mkdir -p "$folder/$1/src"
  cp "$root/Cargo.lock" "$folder/$1"
  cat >"$folder/$1/Cargo.toml" <<TOML
[package]
name = "$1"
version = "0.1.0"
edition = "2024"
[dependencies]
$2
tokio = { version = "1", features = ["macros", "rt", "time"] }
[profile.release]
strip = true
[workspace]
TOML
}

application least "admmgt = { path = \"$root/admmgt\", features = [\"sqlite\"] }"
cat >"$folder/least/src/main.rs" <<'RUST'
use admmgt::prelude::*;

/// Notes.
#[migration(id = "0001_notes")]
fn notes(db: &mut rusqlite::Connection) -> rusqlite::Result<()> {
    db.execute_batch("create table notes (id integer primary key, text text not null)")
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{}", Migrator::new(Sqlite::open("app.db")?).up().await?);
    Ok(())
}
RUST

application baseline "rusqlite = { version = \"=$rusqlite\", default-features = false, features = [\"bundled\"] }"
cat >"$folder/baseline/src/main.rs" <<'RUST'
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let opened = tokio::task::spawn_blocking(|| {
        let db = rusqlite::Connection::open("app.db")?;
        db.execute_batch("create table if not exists notes (id integer primary key, text text not null)")
    });
    Ok(opened.await??)
}
RUST

# The crates that a package of an application needs, itself left out.
crates() { # application, package…
  (cd "$folder/$1" && cargo tree --quiet -e normal,build --prefix none -p "$2") | sed 's/ (.*//' | sort -u | grep -v "^$2 "
}

build() { # application: milliseconds
  local began
  rm -rf "$folder/$1/target"
  began=$(date +%s%N)
  (cd "$folder/$1" && cargo build --quiet --release --offline)
  echo $((($(date +%s%N) - began) / 1000000))
}

echo "rusqlite $rusqlite with SQLite compiled in, $(rustc --version), $(nproc) cores"
echo
echo "| | crates | of them for build scripts only | stripped, bytes | clean release build |"
echo "|---|--:|--:|--:|--:|"
for name in least baseline; do
  (cd "$folder/$name" && cargo fetch --quiet)
  for ((round = 0; round < rounds; round++)); do build "$name" >>"$folder/$name.ms"; done
  fastest=$(sort -n "$folder/$name.ms" | head -1)
  (cd "$folder" && rm -f app.db* && "$name/target/release/$name" >/dev/null && "$name/target/release/$name" >/dev/null)
  crates "$name" "$name" >"$folder/$name.crates"
  (cd "$folder/$name" && cargo tree --quiet -e normal --prefix none | sed 's/ (.*//' | sort -u) >"$folder/$name.normal"
  only=$(comm -23 "$folder/$name.crates" "$folder/$name.normal" | wc -l)
  echo "| $name | $(wc -l <"$folder/$name.crates") | $only | $(stat -c %s "$folder/$name/target/release/$name") | $((fastest / 1000)).$((fastest % 1000 / 100)) s |"
done

echo
echo "What the least application has beyond the baseline, by the dependency that brings it; a crate that several bring is named with each:"
echo
comm -23 "$folder/least.crates" "$folder/baseline.crates" >"$folder/more"
for package in admmgt admmgt-core admmgt-files admmgt-macros admmgt-sqlite; do
  for dependency in $(cd "$folder/least" && cargo tree --quiet -e normal --depth 1 --prefix none -p "$package" | sed 1d | sed 's/ .*//' | grep -v '^admmgt' | sort -u); do
    brought=$({ crates least "$dependency" || true; grep "^$dependency " "$folder/least.crates"; } | sort -u | comm -12 - "$folder/more" | sed 's/ v/ /')
    [ -z "$brought" ] || echo "- $package needs $dependency ($(wc -l <<<"$brought")): $(paste -sd, <<<"$brought" | sed 's/,/, /g')"
  done
done
echo "- ours ($(grep -c '^admmgt' "$folder/more")): $(grep '^admmgt' "$folder/more" | sed 's/ .*//' | paste -sd, | sed 's/,/, /g')"
