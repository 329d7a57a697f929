#!/usr/bin/env bash
# Does the library fit beside other versions and other database crates?
#   resolve.sh ROOT resolve            an application with each of them gets a lockfile
#   resolve.sh ROOT check              one of those applications compiles
#   resolve.sh ROOT rusqlite VERSION   our own tests pass on that version of rusqlite
set -euo pipefail
root=$1 action=$2
work=${CARGO_TARGET_DIR:-$root/target}/resolve
mkdir -p "$work"

application() { # name, a line of [dependencies], and the features where they are others
  local folder=$work/$1 features=${3:-'"sqlite", "postgres"'}
  mkdir -p "$folder/src"
  cat >"$folder/Cargo.toml" <<TOML
[package]
name = "beside-$1"
version = "0.0.0"
edition = "2024"
[dependencies]
admmgt = { path = "$root/admmgt", features = [$features] }
$2
[workspace]
TOML
  cat >"$folder/src/main.rs" <<'RUST'
use admmgt::prelude::*;

#[migration(id = "0001_notes")]
fn notes(db: &mut rusqlite::Connection) -> rusqlite::Result<()> {
    db.execute_batch("create table notes (id integer primary key)")
}

fn main() {
    let _ = Migrator::new(Sqlite::open("app.db").expect("a path"));
}
RUST
  echo "$folder"
}

beside() {
  application sqlx08 'sqlx = { version = "0.8", features = ["sqlite", "runtime-tokio"] }'
  application sqlx09 'sqlx = { version = "0.9", features = ["sqlite", "runtime-tokio"] }'
  application diesel 'diesel = { version = "2.3", features = ["sqlite"] }'
  application sea-orm1 'sea-orm = { version = "1", features = ["sqlx-sqlite", "runtime-tokio-rustls"] }'
  application sea-orm2 'sea-orm = { version = "2", features = ["sqlx-sqlite", "runtime-tokio-rustls"] }'
  application alone ''
  application bson3 'mongodb = { version = "3.9", default-features = false, features = ["compat-3-3-0", "bson-3", "rustls-tls"] }' '"sqlite", "mongo"'
}

rusqlite_of() {
  sed -n '/^name = "rusqlite"$/{n;s/version = "\(.*\)"/\1/p}' "$1/Cargo.lock"
}

case $action in
  resolve)
    for folder in $(beside); do
      rm -f "$folder/Cargo.lock"
      (cd "$folder" && cargo generate-lockfile --quiet)
      echo "beside $(basename "$folder"): rusqlite $(rusqlite_of "$folder")"
    done
    ;;
  check)
    folder=$(beside | grep sqlx09)
    (cd "$folder" && CARGO_TARGET_DIR=$work/target cargo check --quiet)
    echo "compiles beside sqlx 0.9: rusqlite $(rusqlite_of "$folder")"
    folder=$(beside | grep bson3)
    (cd "$folder" && CARGO_TARGET_DIR=$work/target cargo check --quiet)
    echo "compiles where the application's documents are those of bson 3"
    ;;
  rusqlite)
    # A copy of the tree, because the version is chosen in the lockfile.
    version=$3 tree=$work/tree
    mkdir -p "$tree"
    (cd "$root" && git ls-files -z --cached --others --exclude-standard | tar -c --null --ignore-failed-read -T - 2>/dev/null) | tar -x -C "$tree"
    cd "$tree"
    sed -i "s/^rusqlite = { version = \">=0.32, <0.42\"/rusqlite = { version = \"~$version\"/" Cargo.toml
    cargo update --quiet -p rusqlite
    found=$(rusqlite_of .)
    [[ $found == "$version"* ]] || { echo "asked for rusqlite $version and got $found" >&2; exit 1; }
    CARGO_TARGET_DIR=$work/target-rusqlite cargo test --quiet -p admmgt-sqlite -p admmgt-tests --lib --bins --tests
    echo "passes on rusqlite $found"
    ;;
  *) echo "unknown action $action" >&2; exit 2 ;;
esac
