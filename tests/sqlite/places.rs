//! Files and folders that cannot be used, or not for writing: a clear error, and nothing changed.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use admmgt::ErrorKind;
use admmgt::prelude::*;
use admmgt_tests::{Orders, Scratch, Sets, Verb, say, sql};
use expect_test::expect;

/// Whatever only looks leaves every byte as it was.
async fn check_only_looks(scratch: &Scratch, migrator: &Migrator) {
    let before = scratch.contents();
    let _ = migrator.status().await.unwrap();
    let _ = migrator.plan().await;
    let _ = migrator.ensure_current().await;
    let _ = migrator.wait_until_current(Duration::from_millis(60)).await;
    assert_eq!(scratch.files(), before.keys().cloned().collect::<Vec<_>>());
    assert!(scratch.contents() == before, "a byte of the database changed");
}

#[tokio::test]
async fn whatever_only_looks_makes_and_changes_nothing() {
    let migrations = || sql(&[("1", "create table a(id integer)")]);
    let missing = Scratch::new();
    check_only_looks(&missing, &missing.migrator(migrations())).await;
    assert!(missing.files().is_empty());

    let empty = Scratch::new();
    empty.write("app.db", "");
    check_only_looks(&empty, &empty.migrator(migrations())).await;

    let foreign = Scratch::new();
    foreign.run("create table theirs(id integer); insert into theirs values (1)");
    check_only_looks(&foreign, &foreign.migrator(migrations())).await;
    foreign.run("pragma journal_mode = wal");
    check_only_looks(&foreign, &foreign.migrator(migrations())).await;

    let migrated = Scratch::new();
    migrated.migrator(migrations()).up().await.unwrap();
    check_only_looks(&migrated, &migrated.migrator(migrations())).await;
    let more = migrations().include(sql(&[("2", "select 1")]));
    check_only_looks(&migrated, &migrated.migrator(more)).await;
}

#[tokio::test]
async fn the_tables_of_other_tools_are_left_alone() {
    let scratch = Scratch::new();
    let others = [
        "_sqlx_migrations",
        "refinery_schema_history",
        "flyway_schema_history",
        "schema_migrations",
        "__diesel_schema_migrations",
        "seaql_migrations",
        "admmgt_history",
    ];
    for table in others {
        scratch.run(&format!("create table {table}(version integer); insert into {table} values (7)"));
    }
    let mut policy = Policy::default();
    policy.foreign = admmgt::Verdict::Allow;
    let migrator = scratch.migrator(sql(&[("1", "create table a(id integer)")])).policy(policy);
    migrator.up().await.unwrap();
    for table in others {
        assert_eq!(scratch.number(&format!("select sum(version) from {table}")), 7);
    }
}

async fn errors_at(driver: Sqlite, scratch: &Scratch) -> String {
    let migrator = Migrator::new(driver).migrations(sql(&[("1", "create table a(id integer)")]));
    let up = migrator.up().await.unwrap_err();
    assert_eq!(up.kind(), ErrorKind::Unavailable, "{up}");
    let status = migrator.status().await.unwrap_err();
    assert_eq!(status.to_string(), up.to_string());
    assert_eq!(migrator.ensure_current().await.unwrap_err().to_string(), up.to_string());
    scratch.neutral(&up)
}

