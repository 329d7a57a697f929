//! Databases that other tools have migrated: their histories are counted in, and left as they are.

use admmgt::prelude::*;
use admmgt::{ErrorKind, Refusal, Verdict};
use admmgt_tests::{Scratch, sql};

/// The tables as the tools make them; the rows as they write them.
#[tokio::test]
async fn histories_of_other_tools_are_counted_in_and_left_alone() {
    let users = "create table a(x);";
    let sqlx = "create table _sqlx_migrations(version bigint primary key, description text not null,
        installed_on timestamp not null default current_timestamp, success boolean not null,
        checksum blob not null, execution_time bigint not null)";
    let row = |version: i64, success: bool, text: &str| {
        let hash = admmgt_files::checksum::sha384(text.as_bytes()).unwrap();
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("insert into _sqlx_migrations values ({version}, 'a', current_timestamp, {success}, x'{hash}', 1)")
    };
    let list = || sql(&[("0001_a", users), ("0002_b", "create table b(x)")]);
    let found = |scratch: &Scratch| scratch.texts("select version || success from _sqlx_migrations");

    let scratch = Scratch::new();
    scratch.run(&format!("{users} {sqlx}; {}", row(1, true, users)));
    let migrator = scratch.migrator(list());
    let mut histories = migrator.foreign().await.unwrap();
    assert_eq!((histories.len(), histories[0].tool.as_str()), (1, "sqlx"));
    let before = found(&scratch);
    assert_eq!(migrator.adopt(histories.remove(0)).await.unwrap(), 1);
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
    assert_eq!((scratch.tables(), found(&scratch)), (vec!["_sqlx_migrations".into(), "a".into(), "b".into()], before));

    for (rows, problem) in [
        (row(1, true, "create table a(y);"), "was edited since sqlx applied it"),
        (row(1, false, users), "version 1 did not end well"),
        (row(7, true, users), "version 7 is not among the migrations"),
    ] {
        let scratch = Scratch::new();
        scratch.run(&format!("{sqlx}; {rows}"));
        let migrator = scratch.migrator(list());
        let error = migrator.adopt(migrator.foreign().await.unwrap().remove(0)).await.unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
        assert!(migrator.history().await.unwrap().is_empty());
    }

    let scratch = Scratch::new();
    scratch.run(
        "create table refinery_schema_history(version int4 primary key, name varchar(255), applied_on varchar(255),
            checksum varchar(255));
        insert into refinery_schema_history values (1, 'a', '2024-01-01T00:00:00Z', '123');
        create table __diesel_schema_migrations(version varchar(50) primary key not null,
            run_on timestamp not null default current_timestamp);
        insert into __diesel_schema_migrations(version) values ('20240101000000'), ('20240102000000')",
    );
    let dates = sql(&[("2024-01-01-000000_a", "create table a(x)"), ("2024-01-02-000000_b", "create table b(x)")]);
    let migrator = scratch.migrator(dates);
    let histories = migrator.foreign().await.unwrap();
    let tools: Vec<&str> = histories.iter().map(|history| history.tool.as_str()).collect();
    assert_eq!(tools, ["refinery", "diesel"]);
    assert_eq!(migrator.adopt(histories[1].clone()).await.unwrap(), 2);
    assert_eq!(migrator.adopt(histories[1].clone()).await.unwrap(), 0);
    migrator.ensure_current().await.unwrap();
}

/// The tables of tools, as each makes them, with version 1 applied, 3 not, and 2 taken back where that is kept.
const TOOLS: [(&str, &str, usize); 5] = [
    (
        "Flyway",
        "create table flyway_schema_history(installed_rank integer primary key, version text, description text, type text,
             script text, checksum integer, installed_by text, installed_on text, execution_time integer, success boolean);
         insert into flyway_schema_history values (1, '1', 'a', 'SQL', 'V1__a.sql', 5, 'ada', '', 1, 1),
             (2, null, 'v', 'SQL', 'R__v.sql', 6, 'ada', '', 1, 1), (3, '2', 'b', 'SQL', 'V2__b.sql', 7, 'ada', '', 1, 1),
             (4, '2', 'b', 'UNDO_SQL', 'U2__b.sql', 8, 'ada', '', 1, 1)",
        1,
    ),
    (
        "goose",
        "create table goose_db_version(id integer primary key autoincrement, version_id integer, is_applied integer, tstamp);
         insert into goose_db_version(version_id, is_applied) values (0, 1), (1, 1), (2, 1), (2, 0)",
        1,
    ),
    (
        "golang-migrate",
        "create table schema_migrations(version uint64, dirty bool); insert into schema_migrations values (2, false)",
        2,
    ),
    (
        "dbmate",
        "create table schema_migrations(version varchar(128) primary key); insert into schema_migrations values ('0001')",
        1,
    ),
    (
        "Prisma",
        "create table _prisma_migrations(id text, checksum text, finished_at text, migration_name text, logs text,
             rolled_back_at text, started_at text, applied_steps_count integer);
         insert into _prisma_migrations(finished_at, migration_name, rolled_back_at)
             values ('2024', '0001_a', null), ('2024', '0002_b', '2025')",
        1,
    ),
];

