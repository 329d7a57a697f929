#!/usr/bin/env bash
# Plants each bug of tests/planted in a copy of the tree, and runs the test of the conformance suite that it names:
# the test must fail.
#   planted.sh ROOT TARGET [PATCH…]
set -euo pipefail
root=$1 target=$2
shift 2
tree=$target/tree
export CARGO_TARGET_DIR=$target/build
[ $# -gt 0 ] || set -- "$root"/tests/planted/*.patch
git -C "$root" worktree remove --force "$tree" 2>/dev/null || true
git -C "$root" worktree prune
# As the tree is, committed or not.
new=$(git -C "$root" ls-files --others --exclude-standard)
[ -z "$new" ] || { echo "git does not know these files, so a copy would lack them: $new" >&2; exit 2; }
state=$(git -C "$root" stash create)
git -C "$root" worktree add --quiet --force --detach "$tree" "${state:-HEAD}"
trap 'git -C "$root" worktree remove --force "$tree"' EXIT
cd "$tree"
run() { cargo test --quiet -p admmgt-tests --test conformance -- --exact "$1" 2>&1; }

# Without a bug all of them pass: else a failure says nothing.
cargo test --quiet --no-run -p admmgt-tests --test conformance
for patch in "$@"; do
  promise=$(sed -n 's/^Caught by: //p' "$patch")
  said=$(run "$promise") || { echo "fails without a bug: $promise"; tail -15 <<<"$said"; exit 1; }
  grep -q '^test result: ok. 1 passed' <<<"$said" || { echo "not run: $promise"; tail -15 <<<"$said"; exit 1; }
done

missed=0
for patch in "$@"; do
  git checkout --quiet .
  git apply "$patch"
  promise=$(sed -n 's/^Caught by: //p' "$patch")
  cargo test --quiet --no-run -p admmgt-tests --test conformance
  said=$(run "$promise") || true
  if grep -q '^test result: FAILED. 0 passed; 1 failed' <<<"$said"; then
    echo "caught: $(basename "$patch" .patch), by $promise"
  else
    echo "MISSED: $(basename "$patch" .patch), by $promise"
    tail -15 <<<"$said"
    missed=$((missed + 1))
  fi
done
echo "$(($# - missed)) of $# planted bugs are caught"
[ "$missed" = 0 ]
