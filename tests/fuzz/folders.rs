//! Folders of any layout: no file is lost, and the same folder is read the same way.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use admmgt_files::layout::{self, Found};

use crate::fuzz::{Target, shape};

/// Before the name of each file of a folder.
const FILE: char = '\u{1}';

#[rustfmt::skip]
const WORDS: &[&str] = &[
    "\u{1}", "\u{1}0001_a.sql\n", "\u{1}V1__a.sql\n", "\u{1}U1__a.sql\n", "\u{1}R__v.sql\n", "\u{1}1_a/up.sql\n",
    "\u{1}1_a/down.sql\n", "\u{1}1_a/metadata.toml\nrun_in_transaction = false", "\u{1}2_b.up.sql\n", "\u{1}2_b.down.sql\n",
    "\u{1}3_c.sqlite.sql\n", "\u{1}3_c.rs\n", "\u{1}.hidden\n", "\u{1}README.md\n", "\u{1}20240101000000_d.sql\n", "_", ".", "__",
    "up", "down", "V", "U", "R", "0", "1", "-", "/", ".sql", ".go", "-- +goose Up\n", "-- +goose Down\n", "-- +goose NO TRANSACTION\n",
    "-- +goose StatementBegin\n", "-- +goose StatementEnd\n", "-- migrate:up\n", "-- migrate:down\n", "-- migrate:up transaction:false\n",
    "-- no-transaction\n", "-- +migrate Up\n", "-- +micrate Down\n", "select 1;\n", "é", " ", "\u{feff}", "\0", "\r\n",
];

#[test]
fn folders_keep_their_promises() {
    let seeds = [
        "\u{1}0001_users.sql\ncreate table users(id int);\u{1}0002_plans.sql\nselect 1;",
        "\u{1}V1__users.sql\nselect 1;\u{1}V2.1__plans.sql\nselect 1;\u{1}U1__users.sql\nselect 2;\u{1}R__views.sql\nselect 3;",
        "\u{1}1_users.up.sql\nselect 1;\u{1}1_users.down.sql\nselect 2;",
        "\u{1}2024-01-01-000000_users/up.sql\nselect 1;\u{1}2024-01-01-000000_users/down.sql\nselect 2;",
        "\u{1}20240101_users.sql\n-- +goose Up\nselect 1;\n-- +goose Down\nselect 2;",
        "\u{1}20240101_users.sql\n-- migrate:up transaction:false\nselect 1;\n-- migrate:down\nselect 2;",
    ];
    Target { name: "layouts", words: WORDS, seeds: seeds.map(str::to_owned).to_vec(), check }.run();
}

/// Makes the files where that can be done, and says which.
fn lay_out(text: &str, folder: &Path) -> BTreeSet<PathBuf> {
    let mut made = BTreeSet::new();
    for file in text.split(FILE).skip(1) {
        let (name, content) = file.split_once('\n').unwrap_or((file, ""));
        let parts: Vec<&str> = name.split('/').collect();
        let is_name =
            |part: &&str| !part.is_empty() && part.len() < 100 && *part != "." && *part != ".." && !part.contains('\0');
        if parts.len() > 3 || !parts.iter().all(is_name) {
            continue;
        }
        let path = folder.join(name);
        let parent = path.parent().expect("it is in the folder");
        if std::fs::create_dir_all(parent).is_ok() && std::fs::write(&path, content).is_ok() {
            made.insert(path);
        }
    }
    made
}

fn check(text: &str) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let made = lay_out(text, folder.path());
    let dialect = if text.len().is_multiple_of(2) { "sqlite" } else { "postgres" };
    let read = || layout::read(folder.path(), dialect);
    let words = |found: &Result<layout::Folder, Vec<layout::LayoutProblem>>| match found {
        Ok(folder) => format!("{folder:?}"),
        Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    };
    let found = read();
    assert_eq!(words(&found), words(&read()), "the same folder is read the same way");
    let inside = |text: &str| {
        text.replace(&folder.path().display().to_string(), "")
            .chars()
            .filter(|c| !c.is_ascii_digit())
            .take(60)
            .collect::<String>()
    };
    let found = match found {
        Ok(found) => found,
        Err(problems) => {
            assert!(!problems.is_empty());
            return shape(problems.iter().take(2).map(|problem| inside(&problem.to_string())).collect::<Vec<_>>());
        }
    };
    let ids: BTreeSet<&String> = found.migrations.iter().map(|one| &one.id).collect();
    assert_eq!(ids.len(), found.migrations.len(), "each has an id of its own");
    let used = |one: &Found| [Some(one.up.file.clone()), one.down.as_ref().map(|down| down.file.clone())];
    let mut told: BTreeSet<PathBuf> = found.migrations.iter().flat_map(used).flatten().collect();
    told.extend(found.ignored.iter().map(|one| one.path.clone()));
    for path in &made {
        let below = path.strip_prefix(folder.path()).expect("it is in the folder");
        let mut parts = below.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
        let is_hidden = parts.clone().any(|part| part.starts_with('.'));
        let last = parts.next_back().unwrap_or_default();
        let is_part = path.ancestors().any(|parent| told.contains(parent));
        // Below a folder of diesel or Flyway other files are nobody's; a file for this dialect stands for the one for all.
        let of_dialect = made.iter().any(|path| path.to_string_lossy().to_lowercase().contains(dialect));
        let is_other = of_dialect || below.components().count() > 1 || names_a_dialect(&last);
        assert!(is_part || is_hidden || is_other, "{} is lost: {found:?}", below.display());
    }
    let flags: Vec<_> = found
        .migrations
        .iter()
        .take(4)
        .map(|one| (one.down.is_some(), one.repeatable, one.up.outside, one.after.is_some(), one.up.text.is_ok()))
        .collect();
    shape((found.layout.map(|layout| layout.to_string()), flags, found.ignored.first().map(|one| one.reason)))
}

/// `users.pg.sql` is for another kind of database.
fn names_a_dialect(name: &str) -> bool {
    const WORDS: [&str; 10] =
        ["sqlite", "sqlite3", "pg", "pgsql", "postgres", "postgresql", "mysql", "mariadb", "cockroach", "mssql"];
    name.split('.').any(|part| WORDS.contains(&&*part.to_lowercase()))
}