#[tokio::test]
async fn nothing_runs_over_what_another_tool_has_done() {
    for (tool, table, applied) in TOOLS {
        let scratch = Scratch::new();
        scratch.run(table);
        let all = [("0001_a", "create table a(x)"), ("0002_b", "create table b(x)"), ("0003_c", "create table c(x)")];
        let migrator = scratch.migrator(sql(&all));
        let error = migrator.up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(matches!(error.refusals(), [Refusal::Foreign { tool: found, .. }] if found == tool), "{tool}: {error}");
        assert!(migrator.plan().await.is_err());
        assert_eq!(scratch.texts("select name from sqlite_schema where name like '%admmgt%'"), [""; 0]);

        let history = migrator.foreign().await.unwrap().remove(0);
        assert_eq!(migrator.adopt(history).await.unwrap(), applied, "{tool}");
        assert_eq!(migrator.up().await.unwrap().ran.len(), 3 - applied, "{tool}");

        // Who has migrations of two kinds in one database says so.
        let scratch = Scratch::new();
        scratch.run(table);
        let mut policy = Policy::default();
        policy.foreign = Verdict::Allow;
        assert_eq!(scratch.migrator(sql(&all)).policy(policy).up().await.unwrap().ran.len(), 3, "{tool}");
    }
}

/// The history was lost, or the database was made by hand: what is there is not made again, and nothing before it.
#[tokio::test]
async fn what_is_there_already_is_found_before_anything_runs() {
    let all = [
        ("0", "create table new(x)"),
        ("1", "create table if not exists \"Users\"(x); drop view if exists v; create view v as select 1"),
        ("2", "create index i on users(x); create table USERS(x)"),
    ];
    let scratch = Scratch::new();
    scratch.run("create table users(x); create view v as select 2");
    let migrator = scratch.migrator(sql(&all));
    let error = migrator.up().await.unwrap_err();
    assert!(matches!(error.refusals(), [Refusal::AlreadyThere { name, .. }] if name == "USERS"), "{error}");
    assert_eq!(scratch.tables(), ["users"]);

    migrator.baseline(Some("app/2"), "made by hand").await.unwrap();
    migrator.ensure_current().await.unwrap();

    // Without such a name it runs, and says what it found.
    let scratch = Scratch::new();
    scratch.run("create table other(x)");
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let hears = std::sync::Arc::clone(&heard);
    let observed = scratch.migrator(sql(&all)).observe(move |event: &admmgt::Event| {
        if let admmgt::Event::Notice { text, .. } = event {
            hears.lock().unwrap().push(text.clone());
        }
    });
    assert_eq!(observed.plan().await.unwrap().steps.len(), 3);
    assert!(observed.up().await.is_err()); // its own table of two names
    assert!(heard.lock().unwrap().iter().any(|text| text.contains("the database holds 1 tables and views")));
}

/// Somebody else migrates between the look at the history and the look at what is there: that is no database which
/// was there before.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_has_just_made_is_not_taken_for_older() {
    let all = || sql(&[("1", "create table a(x)"), ("2", "create table b(x)")]);
    for _ in 0..20 {
        let scratch = Scratch::new();
        let starts = (0..8).map(|_| {
            let migrator = scratch.migrator(all());
            tokio::task::spawn(async move { migrator.up().await })
        });
        for start in starts.collect::<Vec<_>>() {
            start.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn what_cannot_be_counted_in_is_said_all_at_once() {
    let scratch = Scratch::new();
    scratch.run(
        "create table _sqlx_migrations(version, description text, installed_on text, success boolean, checksum blob, \
         execution_time bigint);
         insert into _sqlx_migrations values (1, 'a', '', true, x'00', 1), (2, 'b', '', false, x'00', 1), (2.5, 'c', '', true, x'00', 1), (7, 'd', '', true, x'00', 1), (null, 'e', '', true, x'00', 1)",
    );
    let two = sql(&[("7_a", "create table a(x)"), ("0007_b", "create table b(x)"), ("1_z", "create table z(x)")]);
    let migrator = scratch.migrator(two);
    let history = migrator.foreign().await.unwrap().remove(0);
    let error = migrator.adopt(history).await.unwrap_err();
    expect_test::expect![[r#"
        the history of sqlx cannot be counted in:
          - version (Null) is not among the migrations; add its file
          - here:185: `app/1_z` was edited since sqlx applied it; restore it
          - version 2 did not end well; put that right with sqlx first
          - version 2.5 is not among the migrations; add its file
          - version 7 could be `app/7_a` or `app/0007_b`; rename one of them"#]]
    .assert_eq(&error.to_string().replace(file!(), "here"));
}
