//! The command line as people see it: what is written, what is printed, and how it exits.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on says where

use std::path::Path;
use std::process::Command;

use expect_test::{Expect, expect};

/// A folder with migrations and a database.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new(files: &[(&str, &str)]) -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(desk.path().join("migrations")).unwrap();
        files.iter().for_each(|(name, text)| desk.write(name, text));
        desk
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join("migrations").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.path().join("migrations").join(name)).unwrap();
    }

    /// What a line prints, and its code.
    fn run(&self, line: &str) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_admmgt"))
            .args(words(line))
            .current_dir(self.path())
            .env("ADMMGT_URL", "sqlite:app.db")
            .env("USER", "ada")
            .env("HOSTNAME", "desk")
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        let code = if code == 0 { String::new() } else { format!("[exit {code}]\n") };
        neutral(&format!("$ admmgt {line}\n{}{}{code}", text(output.stdout), text(output.stderr)))
    }

    fn check(&self, lines: &[&str], expected: Expect) {
        let transcript: String = lines.iter().map(|line| self.run(line)).collect();
        expected.assert_eq(&transcript);
    }
}

/// Words, with quotes around those that hold spaces.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('"').enumerate();
    parts
        .flat_map(|(at, part)| {
            if at % 2 == 1 { vec![part.to_owned()] } else { part.split_whitespace().map(str::to_owned).collect() }
        })
        .collect()
}

/// Without what differs from run to run: times, checksums.
fn neutral(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive([' ', '\n', ',', '(', ')']) {
        let bare = word.trim_end_matches([' ', '\n', ',', '(', ')']);
        let is_instant = bare.len() == 20 && bare.ends_with('Z') && bare.starts_with("20");
        let shown = if is_instant {
            "<time>"
        } else if bare.starts_with("v1:sha256:") {
            "v1:sha256:…"
        } else {
            bare
        };
        out.push_str(shown);
        out.push_str(&word[bare.len()..]);
    }
    // `in 1.2 ms`
    let mut lines = Vec::new();
    for line in out.lines() {
        let mut words: Vec<&str> = line.split(' ').collect();
        for at in 1..words.len() {
            if matches!(words[at].trim_end_matches(','), "ms" | "s" | "µs") && words[at - 1].parse::<f64>().is_ok() {
                words[at - 1] = "<n>";
            }
        }
        lines.push(words.join(" "));
    }
    lines.join("\n") + "\n"
}

const USERS: (&str, &str) = ("0001_users.up.sql", "create table users (id integer primary key, name text not null);\n");
const NO_USERS: (&str, &str) = ("0001_users.down.sql", "drop table users;\n");
const PLANS: (&str, &str) =
    ("0002_plans.up.sql", "create table plans (id integer primary key);\ninsert into plans values (1);\n");
const NO_PLANS: (&str, &str) = ("0002_plans.down.sql", "drop table plans;\n");

