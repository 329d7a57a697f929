//! Folders as people have them: what is a migration in them, which way, in which order, and what is not.

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

use admmgt_files::layout::{Found, Source, Text, read};
use expect_test::{Expect, expect};

/// Files with their texts, and what becomes of them; the dialect is `sqlite`.
fn check(files: &[(&str, &str)], expected: Expect) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let mut lines = Vec::new();
    match read(folder.path(), "sqlite") {
        Ok(mut read) => {
            read.migrations.sort_by(|a, b| admmgt_files::order::natural(&a.id, &b.id));
            lines.extend(read.migrations.iter().map(show));
            lines.extend(read.ignored.iter().map(|file| format!("ignored {}: {}", file.path.display(), file.reason)));
        }
        Err(problems) => lines.extend(problems.iter().map(ToString::to_string)),
    }
    let text = lines.join("\n").replace(&format!("{}/", folder.path().display()), "");
    expected.assert_eq(&text);
}

fn show(found: &Found) -> String {
    let Found { id, up, down, repeatable, after, .. } = found;
    let again = if *repeatable { ", again" } else { "" };
    let after = after.as_ref().map(|after| format!(", after {after}")).unwrap_or_default();
    let down = down.as_ref().map(|down| format!(" | {}", way(down))).unwrap_or_default();
    format!("{id}{again}{after}: {}{down}", way(up))
}

