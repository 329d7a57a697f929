#!/usr/bin/env bash
# What a crate of a thousand migrations costs to compile: `#[migration]` on each, beside the same
# functions in a table of function pointers, and beside a crate with nothing in it.
#
# A macro is paid for on each build of the crate that uses it, so its expansion has to stay cheap.
# Only that crate is compiled: its dependencies are built before, incremental compilation is off.
#   thousand.sh [ROUNDS]      default 3; the medians are printed
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
rounds=${1:-3}
count=1000
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}/thousand CARGO_INCREMENTAL=0

crate() { # name
  mkdir -p "$folder/$1/src"
  cat >"$folder/$1/Cargo.toml" <<TOML
[package]
name = "$1"
version = "0.1.0"
edition = "2024"
[dependencies]
admmgt.workspace = true
TOML
}

crate annotated
crate table
crate empty
cp "$root/Cargo.lock" "$folder"
cat >"$folder/Cargo.toml" <<TOML
[workspace]
resolver = "3"
members = ["annotated", "table", "empty"]
[workspace.dependencies]
admmgt = { path = "$root/admmgt", features = ["sqlite"] }
TOML

# The functions: half of them async, half of them plain. An attribute stands before each, or nothing.
functions() { # what to put before each function, with NAME for its name
  local at name
  for at in $(seq -w "$count"); do
    name="m${at}_settings"
    printf '\n/// Settings of accounts, part %s.\n%s' "$at" "${1//NAME/$name}"
    if ((10#$at % 2)); then
      cat <<RUST
pub async fn $name(cx: &mut Context) -> Result<(), BoxError> {
    cx.execute("create table settings_$at (id integer primary key, account integer not null, value text)").await?;
    cx.execute("create index settings_${at}_account on settings_$at (account)").await?;
    Ok(())
}
RUST
    else
      cat <<RUST
pub fn $name(db: &mut rusqlite::Connection) -> rusqlite::Result<()> {
    db.execute_batch("create table settings_$at (id integer primary key, account integer not null, value text)")?;
    db.execute("insert into settings_$at (account, value) values (?1, ?2)", (1, "a value"))?;
    Ok(())
}
RUST
    fi
  done
}

{
  echo 'use admmgt::prelude::*;'
  functions $'#[migration(id = "NAME")]\n'
} >"$folder/annotated/src/lib.rs"

{
  cat <<'RUST'
use admmgt::BoxFuture;
use admmgt::prelude::*;

/// What a function of the table is.
pub enum Body {
    /// It awaits.
    Async(for<'a> fn(&'a mut Context) -> BoxFuture<'a, Result<(), BoxError>>),
    /// It blocks.
    Plain(fn(&mut rusqlite::Connection) -> rusqlite::Result<()>),
}

/// All functions, by name.
pub static ALL: &[(&str, Body)] = &[
RUST
  for at in $(seq -w "$count"); do
    if ((10#$at % 2)); then
      echo "    (\"m${at}_settings\", Body::Async(|cx| Box::pin(m${at}_settings(cx)))),"
    else
      echo "    (\"m${at}_settings\", Body::Plain(m${at}_settings)),"
    fi
  done
  echo '];'
  functions ''
} >"$folder/table/src/lib.rs"
echo >"$folder/empty/src/lib.rs"

cd "$folder"
once() { # command, crate: milliseconds
  local began
  touch "$2/src/lib.rs"
  began=$(date +%s%N)
  cargo "$1" --quiet --offline -p "$2"
  echo $((($(date +%s%N) - began) / 1000000))
}
median() { sort -n | sed -n "$(((rounds + 1) / 2))p"; }
seconds() { echo "$(($1 / 1000)).$(printf %03d $(($1 % 1000)) | cut -c1-2) s"; }

cargo fetch --quiet
for command in check build; do
  cargo "$command" --quiet --offline --workspace
done
echo "a crate of $count functions, half of them async; medians of $rounds, taken in turn; $(rustc --version)"
echo
echo "| | \`#[migration]\` | a plain table | nothing in it | annotated / table | without what the empty crate takes |"
echo "|---|--:|--:|--:|--:|--:|"
for command in check build; do
  for ((round = 0; round < rounds; round++)); do
    for crate in annotated table empty; do
      once "$command" "$crate" >>"$folder/$command.$crate"
    done
  done
  a=$(median <"$folder/$command.annotated") b=$(median <"$folder/$command.table") c=$(median <"$folder/$command.empty")
  ratio=$((a * 100 / b)) net=$(((a - c) * 100 / (b - c)))
  printf '| `cargo %s` | %s | %s | %s | %d.%02d | %d.%02d |\n' "$command" \
    "$(seconds "$a")" "$(seconds "$b")" "$(seconds "$c")" $((ratio / 100)) $((ratio % 100)) $((net / 100)) $((net % 100))
done
echo
