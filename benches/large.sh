#!/usr/bin/env bash
# How much memory `admmgt up` takes for one SQL file of 10, 50 and 200 MB: it should be the same for all.
# The peak is that of the whole process, as the kernel counts it, looked at every 10 ms.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
cargo build --quiet --release --manifest-path "$root/Cargo.toml" -p admmgt-cli
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "| file | statements | time | peak memory |"
echo "|--:|--:|--:|--:|"
for megabytes in 10 50 200; do
  mkdir "$work/$megabytes"
  file=$work/$megabytes/0001_rows.sql
  rows=$((megabytes * 10000))
  {
    echo "create table notes(id integer primary key, line text);"
    # 100 bytes each.
    seq -f "insert into notes values (%.0f, 'it''s a line; with signs that a splitter has to look at twice');" "$rows" |
      awk '{ printf "%-99s\n", $0 }'
  } >"$file"
  began=$(date +%s%N)
  "$target/release/admmgt" --url "sqlite:$work/$megabytes.db" --dir "$work/$megabytes" up >/dev/null &
  peak=0
  while found=$(awk '/^VmHWM/ { print $2 }' "/proc/$!/status" 2>/dev/null) && [ -n "$found" ]; do
    peak=$found
    sleep 0.01
  done
  wait $!
  took=$((($(date +%s%N) - began) / 1000000))
  echo "| $(($(stat -c %s "$file") / 1000000)) MB | $((rows + 1)) | $took ms | $((peak / 1024)) MB |"
  rm -rf "${work:?}/$megabytes"*
done