#[tokio::test]
async fn places_that_hold_no_database_are_told_apart() {
    let scratch = Scratch::new();
    let at = |path: PathBuf| errors_at(Sqlite::open(path).unwrap(), &scratch);
    std::fs::create_dir(scratch.folder().join("folder")).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(8192).collect();
    let text = scratch.write("text.db", "this is not a database, and it is not very long");
    let noise = scratch.write("noise.db", noise);
    let before = scratch.contents();
    let messages = [
        at(scratch.folder().join("no/such/folder/app.db")).await,
        at(scratch.folder().join("folder")).await,
        at(noise).await,
        at(text.clone()).await,
        at(text.join("app.db")).await,
    ];
    expect![[r#"
        cannot open the database `$/no/such/folder/app.db`: the folder `$/no/such/folder` does not exist; create it first
        cannot open the database `$/folder`: it is a folder; give the path of a file
        cannot open the database `$/noise.db`: it is not a SQLite database, or it is encrypted; it was not changed (SQLite says: file is not a database)
        cannot open the database `$/text.db`: it is not a SQLite database, or it is encrypted; it was not changed (SQLite says: file is not a database)
        cannot open the database `$/text.db/app.db`: Not a directory (os error 20)"#]].assert_eq(&messages.join("\n"));
    assert!(scratch.contents() == before);
    let relative = errors_at(Sqlite::url("sqlite:no/such/folder/app.db").unwrap(), &scratch).await;
    expect![
        "cannot open the database `no/such/folder/app.db`: the folder `no/such/folder` does not exist; create it first"
    ]
    .assert_eq(&relative);
}

#[test]
fn paths_and_urls_that_name_no_file_are_refused() {
    let urls = ["postgres://host/db", "sqlite:app.db?key=secret", "sqlite:50%", "sqlite:", "app.db", "sqlite:a%00b"];
    let mut messages: Vec<String> = urls.iter().map(|url| Sqlite::url(url).unwrap_err().to_string()).collect();
    messages.extend(["", ":memory:", "a\0b"].iter().map(|path| Sqlite::open(path).unwrap_err().to_string()));
    expect![[r#"
        a SQLite URL starts with `sqlite:` or `file:`, as in `sqlite:app.db`
        the URL's parameter `key` is not known; `mode=ro|rw|rwc|memory` is
        the URL holds a `%` that is not followed by two hexadecimal digits; write `%25` for `%`
        an empty path names a temporary database that nobody else can see; give the path of a file
        a SQLite URL starts with `sqlite:` or `file:`, as in `sqlite:app.db`
        the path holds a NUL byte; remove it
        an empty path names a temporary database that nobody else can see; give the path of a file
        `:memory:` belongs to one connection; use `Sqlite::memory()` or `Sqlite::connection(yours)`
        the path holds a NUL byte; remove it"#]]
    .assert_eq(&messages.join("\n"));
}

#[tokio::test]
async fn a_url_that_only_reads_or_only_opens_makes_no_file() {
    let scratch = Scratch::new();
    for (mode, present, expected) in [
        ("ro", true, ErrorKind::Unavailable),
        ("ro", false, ErrorKind::Unavailable),
        ("rw", false, ErrorKind::Unavailable),
    ] {
        if present {
            scratch.run("create table theirs(id integer)");
        }
        let driver = Sqlite::url(&format!("sqlite:{}?mode={mode}", scratch.path().display())).unwrap();
        let migrator = Migrator::new(driver).migrations(sql(&[("1", "create table a(id integer)")]));
        let before = scratch.contents();
        let error = migrator.up().await.unwrap_err();
        assert_eq!(error.kind(), expected, "{mode}: {error}");
        assert!(scratch.contents() == before, "{mode}: {:?}", scratch.files());
        migrator.status().await.unwrap();
        std::fs::remove_file(scratch.path()).ok();
    }
}

#[tokio::test]
async fn odd_paths_are_opened_as_they_are() {
    let scratch = Scratch::new();
    for name in [
        "it's a \"db\".db",
        "50%25 off?mode=ro#x.db",
        "ünï;--cödé.db",
        "-rf.db",
        "file:x.db",
        "new\nline.db",
        ":memory:.db",
    ] {
        let folder = scratch.folder().join(format!("in {name}"));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("..").join(folder.file_name().unwrap()).join(name);
        let migrator =
            Migrator::new(Sqlite::open(&path).unwrap()).migrations(sql(&[("1", "create table a(id integer)")]));
        assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
        assert_eq!(migrator.up().await.unwrap().already, 1);
        let mut made: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        made.sort();
        assert_eq!(made, [name.to_owned(), format!("{name}-admmgt.lock")]);
    }
}

/// A child that runs as nobody, in a folder that it may enter; `None` where that cannot be had.
struct Nobody {
    scratch: Scratch,
    binary: PathBuf,
    _folder: tempfile::TempDir,
}

impl Nobody {
    fn new() -> Option<Self> {
        // SAFETY: a plain system call.
        let is_root = unsafe { libc::geteuid() } == 0;
        let setpriv = std::process::Command::new("setpriv").arg("--version").output();
        if !is_root || setpriv.is_err() {
            let why = if is_root { "setpriv is missing" } else { "not root" };
            say(format_args!("SKIPPED: read-only files as an unprivileged user: {why}"));
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("child");
        std::fs::copy(env!("CARGO_BIN_EXE_child"), &binary).unwrap();
        let nobody = Self { scratch: Scratch::new(), binary, _folder: folder };
        nobody.allow(nobody._folder.path().to_owned(), 0o755);
        nobody.allow(nobody.binary.clone(), 0o755);
        nobody.allow(nobody.scratch.folder().to_owned(), 0o755);
        Some(nobody)
    }

    fn allow(&self, path: PathBuf, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn orders(&self) -> Orders {
        Orders::new(self.scratch.path()).set(Sets::Small, 2)
    }

    /// The kind and the words of a call's error; nothing is changed by it.
    fn call(&self, verb: Verb) -> String {
        let before = self.scratch.contents();
        let answer = self.orders().verb(verb).start_unprivileged(&self.binary).answer();
        let after = self.scratch.contents();
        assert_eq!(before.get("app.db"), after.get("app.db"));
        match answer.error {
            Some(error) => format!("{}: {}", answer.kind.unwrap(), self.scratch.neutral(&error)),
            None if answer.text.is_empty() => answer.report.map(|report| report.to_string()).unwrap_or_default(),
            None => answer.text.lines().next().unwrap_or_default().to_owned(),
        }
    }

    fn calls(&self) -> String {
        [Verb::Up, Verb::Plan, Verb::Status, Verb::EnsureCurrent].map(|verb| self.call(verb)).join("\n")
    }
}

#[test]
fn what_may_not_be_written_is_not_and_says_so() {
    let Some(nobody) = Nobody::new() else { return };
    let scratch = &nobody.scratch;
    // No database, and a folder where none can be made.
    expect![[r#"
        Unavailable: cannot open the database `$/app.db`: check that the file and its folder can be read and written (SQLite says: unable to open database file: $/app.db)
        2 migrations to run
        0 of 2 migrations applied (no history yet)
        Pending: 2 migrations are not applied: `app/0001`, `app/0002`. Run `Migrator::up` first"#]].assert_eq(&nobody.calls());
    assert!(scratch.files().is_empty());

    // A database of another owner, with one of two migrations applied, in its folder.
    let first = nobody.orders().set(Sets::Small, 1).keep_journal();
    assert_eq!(first.run().succeeded().ran.len(), 1);
    nobody.allow(scratch.path(), 0o644);
    expect![[r#"
        Unavailable: the lease file `$/app.db-admmgt.lock` can only be read; migrations need to write. Check the permissions of the file and its folder, and read-only settings
        1 migration to run
        1 of 2 migrations applied
        Pending: 1 migration is not applied: `app/0002`. Run `Migrator::up` first"#]].assert_eq(&nobody.calls());

    // The folder may be written, the file may not.
    nobody.allow(scratch.folder().to_owned(), 0o777);
    std::fs::remove_file(scratch.folder().join("app.db-admmgt.lock")).unwrap();
    expect![[r#"
        Unavailable: the database `$/app.db` can only be read; migrations need to write. Check the permissions of the file and its folder, and read-only settings
        1 migration to run
        1 of 2 migrations applied
        Pending: 1 migration is not applied: `app/0002`. Run `Migrator::up` first"#]].assert_eq(&nobody.calls());

    // Nothing may even be read.
    nobody.allow(scratch.folder().to_owned(), 0o755);
    nobody.allow(scratch.path(), 0o600);
    expect![[r#"
        Unavailable: cannot open the database `$/app.db`: check that the file and its folder can be read and written (SQLite says: unable to open database file: $/app.db)
        Unavailable: cannot open the database `$/app.db`: check that the file and its folder can be read and written (SQLite says: unable to open database file: $/app.db)
        Unavailable: cannot open the database `$/app.db`: check that the file and its folder can be read and written (SQLite says: unable to open database file: $/app.db)
        Unavailable: cannot open the database `$/app.db`: check that the file and its folder can be read and written (SQLite says: unable to open database file: $/app.db)"#]].assert_eq(&nobody.calls());
    nobody.allow(scratch.folder().to_owned(), 0o700);
    expect![[r#"
        Unavailable: cannot open the database `$/app.db`: Permission denied (os error 13)
        Unavailable: cannot open the database `$/app.db`: Permission denied (os error 13)
        Unavailable: cannot open the database `$/app.db`: Permission denied (os error 13)
        Unavailable: cannot open the database `$/app.db`: Permission denied (os error 13)"#]]
    .assert_eq(&nobody.calls());
}

/// A replica that may only read a database that is up to date starts all the same.
#[test]
fn whoever_may_only_read_starts_when_nothing_is_pending() {
    let Some(nobody) = Nobody::new() else { return };
    assert_eq!(nobody.orders().keep_journal().run().succeeded().ran.len(), 2);
    nobody.allow(nobody.scratch.path(), 0o644);
    expect![[r#"
        nothing to do: 2 migrations are applied
        nothing to do: 2 migrations are applied
        2 of 2 migrations applied
    "#]]
    .assert_eq(&nobody.calls());
    assert_eq!(nobody.scratch.files(), ["app.db", "app.db-admmgt.lock"]);

    // With a write-ahead log, while another process has the database open.
    nobody.scratch.run("pragma journal_mode = wal");
    let other = nobody.scratch.connection();
    assert_eq!(other.query_row("select count(*) from log", [], |row| row.get(0)), Ok(2));
    expect![[r#"
        nothing to do: 2 migrations are applied
        nothing to do: 2 migrations are applied
        2 of 2 migrations applied
    "#]]
    .assert_eq(&nobody.calls());

    // Alone with it, SQLite would have to make the files beside the write-ahead log, and may not.
    drop(other);
    expect![[r#"
        Unavailable: cannot open the database `$/app.db`: SQLite has to write files beside it, even to read while it has a write-ahead log; allow that in its folder, or keep another connection open, or use `Journal::Keep` (SQLite says: attempt to write a readonly database)
        Unavailable: cannot open the database `$/app.db`: SQLite has to write files beside it, even to read while it has a write-ahead log; allow that in its folder, or keep another connection open, or use `Journal::Keep` (SQLite says: attempt to write a readonly database)
        Unavailable: cannot open the database `$/app.db`: SQLite has to write files beside it, even to read while it has a write-ahead log; allow that in its folder, or keep another connection open, or use `Journal::Keep` (SQLite says: attempt to write a readonly database)
        Unavailable: cannot open the database `$/app.db`: SQLite has to write files beside it, even to read while it has a write-ahead log; allow that in its folder, or keep another connection open, or use `Journal::Keep` (SQLite says: attempt to write a readonly database)"#]].assert_eq(&nobody.calls());
}

/// Who may write the database may take its lease, whoever asked for it first.
#[cfg(unix)]
#[tokio::test]
async fn the_lease_file_belongs_to_whom_the_database_belongs_to() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    let scratch = Scratch::new();
    scratch.run("create table other(x)");
    std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o660)).unwrap();
    if chown(scratch.path(), Some(65534), Some(65534)).is_err() {
        println!("    in part: not root, so nothing can be given away");
    }
    scratch.migrator(sql(&[("1", "create table a(x)")])).up().await.unwrap();
    let of = |path: PathBuf| std::fs::metadata(path).map(|found| (found.uid(), found.gid(), found.mode())).unwrap();
    assert_eq!(of(scratch.folder().join("app.db-admmgt.lock")), of(scratch.path()));
}

/// The name of the holder is for people: what a later version writes there as well is passed over.
#[tokio::test]
async fn a_lease_file_of_another_version_names_its_holder() {
    let scratch = Scratch::new();
    let migrator = scratch.migrator(sql(&[("1", "create table a(x)")]));
    migrator.up().await.unwrap();
    let path = scratch.folder().join("app.db-admmgt.lock");
    std::fs::write(&path, "pid=7\nmood=good\nby=ada\nno pair\nsince=never\n").unwrap();
    let file = std::fs::File::open(&path).unwrap();
    file.lock().unwrap();
    let mut policy = Policy::default();
    policy.lease_wait = Duration::from_millis(5);
    let pending = scratch.migrator(sql(&[("1", "create table a(x)"), ("2", "create table b(x)")])).policy(policy);
    let error = pending.up().await.unwrap_err();
    assert!(error.to_string().contains("`ada` (process 7)"), "{error}");
    drop(file);
    assert_eq!(pending.up().await.unwrap().ran.len(), 1);
}
