//! What people read: in errors, logs and tables.

#![allow(missing_docs, clippy::unwrap_used)]

use admmgt_core::{
    Author, Checksum, Context, Driver, Error, ErrorKind, Event, Holder, MemoryDriver, Meta, Migration, MigrationId,
    Migrations, Migrator, Policy, Refusal, Repair, Resolution, SqlMigration, Target, Text, Timestamp, TransactionMode,
    async_trait, check,
};
use expect_test::expect;

fn id(id: &str) -> MigrationId {
    MigrationId::new("app", id).unwrap()
}

fn sql(id: &str, text: &str) -> SqlMigration {
    SqlMigration::new("app", id, text.to_owned()).unwrap()
}

fn migrator(database: &MemoryDriver, migrations: impl IntoIterator<Item = SqlMigration>) -> Migrator {
    Migrator::new(database.clone()).migrations(Migrations::new(migrations))
}

#[test]
fn a_holder_is_named_as_far_as_it_is_known() {
    let mut words = Vec::new();
    for (by, pid) in [(Some("ada"), Some(7)), (Some("ada"), None), (None, Some(7)), (None, None)] {
        let mut holder = Holder::default();
        (holder.by, holder.pid) = (by.map(str::to_owned), pid);
        words.push(holder.to_string());
        holder.host = Some("desk".to_owned());
        holder.since = Some(Timestamp(0));
        holder.place = Some("app.lock".to_owned());
        words.push(holder.to_string());
    }
    expect![[r#"
        `ada` (process 7)
        `ada` (process 7 on `desk`, since 1970-01-01T00:00:00Z) at app.lock
        `ada` (unknown process)
        `ada` (unknown process on `desk`, since 1970-01-01T00:00:00Z) at app.lock
        process 7 (by an unknown user)
        process 7 (by an unknown user on `desk`, since 1970-01-01T00:00:00Z) at app.lock
        an unknown process (it left no name)
        an unknown process (it left no name on `desk`, since 1970-01-01T00:00:00Z) at app.lock"#]]
    .assert_eq(&words.join("\n"));
}

#[test]
fn a_target_says_where_it_leads() {
    let targets = [
        Target::Latest,
        Target::To(id("2")),
        Target::Next(3),
        Target::Tagged("seed".into()),
        Target::Back(1),
        Target::BackTo(id("2")),
        Target::Nothing,
        Target::Again(2),
    ];
    let words: Vec<String> = targets.iter().map(|target| format!("{}, {}", target.direction(), target)).collect();
    expect![[r#"
        up, everything pending
        up, up to `app/2`
        up, the next 3
        up, those with the tag `seed`
        down, the last 1 back
        down, back to `app/2`
        down, everything back
        down, the last 2 again"#]]
    .assert_eq(&words.join("\n"));
}

#[test]
fn texts_and_names_compare_and_show_as_texts() {
    let [ada, same, bob] = ["ada", "ada", "bob"].map(|text| Text::from(std::borrow::Cow::Borrowed(text)));
    let owned = Text::from(std::borrow::Cow::Owned("ada".to_owned()));
    assert!(ada == *"ada" && ada == same && ada == owned && ada < bob);
    assert_eq!(admmgt_core::Backend::new("sqlite").as_str(), "sqlite");
    assert_eq!(format!("{:?}", Migrations::new([sql("1", "a")])), "[\"app/1\"]");
    let set = Migrator::new(MemoryDriver::default()).migrations(Migrations::new([sql("1", "a")])).set().unwrap();
    assert_eq!((format!("{set:?}"), set.is_empty()), ("[\"app/1\"]".to_owned(), false));
    assert_eq!(Author::of_this_process().by("me").by, "me");
    assert_ne!(admmgt_core::RunId::default(), admmgt_core::RunId::default());
}

/// Every call that cannot work says why.
#[tokio::test]
async fn what_cannot_be_amended_says_why() {
    let database = MemoryDriver::new();
    let first = migrator(&database, [sql("1", "one"), sql("2", "two")]);
    first.up().await.unwrap();
    let more = migrator(&database, [sql("1", "one"), sql("2", "two"), sql("3", "three")]);
    let rename = |from: &str, to: &str| Repair::Rename { from: id(from), to: id(to) };
    let mut words = Vec::new();
    let mut say = |result: Result<(), Error>| words.push(result.unwrap_err().to_string());
    say(first.repair(Repair::Checksum(id("1")), "").await);
    say(first.repair(Repair::Checksum(id("1")), "why").await);
    say(first.repair(rename("1", "2"), "why").await);
    say(more.repair(rename("9", "3"), "why").await);
    let renamed = migrator(&database, [sql("1", "one"), sql("2_new", "another text")]);
    say(renamed.repair(rename("2", "2_new"), "why").await);
    let half = migrator(&database, [sql("1", "one")]);
    say(half.repair(rename("2", "1"), "why").await);
    say(first.resolve("app/1", Resolution::Applied, "why").await);
    say(first.resolve("no name", Resolution::Applied, "why").await);
    say(first.baseline(Some("app/9"), "why").await);
    let half = MemoryDriver::without_transactions();
    let half = migrator(&half, [sql("1", "one\nfail")]);
    half.up().await.unwrap_err();
    say(half.baseline(None, "why").await);
    expect![[r#"
        a reason is missing; say why, for those who read the history later
        `app/1` is as it was applied, so there is nothing to accept
        `app/1` is still registered, so it was not renamed
        `app/9` is not applied, so it cannot have been renamed
        `app/2_new` is not what was applied as `app/2`: the SQL differs. Rename it without a change, and write the change as a new migration
        `app/1` is applied already, so `app/2` is another migration
        `app/1` is not interrupted, so there is nothing to resolve. See `Migrator::status`
        `` cannot name a migration or a namespace: it is empty; give it at least one letter or digit; a migration is named `namespace/id`
        nothing ran: the target `app/9` is not registered. Is `app/1` meant?
        `app/1` is interrupted; resolve it first, with `Migrator::resolve`"#]].assert_eq(&words.join("\n"));
}

struct Counts(Meta);

#[async_trait]
impl Migration for Counts {
    fn meta(&self) -> &Meta {
        &self.0
    }

    async fn up(&self, cx: &mut Context) -> Result<(), admmgt_core::BoxError> {
        assert_eq!(cx.migration(), Some(&self.0.id));
        cx.progress(1, Some(2));
        cx.execute("counted").await?;
        Ok(())
    }
}

#[tokio::test]
async fn code_tells_how_far_it_has_come_and_has_no_way_back_of_its_own() {
    let database = MemoryDriver::new();
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let hears = std::sync::Arc::clone(&heard);
    let meta = Meta::new(id("1"), Checksum::parse("manual:1").unwrap()).reversible();
    let migrator =
        Migrator::new(database.clone()).migrations(Migrations::new([Counts(meta)])).observe(move |event: &Event| {
            if let Event::Progress { done, of, .. } = event {
                hears.lock().unwrap().push((*done, *of));
            }
        });
    migrator.up().await.unwrap();
    assert_eq!(*heard.lock().unwrap(), [(1, Some(2))]);
    // It says that it is reversible, and is not.
    let error = migrator.down(Target::Nothing).await.unwrap_err();
    assert!(error.to_string().contains("`app/1` has no way back"), "{error}");
    assert_eq!(database.journal(), ["counted"]);
}

/// A file that a migration's way back is read from.
#[tokio::test]
async fn a_way_back_is_read_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (up, down) = (folder.path().join("up.sql"), folder.path().join("down.sql"));
    std::fs::write(&up, "one").unwrap();
    std::fs::write(&down, "not one").unwrap();
    let both = || SqlMigration::from_file("app", "1", &up).unwrap().down_file(&down);
    let database = MemoryDriver::new();
    migrator(&database, [both()]).up().await.unwrap();
    migrator(&database, [both()]).down(Target::Nothing).await.unwrap();
    assert_eq!(database.journal(), ["one", "not one"]);
    std::fs::write(&down, b"one\n\xff").unwrap();
    let error = migrator(&database, [both()]).up().await.unwrap_err();
    assert!(matches!(error.refusals(), [Refusal::Unreadable { line: 2, .. }]), "{error}");
    std::fs::remove_file(&down).unwrap();
    let error = migrator(&database, [both()]).up().await.unwrap_err();
    assert!(error.to_string().contains("down.sql") && error.to_string().contains("cannot be read"), "{error}");
    // A NUL in a text, and in its way back.
    let error = migrator(&database, [sql("1", "one\n\0"), sql("2", "two").down("a\0")]).up().await.unwrap_err();
    assert_eq!(error.refusals().len(), 2, "{error}");
}

#[test]
fn a_lockfile_that_does_not_fit_says_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admmgt.lock");
    let words = |migrations: Migrations, update: bool| match check(&migrations, &path, update) {
        Ok(()) => "fits".to_owned(),
        Err(error) => error.to_string().replace(&folder.path().display().to_string(), "$").replace(file!(), "here"),
    };
    let view = |text: &str| sql("v", text).with(Meta::repeatable);
    let depends = |on: &str| {
        let on = on.to_owned();
        sql("2", "two").with(move |meta| meta.depends_on([id(&on)]))
    };
    let all = |last: &str, of: &str| {
        Migrations::new([
            sql("0", "zero"),
            sql("1", of),
            depends(last),
            view(if last == "1" { "view" } else { "other" }),
        ])
    };
    let mut said = vec![
        words(Migrations::new([sql("1", "one")]), false),
        words(all("1", "one"), true),
        words(all("1", "one"), true),
        words(all("1", "one"), false),
        words(all("1", "one").and(sql("3", "three")), false),
        words(all("0", "edited"), false),
        words(Migrations::new([sql("1", "one"), sql("1", "one")]), false),
    ];
    std::fs::write(&path, "notes\n").unwrap();
    said.push(words(Migrations::new([sql("1", "one")]), true));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    said.push(words(Migrations::new([sql("1", "one")]), false));
    let said: Vec<String> = said.iter().map(|text| text.lines().take(6).collect::<Vec<_>>().join("\n")).collect();
    let text = said.join("\n--\n");
    let hashes = text.split(' ').map(|word| if word.contains("v1:sha256:") { "v1:sha256:…" } else { word });
    expect![[r#"
        $/admmgt.lock: there is no lockfile yet; make it with `ADMMGT_LOCK=update cargo test` or `admmgt lock --update`, and commit it
        --
        fits
        --
        fits
        --
        fits
        --
        $/admmgt.lock does not agree with the migrations:
          - `app/3` is new: lock it with `ADMMGT_LOCK=update cargo test`
        --
        $/admmgt.lock does not agree with the migrations:
          - here:17: `app/1` was edited since it was locked. Restore it, and write the change as a new migration; if it was never applied anywhere, lock it again with `ADMMGT_LOCK=update cargo test`
          - here:17: `app/2` depends on something else than when it was locked (app/1). Lock it again with `ADMMGT_LOCK=update cargo test` if that is meant
          - `app/v` is repeatable and has changed: lock it again with `ADMMGT_LOCK=update cargo test`
        --
        nothing ran: `app/1` is written twice, at here:17 and at here:17. Rename one of them
        --
        $/admmgt.lock: there is a file of that name, and it is no lockfile; it was left as it is
        --
        $/admmgt.lock: cannot be read: Is a directory (os error 21)"#]].assert_eq(&hashes.collect::<Vec<_>>().join(" "));
}

/// What a driver need not have: it is refused, or nothing is known.
#[tokio::test]
async fn what_a_driver_does_not_offer_is_said() {
    let database = MemoryDriver::new();
    let migrator = migrator(&database, [sql("1", "one")]);
    let locked = admmgt_core::Lockfile::parse("admmgt lockfile, format 1\napp/1  manual:a\napp/7  manual:b\n").unwrap();
    let mut policy = Policy::default();
    policy.missing = admmgt_core::Verdict::Allow;
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let hears = std::sync::Arc::clone(&heard);
    let lenient = migrator.clone().lockfile(&locked).policy(policy).observe(move |event: &Event| {
        if let Event::Notice { text, .. } = event {
            hears.lock().unwrap().push(text.clone());
        }
    });
    lenient.up().await.unwrap();
    assert!(heard.lock().unwrap().iter().any(|text| text.contains("`app/7`")), "{heard:?}");
    let error = migrator.clone().target(Target::Tagged("none".into())).up().await.unwrap_err();
    assert!(error.to_string().contains("`none`"), "{error}");
    let error = migrator.down(Target::BackTo(id("1_a"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    let session = database.open(&admmgt_core::SessionOptions::new(admmgt_core::Access::Read)).await.unwrap();
    assert!(!session.serves(admmgt_core::Access::Read));
    assert!(format!("{lenient:?}").contains("1 observers"));
    let wrong = Error::wrong_backend("PgConnection");
    assert!(wrong.to_string().contains("PgConnection") && wrong.kind() == ErrorKind::Usage, "{wrong}");
}

/// What the macros write into constants, made at run time.
#[test]
fn an_item_says_what_it_was_made_of() {
    use admmgt_core::__private::{MetaParts, id, item, sql, sql_in, tag};
    static UP: std::sync::LazyLock<admmgt_core::SqlSource> = std::sync::LazyLock::new(|| sql("up.sql", "select 1"));
    static DOWN: std::sync::LazyLock<admmgt_core::SqlSource> =
        std::sync::LazyLock::new(|| sql_in(TransactionMode::None, "down.sql", "select 2"));
    for after in [None, Some("0")] {
        let parts = MetaParts {
            namespace: "app",
            id: "1",
            description: "Users.",
            depends_on: Vec::leak(vec![id("billing", "1")]),
            after,
            checksum: "manual:1",
            origin: admmgt_core::Origin::Sql,
            transaction: TransactionMode::Auto,
            on_interrupt: admmgt_core::OnInterrupt::Manual,
            probe: None,
            repeatable: false,
            replaces: &[],
            tags: Vec::leak(vec![tag("seed")]),
            file: "here.rs",
            line: 7,
            backend: None,
        };
        let made = item(parts, admmgt_core::Body::Sql(&UP), Some(admmgt_core::Body::Sql(&DOWN)));
        let meta = made.meta();
        assert_eq!((meta.id.to_string(), meta.reversible, meta.location.line), ("app/1".to_owned(), true, 7));
        assert_eq!((meta.depends_on.len(), &meta.tags[..]), (1, &["seed".into()][..]));
        assert_eq!(meta.after.as_ref().map(MigrationId::id), after);
        let way = |direction| made.sql(direction).map(|source| source.file().to_owned());
        assert_eq!(way(admmgt_core::Direction::Up).as_deref(), Some("up.sql"));
        assert_eq!(way(admmgt_core::Direction::Down).as_deref(), Some("down.sql"));
        let listed: &'static admmgt_core::Item = Box::leak(Box::new(made));
        for list in [Migrations::from([listed]), Migrations::from(&[listed])] {
            assert_eq!(format!("{list:?}"), "[\"app/1\"]");
        }
    }
}

/// The words of refusals, with what is different each time taken out of them.
fn refused(result: Result<admmgt_core::Report, Error>) -> String {
    let error = result.unwrap_err();
    assert!(!error.refusals().is_empty(), "{error}");
    let words: Vec<String> = error.refusals().iter().map(Refusal::to_string).collect();
    let words = words.join("\n").replace(file!(), "here");
    let day = |word: &str| word.len() > 19 && word.starts_with("20") && word.contains('T');
    words.split(' ').map(|word| if day(word) { "DAY" } else { word }).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_way_back_that_cannot_be_gone_says_why() {
    let both = |name: &str| sql(name, &format!("do {name}")).down(format!("undo {name}"));
    let database = MemoryDriver::new();
    migrator(&database, ["3", "5", "7"].map(both)).up().await.unwrap();
    let all = migrator(&database, ["3", "4", "5", "7"].map(both));
    let edge = migrator(&database, [both("5").with(|meta| meta.depends_on([id("7")])), both("7")]);
    let words = [
        refused(all.down(Target::BackTo(id("4"))).await),
        refused(migrator(&database, [both("3"), both("5")]).down(Target::Back(1)).await),
        refused(migrator(&database, [both("3"), both("5")]).down(Target::BackTo(id("3"))).await),
        refused(edge.down(Target::Back(1)).await),
        refused(all.clone().target(Target::To(id("6_unlike_any"))).up().await),
        refused(migrator(&database, []).target(Target::To(id("6"))).up().await),
    ];
    expect![[r#"
        the way back cannot end at `app/4`, which is not applied, while others behind it are. Name one that is; see `Migrator::status`
        `app/7` was applied on DAY and is not registered in this program, so nothing can take it back. Use the program that has it
        `app/7` was applied on DAY and is not registered in this program, so nothing can take it back. Use the program that has it
        here:17: `app/5` is applied and depends on `app/7`, which would be taken back. Take `app/5` back first
        the target `app/6_unlike_any` is not registered. It would stand between `app/5` and `app/7`; see `Migrator::status`
        no migration is registered. A crate that only Cargo.toml names is not linked: write `admmgt::link!(the_crate);` or `use the_crate as _;` once in this program, or pass `Migrator::migrations` an explicit list
        the target `app/6` is not registered. A migration is named `namespace/id`; see `Migrator::status`"#]].assert_eq(&words.join("\n"));
}

#[tokio::test]
async fn what_is_there_or_was_edited_is_told() {
    let database = MemoryDriver::new();
    database.run("create users").unwrap();
    let users = migrator(&database, [sql("1", "\ncreate users")]);
    let mut words = vec![refused(users.up().await)];
    let database = MemoryDriver::new();
    migrator(&database, [sql("1", "a\nsay 'one'"), sql("2", "b")]).up().await.unwrap();
    words.push(refused(migrator(&database, [sql("1", "a\nsay 'two'"), sql("2", "c")]).up().await));
    expect![[r#"
        here:2: `app/1` would make `users`, which is there, and nothing is on record. If the database has the change already, count it in with `Migrator::baseline`; if the history was lost, restore it from a backup
        here:17: `app/1` was applied on DAY and has been edited since (v1:sha256:b3230cc6e07bea4b1f19d61d844703271450d4d8489bf674b4c6ac1de94c32f1 was applied, v1:sha256:4cc0de352eb1b74eb0e2a51981cf2ec860b2f570441cea82b912f05dd71dc1d8 is registered). Line 2 differs in a comment or in what stands in quotes. Restore it, and write the change as a new migration
        here:17: `app/2` was applied on DAY and has been edited since (v1:sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d was applied, v1:sha256:2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6 is registered). Line 1 was `b` and is `c`. Restore it, and write the change as a new migration"#]].assert_eq(&words.join("\n"));
}

#[tokio::test]
async fn how_much_is_pending_is_told() {
    let database = MemoryDriver::new();
    let all = migrator(&database, ["1", "2", "3", "4", "5", "6", "7"].map(|id| sql(id, id)));
    let now = all.ensure_current().await.unwrap_err();
    let later = all.wait_until_current(std::time::Duration::from_millis(2)).await.unwrap_err();
    assert!(later.to_string().contains("for another process to apply them"), "{later}");
    expect!["7 migrations are not applied: `app/1`, `app/2`, `app/3`, `app/4`, `app/5`, and 2 more. Run `Migrator::up` first"].assert_eq(&now.to_string());
    // What is wrong with the set is wrong while one waits, too.
    let twice = migrator(&database, [sql("1", "a"), sql("1", "b")]);
    let error = twice.wait_until_current(std::time::Duration::from_secs(60)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(Error::database("counting", None, "no").refusals().is_empty());
    assert_eq!(Error::database("counting", None, "no").kind(), ErrorKind::Database);
}

#[tokio::test]
async fn a_plan_shows_everything_that_it_will_do() {
    let database = MemoryDriver::new();
    let counts = || Meta::new(id("2"), Checksum::parse("manual:1").unwrap());
    let told = sql("1", "one").with(|meta| meta.description("Adds one."));
    let all = Migrator::new(database.clone()).migrations(Migrations::new([told]).and(Counts(counts())));
    let up = all.plan().await.unwrap();
    all.clone().target(Target::Next(1)).up().await.unwrap();
    let skips = all.clone().target(Target::BackTo(id("2"))).plan().await.unwrap();
    expect![[r#"
        2 migrations to run
          up   app/1  Adds one. (1 statement)
          up   app/2 (code)
        0 migrations to run
          skip app/2, which is not applied"#]]
    .assert_eq(&format!("{up}\n{skips}"));
    let report = all.run(up).await;
    assert!(matches!(report, Err(Error::PlanStale { .. })), "{report:?}");
    assert!(all.up().await.unwrap().ran.len() == 1 && all.up().await.unwrap().is_empty());
}