#[test]
fn there_and_back() {
    let desk = Desk::new(&[USERS, NO_USERS, PLANS, NO_PLANS]);
    desk.check(
        &[
            "status",
            "check",
            "plan",
            "up --to 0001",
            "up",
            "up",
            "check",
            "down",
            "history",
            "redo",
            "up --next 1",
            "plan --back 2",
            "down --all",
            "down --all",
        ],
        expect![[r#"
            $ admmgt status
            0 of 2 migrations applied (no history yet)
              pending     app/0001_users
              pending     app/0002_plans
            $ admmgt check
            0 of 2 migrations applied (no history yet)
              pending     app/0001_users
              pending     app/0002_plans
            [exit 3]
            $ admmgt plan
            2 migrations to run
              up   app/0001_users (1 statement)
              up   app/0002_plans (2 statements)
            $ admmgt up --to 0001
            ran 1 migration in <n> ms
              up   app/0001_users  <n> ms
            $ admmgt up
            ran 1 migration in <n> ms, 1 was applied before
              up   app/0002_plans  <n> ms
            $ admmgt up
            nothing to do: 2 migrations are applied
            $ admmgt check
            2 of 2 migrations applied
              applied     app/0001_users  <time>
              applied     app/0002_plans  <time>
            $ admmgt down
            ran 1 migration in <n> ms, 2 were applied before
              down app/0002_plans  <n> ms
            $ admmgt history
                1  <time>  applied    up    app/0001_users  by ada on desk
                2  <time>  applied    up    app/0002_plans  by ada on desk
                3  <time>  reverted   down  app/0002_plans  by ada on desk
            $ admmgt redo
            ran 2 migrations in <n> ms, 1 was applied before
              down app/0001_users  <n> ms
              up   app/0001_users  <n> ms
            $ admmgt up --next 1
            ran 1 migration in <n> ms, 1 was applied before
              up   app/0002_plans  <n> ms
            $ admmgt plan --back 2
            2 migrations to run
              down app/0002_plans (1 statement)
              down app/0001_users (1 statement)
            $ admmgt down --all
            ran 2 migrations in <n> ms, 2 were applied before
              down app/0002_plans  <n> ms
              down app/0001_users  <n> ms
            $ admmgt down --all
            nothing to do: 0 migrations are applied
        "#]],
    );
}

#[test]
fn words_that_cannot_be_meant() {
    let desk = Desk::new(&[USERS]);
    desk.check(
        &[
            "upp",
            "up --to 0009_nothing",
            "up --to users",
            "down --to 0001",
            "--dir nowhere up",
            "--url mysql://ada:SECRET@host/db up",
            "resolve 0001 --applied --reason x",
            "up --next x",
        ],
        expect![[r#"
            $ admmgt upp
            error: unrecognized subcommand 'upp'

              tip: a similar subcommand exists: 'up'

            Usage: admmgt [OPTIONS] <COMMAND>

            For more information, try '--help'.
            [exit 2]
            $ admmgt up --to 0009_nothing
            error: nothing ran: the target `app/0009_nothing` is not registered. Its neighbour would be `app/0001_users`; see `admmgt status`
            [exit 2]
            $ admmgt up --to users
            error: nothing ran: the target `app/users` is not registered. Is `app/0001_users` meant?
            [exit 2]
            $ admmgt down --to 0001
            nothing to do: 0 migrations are applied
            $ admmgt --dir nowhere up
            error: the folder nowhere cannot be read as migrations:
              - nowhere cannot be read: No such file or directory (os error 2)
            [exit 2]
            $ admmgt --url mysql://ada:SECRET@host/db up
            error: no database is known for URLs that start with `mysql:`; `sqlite:`, `postgres:` and `mongodb:` are
            [exit 2]
            $ admmgt resolve 0001 --applied --reason x
            error: the database `app.db` does not exist
            [exit 9]
            $ admmgt up --next x
            error: invalid value 'x' for '--next <COUNT>': invalid digit found in string

            For more information, try '--help'.
            [exit 2]
        "#]],
    );
}

#[test]
fn an_edit_and_a_rename_are_repaired() {
    let desk = Desk::new(&[USERS, PLANS]);
    desk.run("up");
    desk.write(USERS.0, "create table users (id integer primary key, name text);\n");
    desk.remove(PLANS.0);
    desk.write("0002_price_plans.up.sql", PLANS.1);
    desk.check(
        &[
            "up",
            "verify",
            "repair checksum 0001_users --reason \"never mattered\"",
            "repair rename 0002_plans 0002_price_plans --reason clearer",
            "up",
            "verify",
        ],
        expect![[r#"
            $ admmgt up
            error: nothing ran, for 2 reasons:
              - migrations/0001_users.up.sql:1: `app/0001_users` was applied on <time> and has been edited since (v1:sha256:… was applied, v1:sha256:… is registered). Line 1 was `create table users (id integer primary key, name text not null);` and is `create table users (id integer primary key, name text);`. Restore it, and write the change as a new migration
              - migrations/0002_price_plans.up.sql:1: `app/0002_price_plans` is what was applied as `app/0002_plans`, which is not registered any more. Take its old name back, or run `admmgt repair rename OLD NEW --reason …`
            [exit 4]
            $ admmgt verify
            error: nothing ran: migrations/0001_users.up.sql:1: `app/0001_users` was applied on <time> and has been edited since (v1:sha256:… was applied, v1:sha256:… is registered). Line 1 was `create table users (id integer primary key, name text not null);` and is `create table users (id integer primary key, name text);`. Restore it, and write the change as a new migration
            [exit 4]
            $ admmgt repair checksum 0001_users --reason "never mattered"
            repaired
            $ admmgt repair rename 0002_plans 0002_price_plans --reason clearer
            repaired
            $ admmgt up
            nothing to do: 2 migrations are applied
            $ admmgt verify
            2 migrations are as applied; 5 records and 3 archived bodies are whole
        "#]],
    );
}

#[test]
fn an_interruption_is_resumed_or_resolved() {
    let desk =
        Desk::new(&[("0001_big.sql", "-- no-transaction\ncreate table a(x);\ninsert into nowhere values (1);\n")]);
    desk.check(&["up", "up", "up --resume"], expect![[r#"
        $ admmgt up
        error: `app/0001_big` (up) failed at migrations/0001_big.sql:3, statement 2 of 2 (`insert into nowhere values (1)`): no such table: nowhere; part of it may be done. Look at the database; then run `admmgt resolve app/0001_big --applied --reason …` if the whole change is there, or with `--pending` after taking away what is there of it; or mend it and let it go on behind what has ended, with `admmgt up --resume`
        [exit 6]
        $ admmgt up
        error: nothing ran: migrations/0001_big.sql:1: `app/0001_big` (up) was started on <time> by ada on desk and never ended: 1 of its 2 statements had ended. It failed with: no such table: nowhere. Look at the database; then run `admmgt resolve app/0001_big --applied --reason …` if the whole change is there, or with `--pending` after taking away what is there of it; or let it go on behind what has ended, with `admmgt up --resume`
        [exit 6]
        $ admmgt up --resume
        error: `app/0001_big` (up) failed at migrations/0001_big.sql:3, statement 2 of 2 (`insert into nowhere values (1)`): no such table: nowhere; part of it may be done. Look at the database; then run `admmgt resolve app/0001_big --applied --reason …` if the whole change is there, or with `--pending` after taking away what is there of it; or mend it and let it go on behind what has ended, with `admmgt up --resume`
        [exit 6]
    "#]]);
    desk.write("0001_big.sql", "-- no-transaction\ncreate table a(x);\ninsert into a values (1);\n");
    desk.check(
        &["plan --resume", "up --resume", "history"],
        expect![[r#"
        $ admmgt plan --resume
        1 migration to run
          up   app/0001_big (2 statements, goes on behind 1, without a transaction)
        $ admmgt up --resume
        ran 1 migration in <n> ms
          up   app/0001_big  <n> ms, without a transaction
        $ admmgt history
            1  <time>  started    up    app/0001_big  by ada on desk
            2  <time>  step_done  up    app/0001_big  by ada on desk  statement 1
            3  <time>  failed     up    app/0001_big  by ada on desk  (no such table: nowhere)
            4  <time>  failed     up    app/0001_big  by ada on desk  (no such table: nowhere)
            5  <time>  step_done  up    app/0001_big  by ada on desk  statement 2
            6  <time>  applied    up    app/0001_big  by ada on desk
    "#]],
    );
}

#[test]
fn a_database_that_was_there_before() {
    let desk = Desk::new(&[USERS, PLANS]);
    // A name that was misspelt makes no database.
    assert!(desk.run("baseline --reason x").contains("[exit 9]"));
    admmgt::rusqlite::Connection::open(desk.path().join("app.db")).unwrap().execute_batch(USERS.1).unwrap();
    desk.check(
        &["baseline --to 0001 --reason \"made by hand\"", "up", "history"],
        expect![[r#"
            $ admmgt baseline --to 0001 --reason "made by hand"
            1 of 2 migrations applied
              applied     app/0001_users  <time>
              pending     app/0002_plans
            $ admmgt up
            ran 1 migration in <n> ms, 1 was applied before
              up   app/0002_plans  <n> ms
            $ admmgt history
                1  <time>  baseline   up    app/0001_users  by ada on desk  (made by hand)
                2  <time>  applied    up    app/0002_plans  by ada on desk
        "#]],
    );
}

#[test]
fn the_history_of_another_tool() {
    let desk = Desk::new(&[USERS, PLANS]);
    desk.check(
        &["import"],
        expect![[r#"
            $ admmgt import
            error: no history of a tool that is known is in this database; `baseline` counts in what is there
            [exit 2]
        "#]],
    );
    let database = admmgt::rusqlite::Connection::open(desk.path().join("app.db")).unwrap();
    let refinery =
        "create table refinery_schema_history(version int4 primary key, name text, applied_on text, checksum text);
        insert into refinery_schema_history values (1, 'users', '', '')";
    database.execute_batch(refinery).unwrap();
    desk.check(
        &["up", "import --from sqlx", "import", "import", "status", "up", "history"],
        expect![[r#"
            $ admmgt up
            error: nothing ran: refinery has migrated this database (1 on record), and nothing is on record here. Count in what it applied, with `admmgt import`, or say with `--ignore-foreign` that these are other migrations
            [exit 8]
            $ admmgt import --from sqlx
            error: the histories in this database are of refinery
            [exit 2]
            $ admmgt import
            counted in 1 of what refinery applied
            $ admmgt import
            counted in 0 of what refinery applied
            $ admmgt status
            1 of 2 migrations applied
              applied     app/0001_users  <time>
              pending     app/0002_plans
            $ admmgt up
            ran 1 migration in <n> ms, 1 was applied before
              up   app/0002_plans  <n> ms
            $ admmgt history
                1  <time>  baseline   up    app/0001_users  by ada on desk  (applied by refinery)
                2  <time>  applied    up    app/0002_plans  by ada on desk
        "#]],
    );
}

#[test]
fn the_lockfile_in_git() {
    let desk = Desk::new(&[USERS]);
    desk.check(
        &["lock", "lock --update", "lock"],
        expect![[r#"
        $ admmgt lock
        error: admmgt.lock: there is no lockfile yet; make it with `admmgt lock --update`, and commit it
        [exit 2]
        $ admmgt lock --update
        admmgt.lock is written
        $ admmgt lock
        admmgt.lock agrees with the migrations
    "#]],
    );
    desk.write(PLANS.0, PLANS.1);
    desk.write(USERS.0, "create table users (id integer);\n");
    desk.check(&["lock"], expect![[r#"
        $ admmgt lock
        error: admmgt.lock does not agree with the migrations:
          - migrations/0001_users.up.sql:1: `app/0001_users` was edited since it was locked. Restore it, and write the change as a new migration; if it was never applied anywhere, lock it again with `admmgt lock --update`
          - `app/0002_plans` is new: lock it with `admmgt lock --update`
        [exit 4]
    "#]]);
}

#[test]
fn what_programs_read() {
    let desk = Desk::new(&[USERS]);
    let value = |line: &str| {
        let text = desk.run(line);
        let json = text.lines().nth(1).unwrap();
        serde_json::from_str::<serde_json::Value>(json).unwrap_or_else(|error| panic!("{error}: {json}"))
    };
    assert_eq!(value("--format json plan")["steps"][0]["migration"], "app/0001_users");
    assert_eq!(value("--format json up")["ran"][0]["migration"], "app/0001_users");
    assert_eq!(value("--format json status")["migrations"][0]["standing"]["standing"], "applied");
    assert_eq!(value("--format json history")[0]["kind"], "applied");
    assert_eq!(value("--format json verify")["migrations"], 1);
    assert_eq!(value("--format json up --to 7")["exit"], 2);
}

#[test]
fn folders_that_are_no_list() {
    let desk = Desk::new(&[USERS, ("V2__plans.sql", "select 1;"), ("notes.md", "")]);
    desk.check(&["status"], expect![[r#"
        $ admmgt status
        error: the folder migrations cannot be read as migrations:
          - the folder holds two layouts, numbered (`0001_name.sql`) as in migrations/0001_users.up.sql and Flyway (`V1__name.sql`) as in migrations/V2__plans.sql; keep each in a folder of its own
        [exit 2]
    "#]]);
    desk.remove("V2__plans.sql");
    desk.write("1_other.sql", "select 1;");
    desk.check(
        &["status"],
        expect![[r#"
        $ admmgt status
        error: the folder migrations cannot be read as migrations:
          - version 1 is there twice, in migrations/0001_users.up.sql and in migrations/1_other.sql; rename one of them
        [exit 2]
    "#]],
    );
    desk.remove("1_other.sql");
    desk.check(
        &["status", "--strict status"],
        expect![[r#"
        $ admmgt status
        0 of 1 migration applied (no history yet)
          pending     app/0001_users
        ignored: migrations/notes.md: its ending is not `.sql`
        $ admmgt --strict status
        error: migrations holds what is no migration:
          - migrations/notes.md: its ending is not `.sql`
        [exit 2]
    "#]],
    );
}

/// A program that embeds the command line has chosen its policy; no word of a user loosens it.
#[test]
fn a_program_of_ones_own_keeps_its_policy() {
    let empty = || admmgt::Migrations::new([admmgt::SqlMigration::new("app", "1", "").unwrap()]);
    let exit = |migrator: admmgt::Migrator| format!("{:?}", admmgt_cli::embedded(migrator, ["program", "up"]));
    let strict = admmgt::Migrator::new(admmgt::MemoryDriver::new()).migrations(empty());
    assert_eq!(exit(strict.clone()), format!("{:?}", std::process::ExitCode::from(2)));
    let mut policy = admmgt::Policy::default();
    policy.empty = admmgt::Verdict::Allow;
    assert_eq!(exit(strict.policy(policy)), format!("{:?}", std::process::ExitCode::SUCCESS));
}

#[test]
fn views_run_again_when_they_change() {
    let desk = Desk::new(&[
        ("V1__users.sql", "create table users (id integer primary key, name text);\n"),
        ("R__names.sql", "drop view if exists names;\ncreate view names as select name from users;\n"),
    ]);
    desk.check(
        &["up"],
        expect![[r#"
        $ admmgt up
        ran 2 migrations in <n> ms
          up   app/V1__users  <n> ms
          up   app/R__names  <n> ms
    "#]],
    );
    desk.write("R__names.sql", "drop view if exists names;\ncreate view names as select upper(name) from users;\n");
    desk.check(
        &["check", "plan", "up", "status", "down", "history", "check"],
        expect![[r#"
            $ admmgt check
            1 of 2 migrations applied
              applied     app/V1__users  <time>
              again       app/R__names   <time>  [has changed, runs again]
            [exit 3]
            $ admmgt plan
            1 migration to run
              up   app/R__names (2 statements)
                   note: it runs again: it has changed since it was applied on <time>
            $ admmgt up
            ran 1 migration in <n> ms, 1 was applied before
              up   app/R__names  <n> ms
                   note: it runs again: it has changed since it was applied on <time>
            $ admmgt status
            2 of 2 migrations applied
              applied     app/V1__users  <time>
              applied     app/R__names   <time>
            $ admmgt down
            ran 1 migration in <n> ms, 2 were applied before
              down app/R__names  <n> ms
                   note: its form of <time> is put back
            $ admmgt history
                1  <time>  applied    up    app/V1__users  by ada on desk
                2  <time>  applied    up    app/R__names  by ada on desk  (repeatable)
                3  <time>  applied    up    app/R__names  by ada on desk  (repeatable)
                4  <time>  applied    down  app/R__names  by ada on desk  (as it was applied by record 2)
            $ admmgt check
            1 of 2 migrations applied
              applied     app/V1__users  <time>
              again       app/R__names   <time>  [has changed, runs again]
            [exit 3]
        "#]],
    );
}

#[test]
fn a_file_that_was_deleted_and_a_folder_without_any() {
    let desk = Desk::new(&[USERS, PLANS]);
    desk.check(
        &["lock --update", "up"],
        expect![[r#"
        $ admmgt lock --update
        admmgt.lock is written
        $ admmgt up
        ran 2 migrations in <n> ms
          up   app/0001_users  <n> ms
          up   app/0002_plans  <n> ms
    "#]],
    );
    desk.remove(PLANS.0);
    desk.check(&["up", "check", "--lockfile none.lock up"], expect![[r#"
        $ admmgt up
        error: nothing ran: `app/0002_plans` is in the lockfile and not registered, and it is applied. If its file or function was deleted, restore it; if its crate is not linked, name it once: `admmgt::link!(app);`; if it is meant to be gone, take its line out of the lockfile
        [exit 4]
        $ admmgt check
        1 of 1 migration applied
          applied     app/0001_users  <time>
          ahead       app/0002_plans  <time>
        error: nothing ran: `app/0002_plans` is in the lockfile and not registered, and it is applied. If its file or function was deleted, restore it; if its crate is not linked, name it once: `admmgt::link!(app);`; if it is meant to be gone, take its line out of the lockfile
        [exit 4]
        $ admmgt --lockfile none.lock up
        error: none.lock cannot be read: No such file or directory (os error 2)
        [exit 2]
    "#]]);
    desk.remove(USERS.0);
    std::fs::remove_file(desk.path().join("admmgt.lock")).unwrap();
    desk.check(&["status"], expect![[r#"
        $ admmgt status
        error: migrations holds no migration; a file is called `0001_users.sql`, `0001_users.up.sql` or `V1__users.sql`, a folder `0001_users/up.sql`
        [exit 2]
    "#]]);
}

#[test]
fn what_a_plain_client_lets_pass_is_said_and_refused_in_strict() {
    let desk = Desk::new(&[
        ("1_mix.sql", "create table a (x);\nvacuum;\n"),
        ("2_empty.sql", "-- nothing yet\n"),
        ("3_idle.sql", "pragma foreign_keys = on;\n.bail on\ncreate table b (x);\n"),
    ]);
    desk.check(&["--strict up", "up"], expect![[r#"
        $ admmgt --strict up
        error: nothing ran, for 4 reasons:
          - migrations/1_mix.sql:2:1: `VACUUM` cannot run in a transaction (SQLite: "cannot VACUUM from within a transaction"); move it to a file of its own, or write `-- no-transaction` as its first line (in `app/1_mix`)
          - migrations/2_empty.sql:1: `app/2_empty` has no statement. Write one, delete the migration, or leave `--strict` away
          - migrations/3_idle.sql:1:1: `PRAGMA foreign_keys` would silently do nothing: foreign keys are already off while a migration runs and are checked before its commit, so delete the line (in `app/3_idle`)
          - migrations/3_idle.sql:2:1: `.bail` is a command of the sqlite3 shell and does nothing here; delete this line (in `app/3_idle`)
        [exit 2]
        $ admmgt up
        ran 3 migrations in <n> ms
          up   app/1_mix  <n> ms, without a transaction
               note: it runs without a transaction, statement by statement, because of `VACUUM` in line 2
          up   app/2_empty  <n> ms
               note: it has no statement
          up   app/3_idle  <n> ms
               note: left out, 1:1: `PRAGMA foreign_keys` would silently do nothing: foreign keys are already off while a migration runs and are checked before its commit, so delete the line
               note: left out, 2:1: `.bail` is a command of the sqlite3 shell and does nothing here; delete this line
    "#]]);
}

/// In the middle of a statement: it is cut short, its change is not there, and the lease is free.
#[test]
fn a_signal_ends_a_run_cleanly() {
    const SLOW: &str = "create table slow (id integer);
        with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000000000) select count(*) from n;";
    for (signal, expected) in [("INT", 130), ("TERM", 143)] {
        let desk = Desk::new(&[("0001_users.sql", "create table users (id integer);"), ("0002_slow.sql", SLOW)]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_admmgt"));
        command.args(["--url", "sqlite:app.db", "up"]).current_dir(desk.path());
        let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        let log = desk.path().join("app.db-admmgt.lock");
        let clock = std::time::Instant::now();
        while !log.exists() {
            assert!(clock.elapsed().as_secs() < 30, "it starts");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
        let kill = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(expected), "{said}");
        assert!(said.contains(&format!("stopped by SIG{signal}")), "{said}");
        desk.write("0002_slow.sql", "create table slow (id integer);");
        let after = desk.run("up");
        assert!(after.contains("ran 1 migration"), "{after}");
    }
}