fn way(source: &Source) -> String {
    let Ok(Text::Whole(text)) = &source.text else { return "unusable".to_owned() };
    let file = Path::new(&source.file).file_name().unwrap().to_string_lossy();
    let outside = if source.outside { ", outside" } else { "" };
    format!("{file} `{}`{outside}", text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn flyway_and_refinery() {
    check(
        &[
            ("V1__users.sql", "users"),
            ("U1__users.sql", "no users"),
            ("V2_1__plans.sql", "plans"),
            ("V2__x.sql", "x"),
            ("later/V10__y.sql", "y"),
            ("R__views.sql", "views"),
            ("R__more views.sql", "more"),
            ("R__views.down.sql", "no views"),
            ("R__more views_down.sql", "no more"),
            ("B5__base.sql", "base"),
            ("afterMigrate.sql", "callback"),
        ],
        expect![[r#"
            R__more_views, again: R__more views.sql `more` | R__more views_down.sql `no more`
            R__views, again: R__views.sql `views` | R__views.down.sql `no views`
            V1__users: V1__users.sql `users` | U1__users.sql `no users`
            V2__x: V2__x.sql `x`
            V2.1__plans: V2_1__plans.sql `plans`
            V10__y: V10__y.sql `y`
            ignored B5__base.sql: baseline scripts are not run; `Migrator::baseline` counts migrations in
            ignored afterMigrate.sql: its name starts with no number or version"#]],
    );
    check(
        &[("U1__users.sql", "")],
        expect![
            "U1__users.sql takes back what no other file does; is its counterpart missing? (A migration of refinery that runs forwards and starts with `U` is written with `V` here.)"
        ],
    );
    check(
        &[("V1__a.sql", ""), ("V01__b.sql", "")],
        expect!["version 1 is there twice, in V01__b.sql and in V1__a.sql; rename one of them"],
    );
    check(
        &[("V1__a.sql", ""), ("2_b.sql", "")],
        expect![
            "the folder holds two layouts, numbered (`0001_name.sql`) as in 2_b.sql and Flyway (`V1__name.sql`) as in V1__a.sql; keep each in a folder of its own"
        ],
    );
}

#[test]
fn numbered() {
    check(
        &[
            ("1_users.up.sql", "users"),
            ("1_users.down.sql", "no users"),
            ("002-plans.sql", "plans"),
            ("v3.things.sql", "things"),
            ("10__late.sql", "-- no-transaction\nlate"),
            ("20240101120000123456_x.sql", "x"),
            ("4.do.sql", "four"),
            ("4.undo.sql", "no four"),
            ("README.md", ""),
            ("schema.sql", ""),
            (".hidden.sql", ""),
            ("meta/snapshot.json", ""),
        ],
        expect![[r#"
            1_users: 1_users.up.sql `users` | 1_users.down.sql `no users`
            002-plans: 002-plans.sql `plans`
            3.things: v3.things.sql `things`
            4: 4.do.sql `four` | 4.undo.sql `no four`
            10__late: 10__late.sql `-- no-transaction late`, outside
            20240101120000123456_x: 20240101120000123456_x.sql `x`
            ignored README.md: its ending is not `.sql`
            ignored meta: a folder without `up.sql`
            ignored schema.sql: its name starts with no number or version"#]],
    );
    check(
        &[("1_users.sql", ""), ("01_plans.sql", "")],
        expect!["version 1 is there twice, in 01_plans.sql and in 1_users.sql; rename one of them"],
    );
    check(
        &[("2024/1_a.sql", "")],
        expect![
            "2024 holds numbered SQL files; folders in the folder are read in the layout of Flyway only. Move them up, or keep them elsewhere"
        ],
    );
}

#[test]
fn a_name_that_says_back_is_believed_beside_what_it_takes_back() {
    check(
        &[("1_a.sql", "a"), ("1_a_down.sql", "no a"), ("2_add_undo.sql", "undo"), ("3_revert.sql", "revert")],
        expect![[r#"
            1_a: 1_a.sql `a` | 1_a_down.sql `no a`
            2_add_undo: 2_add_undo.sql `undo`
            3_revert: 3_revert.sql `revert`"#]],
    );
    check(
        &[("v2.14.0.sql", ""), ("v2.14.0.err.sql", "")],
        expect![
            "v2.14.0.err.sql stands beside v2.14.0.sql, and what more its name says is not known; rename it, or keep it elsewhere"
        ],
    );
}

#[test]
fn programs_among_the_files_are_not_passed_over() {
    check(
        &[("1_a.sql", ""), ("2_b.go", ""), ("mod.rs", ""), ("embed.go", "")],
        expect![
            "2_b.go is numbered like a migration and is no SQL; write it in SQL or as a `#[migration]` function, or keep it elsewhere"
        ],
    );
}

#[test]
fn dialects() {
    check(
        &[
            ("1_a.sql", "all"),
            ("1_a.sqlite.sql", "ours"),
            ("1_a.postgres.sql", "theirs"),
            ("2_b.sqlite3.up.sql", "b"),
            ("2_b.mysql.autocommit.up.sql", "theirs"),
            ("3_c.autocommit.up.sql", "c"),
            ("04.sql.sqlite", "d"),
            ("04.sql.postgres", "theirs"),
        ],
        expect![[r#"
            1_a: 1_a.sqlite.sql `ours`
            2_b: 2_b.sqlite3.up.sql `b`
            3_c: 3_c.autocommit.up.sql `c`, outside
            04: 04.sql.sqlite `d`"#]],
    );
}

#[test]
fn both_ways_in_one_file() {
    check(
        &[
            ("1_goose.sql", "-- +goose Up\n-- +goose StatementBegin\na;\n-- +goose StatementEnd\n-- +goose Down\nb;"),
            ("2_goose.sql", "-- +goose NO TRANSACTION\n-- +goose Up\na;"),
            ("3_migrate.sql", "-- +migrate Up notransaction\na;\n-- +migrate Down\nb;"),
            ("4_plain.sql", "--------\n-- Up\n--------\na;\n--------\n-- Down\n--------\nb;"),
            ("5_tern.sql", "a;\n---- create above / drop below ----\nb;"),
        ],
        expect![[r#"
            1_goose: 1_goose.sql `-- +goose StatementBegin a; -- +goose StatementEnd` | 1_goose.sql `b;`
            2_goose: 2_goose.sql `a;`, outside
            3_migrate: 3_migrate.sql `a;`, outside | 3_migrate.sql `b;`
            4_plain: 4_plain.sql `-------- a; --------` | 4_plain.sql `-------- b;`
            5_tern: 5_tern.sql `a;` | 5_tern.sql `b;`"#]],
    );
    check(
        &[("1_a.sql", "a;\n-- down\nb;")],
        expect![
            "1_a.sql:2: this looks like the mark of the way down, and no way up is marked; write `-- migrate:up` and `-- migrate:down`"
        ],
    );
}

#[test]
fn folders_and_files_that_are_ordered_as_texts() {
    check(
        &[
            ("00000000000000_setup/up.sql", "setup"),
            ("00000000000000_setup/down.sql", "no setup"),
            ("2024-03-06-170000_a/up.sql", "a"),
            ("2024-03-06-170000_a/metadata.toml", "run_in_transaction = false # an index"),
            ("2024-03-13_170000_b/up.sql", "b"),
            ("2024-04-01-000000_c/up.sql", "c"),
        ],
        expect![[r#"
            00000000000000_setup: up.sql `setup` | down.sql `no setup`
            20240313_170000_b, after 20240306170000_a: up.sql `b`
            20240306170000_a, after 00000000000000_setup: up.sql `a`, outside
            20240401000000_c, after 20240313_170000_b: up.sql `c`"#]],
    );
    check(
        &[
            ("20240101000000_a/migration.sql", "a"),
            ("20240102000000_b/migration.sql", "b"),
            ("migration_lock.toml", ""),
        ],
        expect![[r#"
            20240101000000_a: migration.sql `a`
            20240102000000_b: migration.sql `b`
            ignored migration_lock.toml: its ending is not `.sql`"#]],
    );
    check(
        &[("1-a/up.sql", "a"), ("02-b_c/up.sql", "b"), ("10-d/up.sql", "d")],
        expect![[r#"
            1-a: up.sql `a`
            02-b_c: up.sql `b`
            10-d: up.sql `d`"#]],
    );
    // A comment that begins like a mark is none.
    check(
        &[("1_a.sql", "a"), ("2_b.sql", "-- migrate: the rows\nb"), ("10_c.sql", "c")],
        expect![[r#"
            1_a: 1_a.sql `a`
            2_b: 2_b.sql `-- migrate: the rows b`
            10_c: 10_c.sql `c`"#]],
    );
    // dbmate orders by the name of the file, in which `0` comes before `_`.
    check(
        &[("1_a.sql", "-- migrate:up\na"), ("2_b.sql", "-- migrate:up\nb"), ("10_c.sql", "-- migrate:up\nc")],
        expect![[r#"
            1_a, after 10_c: 1_a.sql `a`
            2_b, after 1_a: 2_b.sql `b`
            10_c: 10_c.sql `c`"#]],
    );
}

/// As a file of more than four megabytes; the lines between do nothing.
fn large(first: &str, last: &str) -> String {
    format!("{first}\n{}{last}\n", "-- nothing, and that in more than forty bytes\n".repeat(100_000))
}

fn problems(name: &str, text: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    match read(folder.path(), "sqlite") {
        Ok(read) => match &read.migrations[0].up.text {
            Ok(_) => "fits".to_owned(),
            Err(problem) => format!("{} {problem}", problem.line()),
        },
        Err(problems) => problems[0].to_string().replace(&folder.path().display().to_string(), "$"),
    }
}

#[test]
fn large_files_go_by_the_same_rules() {
    let folder = tempfile::tempdir().unwrap();
    let (up, down) = (large("-- no-transaction\nvacuum;", "select 1;"), large("select 2;", ""));
    std::fs::write(folder.path().join("1_users.up.sql"), &up).unwrap();
    std::fs::write(folder.path().join("1_users.down.sql"), &down).unwrap();
    let found = read(folder.path(), "sqlite").unwrap().migrations.remove(0);
    let text = |source: &Source| match &source.text {
        Ok(Text::Large(slice)) => slice.text().unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!((text(&found.up) == up, found.up.outside), (true, true));
    let way_back = found.down.unwrap();
    assert_eq!((text(&way_back) == down, way_back.outside), (true, false));

    // What is wrong with them is the same, whatever their size.
    let marks =
        [("-- +goose Down\nselect 1;", "-- +goose Up\nselect 2;"), ("-- +goose Up\nselect 1;", "-- +goose Sideways")];
    for (first, last) in marks {
        let small = problems("1_users.sql", format!("{first}\n{last}\n").as_bytes());
        let big = problems("1_users.sql", large(first, last).as_bytes());
        let lines: String = big.chars().filter(|c| !c.is_ascii_digit()).collect();
        assert_eq!(lines, small.chars().filter(|c| !c.is_ascii_digit()).collect::<String>());
    }
    for name in ["1_users.sql", "1_users.up.sql"] {
        let bytes = [large("select 1;", "").as_bytes(), b"\xff"].concat();
        assert_eq!(problems(name, &bytes), "100003 line 100003, byte 1 is not UTF-8; save the file as UTF-8");
        assert_eq!(problems(name, b"select 1;\n\xff"), "2 line 2, byte 1 is not UTF-8; save the file as UTF-8");
    }
}

/// To read a pipe or a socket would wait for ever.
#[cfg(unix)]
#[test]
fn what_is_no_file_of_a_readable_name_is_left_alone() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("1_users.sql")).unwrap();
    std::fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"2_\xff.sql")), "select 1;").unwrap();
    let read = read(folder.path(), "sqlite").unwrap();
    let mut reasons: Vec<&str> = read.ignored.iter().map(|file| file.reason).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["it is no regular file", "its name is not UTF-8"]);
    assert!(read.migrations.is_empty());
}

#[test]
fn a_folder_that_cannot_be_read_says_what_the_system_said() {
    let folder = tempfile::tempdir().unwrap();
    let problems = read(&folder.path().join("nowhere"), "sqlite").unwrap_err();
    let cause = std::error::Error::source(&problems[0]).unwrap();
    assert!(problems[0].to_string().contains(&cause.to_string()), "{}", problems[0]);
    std::fs::write(folder.path().join("1_a.sql"), "").unwrap();
    std::fs::write(folder.path().join("1_b.sql"), "").unwrap();
    let problems = read(folder.path(), "sqlite").unwrap_err();
    assert!(std::error::Error::source(&problems[0]).is_none(), "{}", problems[0]);
}

#[test]
fn a_word_that_takes_back_what_is_not_there_is_passed_over() {
    check(
        &[("1_users.sql", "a"), ("notes_down.sql", "b"), ("notes.down.sql", "c")],
        expect![[r#"
        1_users: 1_users.sql `a`
        ignored notes.down.sql: its name starts with no number or version
        ignored notes_down.sql: its name starts with no number or version"#]],
    );
}
