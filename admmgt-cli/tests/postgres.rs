//! The command line on PostgreSQL. Without a server, each test says that it is skipped.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on says where

use std::path::Path;
use std::process::{Command, Output};

use admmgt_tests::{Database, LAYOUTS};

struct Desk {
    db: Database,
    folder: tempfile::TempDir,
}

impl Desk {
    async fn new() -> Option<Self> {
        Some(Self { db: Database::new().await?, folder: tempfile::tempdir().unwrap() })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join("migrations").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// What a line prints on both outputs, and its code.
    fn run(&self, line: &str) -> (i32, String) {
        self.run_at(&self.db.url(), line)
    }

    fn run_at(&self, url: &str, line: &str) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_admmgt"));
        command.args(["--url", url]).args(line.split_whitespace()).current_dir(self.path());
        let Output { status, stdout, stderr } = command.output().unwrap();
        let said = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
        (status.code().unwrap(), said)
    }

    /// Runs a line that must succeed.
    fn ran(&self, line: &str) -> String {
        let (code, said) = self.run(line);
        assert_eq!(code, 0, "{line}: {said}");
        said
    }
}

const SCHEMA: &str = r"select c.relname || ' ' || a.attname || ' ' || a.atttypid::regtype || coalesce(pg_get_viewdef(c.oid), '')
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v') and c.relname not like '\_admmgt%' order by 1";

#[tokio::test]
async fn a_folder_of_every_layout_goes_up_and_down_and_up() {
    for layout in LAYOUTS {
        let Some(desk) = Desk::new().await else { return };
        layout.write(&desk.path().join("migrations"), "postgres");
        let plain = Database::new().await.unwrap();
        for text in layout.plain {
            for statement in admmgt::postgres::script::Statements::new(text) {
                plain.run(statement.unwrap().text).await;
            }
        }
        let expected = plain.texts(SCHEMA).await;
        desk.ran("up --dir migrations");
        assert_eq!(desk.db.texts(SCHEMA).await, expected, "{}", layout.name);
        assert!(desk.ran("up").starts_with("nothing to do"), "{}", layout.name);
        let (code, said) = desk.run("down --all");
        if !layout.reversible {
            assert_eq!(code, 8, "{}: {said}", layout.name);
            continue;
        }
        assert_eq!(code, 0, "{}: {said}", layout.name);
        assert!(desk.db.texts(SCHEMA).await.is_empty(), "{}", layout.name);
        desk.ran("up");
        assert_eq!(desk.db.texts(SCHEMA).await, expected, "{}", layout.name);
        desk.ran("verify");
    }
}

#[tokio::test]
async fn every_verb_works_and_exits_as_it_should() {
    let Some(desk) = Desk::new().await else { return };
    desk.write("0001_users.up.sql", "create table users(id bigint primary key, email text);");
    desk.write("0001_users.down.sql", "drop table users;");
    desk.write("0002_email.sql", "create unique index concurrently users_email on users(email);");
    assert_eq!(desk.run("check").0, 3);
    assert!(desk.ran("plan").contains("2 migrations to run"));
    desk.ran("up --by deploy-bot");
    assert_eq!(desk.run("check").0, 0);
    assert!(desk.ran("history").contains("by deploy-bot"));
    assert!(desk.ran("status --format json").contains("\"applied\""));
    assert_eq!(desk.run("down").0, 8);
    desk.write("0001_users.up.sql", "create table users(id bigint primary key);");
    assert_eq!(desk.run("up").0, 4);
    desk.write("0001_users.up.sql", "create table users(id bigint primary key, email text);");
    desk.write("0003_bad.sql", "insert into nowhere values (1);");
    let (code, said) = desk.run("up");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("0003_bad.sql:1, statement 1 of 1") && said.contains("42P01"), "{said}");
    desk.write("0003_bad.sql", "-- no-transaction\ncreate table three(id int);\ninsert into nowhere values (1);");
    assert_eq!(desk.run("up").0, 6);
    assert_eq!(desk.run("up").0, 6);
    desk.db.run("create table nowhere(id int)").await;
    desk.ran("up --resume");
    desk.ran("verify");
}

#[tokio::test]
async fn schemas_and_leases_are_chosen_by_flags() {
    let Some(desk) = Desk::new().await else { return };
    desk.write("0001_users.sql", "create table users(id bigint primary key);");
    desk.ran("up --schema tenant_1");
    desk.ran("up --schema tenant_2 --lease row");
    desk.ran("up --history-schema admmgt");
    let tables = desk.db.texts("select schemaname || '.' || tablename from pg_tables where tablename in ('users', '_admmgt_history') order by 1");
    assert_eq!(
        tables.await,
        [
            "admmgt._admmgt_history",
            "public.users",
            "tenant_1._admmgt_history",
            "tenant_1.users",
            "tenant_2._admmgt_history",
            "tenant_2.users"
        ]
    );
    assert_eq!(desk.run_at("sqlite:app.db", "up --schema tenant_1").0, 2);
}

#[tokio::test]
async fn what_cannot_be_reached_exits_with_9_and_repeats_no_password() {
    let Some(desk) = Desk::new().await else { return };
    desk.write("0001_users.sql", "create table users(id bigint primary key);");
    let (code, said) = desk.run_at("postgres://me:SECRET@127.0.0.1:1/x", "up");
    assert!(code == 9 && !said.contains("SECRET"), "{code} {said}");
    let (code, said) = desk.run_at("postgres://me:SECRET@127.0.0.1:port/x", "up");
    assert!(code == 2 && !said.contains("SECRET"), "{code} {said}");
}

/// In the middle of a statement: the run is cancelled, its change is not there, and the lease is free.
#[tokio::test]
async fn a_signal_ends_a_run_cleanly() {
    for (signal, expected) in [("INT", 130), ("TERM", 143)] {
        let Some(desk) = Desk::new().await else { return };
        desk.write("0001_users.sql", "create table users(id bigint primary key);");
        desk.write("0002_slow.sql", "create table slow(id int); select pg_sleep(30);");
        let mut command = Command::new(env!("CARGO_BIN_EXE_admmgt"));
        command.args(["--url", &desk.db.url(), "up"]).current_dir(desk.path());
        let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        let asleep = "select 1 from pg_stat_activity where datname = current_database() and query like '%pg_sleep(30)%' and pid <> pg_backend_pid()";
        while desk.db.texts(asleep).await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let clock = std::time::Instant::now();
        let kill = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(expected));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&format!("stopped by SIG{signal}")), "{said}");
        desk.db.quiet().await;
        assert!(clock.elapsed().as_secs() < 15);
        assert_eq!(desk.db.tables().await, ["users"]);
        desk.write("0002_slow.sql", "create table slow(id int);");
        desk.ran("up");
    }
}
