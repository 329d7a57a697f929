//! Databases that other tools have migrated: their histories are counted in, and left as they are.

use admmgt::{ErrorKind, Refusal};
use admmgt_tests::{Database, sql};

/// The tables of tools, as each makes them, with version 1 applied and 2 taken back where that is kept.
const TOOLS: [(&str, &str); 9] = [
    (
        "sqlx",
        "create table _sqlx_migrations(version bigint primary key, description text not null,
             installed_on timestamptz not null default now(), success boolean not null, checksum bytea not null,
             execution_time bigint not null);
         insert into _sqlx_migrations values (1, 'a', now(), true, sha384('create table a(x int);'), 1)",
    ),
    (
        "refinery",
        "create table refinery_schema_history(version int4 primary key, name varchar(255), applied_on varchar(255),
             checksum varchar(255));
         insert into refinery_schema_history values (1, 'a', '2024-01-01T00:00:00Z', '123')",
    ),
    (
        "diesel",
        "create table __diesel_schema_migrations(version varchar(50) primary key not null,
             run_on timestamp not null default current_timestamp);
         insert into __diesel_schema_migrations(version) values ('1')",
    ),
    (
        "SeaORM",
        "create table seaql_migrations(version varchar not null primary key, applied_at bigint not null);
         insert into seaql_migrations values ('1_a', 1)",
    ),
    (
        "Flyway",
        "create table flyway_schema_history(installed_rank integer primary key, version varchar(50), description varchar(200),
             type varchar(20), script varchar(1000), checksum integer, installed_by varchar(100),
             installed_on timestamp default now(), execution_time integer, success boolean);
         insert into flyway_schema_history values (1, '1', 'a', 'SQL', 'V1__a.sql', 5, 'ada', now(), 1, true),
             (2, null, 'v', 'SQL', 'R__v.sql', 6, 'ada', now(), 1, true), (3, '2', 'b', 'SQL', 'V2__b.sql', 7, 'ada', now(), 1, true),
             (4, '2', 'b', 'UNDO_SQL', 'U2__b.sql', 8, 'ada', now(), 1, true)",
    ),
    (
        "goose",
        "create table goose_db_version(id serial primary key, version_id bigint not null, is_applied boolean not null,
             tstamp timestamp default now());
         insert into goose_db_version(version_id, is_applied) values (0, true), (1, true), (2, true), (2, false)",
    ),
    (
        "golang-migrate",
        "create table schema_migrations(version bigint not null primary key, dirty boolean not null);
         insert into schema_migrations values (1, false)",
    ),
    (
        "dbmate",
        "create table schema_migrations(version varchar(128) primary key);
         insert into schema_migrations values ('1')",
    ),
    (
        "Prisma",
        "create table _prisma_migrations(id varchar(36) primary key, checksum varchar(64) not null, finished_at timestamptz,
             migration_name varchar(255) not null, logs text, rolled_back_at timestamptz,
             started_at timestamptz not null default now(), applied_steps_count integer not null default 0);
         insert into _prisma_migrations(id, checksum, finished_at, migration_name, rolled_back_at) values
             ('x', '', now(), '1_a', null), ('y', '', null, '2_b', now())",
    ),
];

#[tokio::test]
async fn histories_of_other_tools_are_counted_in_and_left_alone() {
    for (tool, tables) in TOOLS {
        let Some(db) = Database::new().await else { return };
        db.run(&format!("{}; create table a(x int)", tables.replace("sha384('create table a(x int);')", &digest())))
            .await;
        let before = db.texts("select tablename from pg_tables where schemaname = 'public' order by 1").await;
        let migrator = db.migrator(sql(&[("1_a", "create table a(x int);"), ("2_b", "create table b(x int);")]));
        let error = migrator.up().await.unwrap_err();
        assert!(matches!(error.refusals(), [Refusal::Foreign { .. }, ..]), "{tool}: {error}");
        let mut histories = migrator.foreign().await.unwrap();
        assert_eq!((histories.len(), &*histories[0].tool), (1, tool));
        assert_eq!(migrator.adopt(histories.remove(0)).await.unwrap(), 1, "{tool}");
        let report = migrator.up().await.unwrap();
        assert_eq!((report.ran.len(), report.already), (1, 1), "{tool}");
        let after = db.texts(r"select tablename from pg_tables where schemaname = 'public' and tablename not like '\_admmgt%' and tablename <> 'b' order by 1").await;
        assert_eq!(before, after, "{tool}");
    }
}

fn digest() -> String {
    let hash = admmgt_files::checksum::sha384("create table a(x int);".as_bytes()).unwrap();
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("'\\x{hash}'")
}

/// What a pending migration would create is there, and nothing is on record.
#[tokio::test]
async fn a_database_that_is_not_empty_is_not_run_over() {
    let Some(db) = Database::new().await else { return };
    db.run("create schema other; create table other.a(id int); create view v as select 1 as one; create extension if not exists plpgsql").await;
    let list = |text: &str| db.migrator(sql(&[("1", text)]));
    assert_eq!(list("create table a(id int); create table other.b(id int)").plan().await.unwrap().steps.len(), 1);
    for text in [
        "create table other.a(id int)",
        "create view public.v as select 2 as two",
        "CREATE TABLE Other.A(id int)",
        "create table \"v\"(id int)",
    ] {
        let error = list(text).up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(matches!(error.refusals(), [Refusal::AlreadyThere { .. }]), "{text}: {error}");
    }
    list("drop table other.a; create table other.a(id int, more int)").up().await.unwrap();
}
