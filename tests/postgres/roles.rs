//! What the role that migrates needs, and what the application's.

use std::time::Duration;

use admmgt::prelude::*;
use admmgt::{Error, ErrorKind};
use admmgt_tests::{Database, sql};

/// The grants that the README gives, with its names.
const GRANTS: &str = include_str!("../../admmgt-postgres/grants.sql");

struct Roles {
    db: Database,
    migrator: String,
    app: String,
}

impl Roles {
    /// A database with two roles that have no more than the documented grants.
    async fn new() -> Option<Self> {
        let db = Database::ours().await?;
        let roles = Self { migrator: format!("migrator_{}", db.name()), app: format!("app_{}", db.name()), db };
        roles.db.run("revoke all on schema public from public").await;
        let roles_sql = format!("create role {} login; create role {} login;", roles.migrator, roles.app);
        roles.db.run(&roles_sql).await;
        let grants = GRANTS.replace("shop_migrator", &roles.migrator).replace("shop_app", &roles.app);
        roles.db.run(&grants.replace("database shop", &format!("database {}", roles.db.name()))).await;
        Some(roles)
    }

    fn of(&self, role: &str, list: Migrations) -> Migrator {
        let driver = Postgres::connect(&self.db.url_as(role)).unwrap().history_schema("admmgt").unwrap();
        Migrator::new(driver).migrations(list)
    }

    async fn end(self) {
        let (migrator, app) = (&self.migrator, &self.app);
        self.db.run(&format!("drop owned by {migrator} cascade; drop role {migrator}")).await;
        self.db.run(&format!("drop owned by {app} cascade; drop role {app}")).await;
    }
}

fn set(count: usize) -> Migrations {
    let all = [("1", "create table a(id int)"), ("2", "create table b(id int)")];
    sql(&all[..count])
}

#[tokio::test]
async fn the_documented_grants_are_enough_and_the_application_only_reads() {
    let Some(roles) = Roles::new().await else { return };
    // Nobody has migrated yet.
    assert!(matches!(roles.of(&roles.app, set(1)).ensure_current().await, Err(Error::NotCurrent { .. })));
    assert_eq!(roles.of(&roles.app, set(1)).status().await.unwrap().migrations.len(), 1);

    assert_eq!(roles.of(&roles.migrator, set(1)).up().await.unwrap().ran.len(), 1);
    let app = roles.of(&roles.app, set(1));
    app.ensure_current().await.unwrap();
    assert_eq!(app.up().await.unwrap().ran.len(), 0);
    assert!(app.status().await.unwrap().is_current());
    app.verify().await.unwrap();
    assert_eq!(app.pending().await.unwrap().len(), 0);

    // It waits while another process migrates.
    let waiting = roles.of(&roles.app, set(2));
    let (waited, ran) = tokio::join!(waiting.wait_until_current(Duration::from_secs(20)), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        roles.of(&roles.migrator, set(2)).up().await
    });
    waited.unwrap();
    assert_eq!(ran.unwrap().ran.len(), 1);
    roles.end().await;
}

#[tokio::test]
async fn a_role_that_may_not_migrate_is_told_what_to_grant_and_leaves_nothing() {
    let Some(roles) = Roles::new().await else { return };
    let error = roles.of(&roles.app, set(1)).up().await.unwrap_err();
    assert!(matches!(error, Error::NotAllowed { .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("grant usage, create on schema"), "{error}");
    assert!(roles.db.texts("select 1 from pg_class where relname like '\\_admmgt%'").await.is_empty());
    // With a history that is somebody else's, too.
    roles.of(&roles.migrator, set(1)).up().await.unwrap();
    let error = roles.of(&roles.app, set(2)).up().await.unwrap_err();
    assert!(matches!(error, Error::NotAllowed { .. }), "{error:?}");
    assert_eq!(roles.db.leases().await, 0);
    assert_eq!(roles.db.tables().await, ["a"]);
    roles.end().await;
}

/// A body may lack a right: that is a failed migration like others.
#[tokio::test]
async fn a_body_that_lacks_a_right_fails() {
    let Some(roles) = Roles::new().await else { return };
    let list =
        sql(&[("1", "create table a(id int)"), ("2", "create extension plpython3u"), ("3", "create database other")]);
    let error = roles.of(&roles.migrator, list).up().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Failed), "{error}");
    assert_eq!(roles.db.leases().await, 0);
    roles.end().await;
}

/// Another tool's history that may not be read is no reason to take the database for a new one.
#[tokio::test]
async fn a_history_of_another_tool_that_may_not_be_read_is_told() {
    let Some(roles) = Roles::new().await else { return };
    roles.db.run("create table public.__diesel_schema_migrations(version text, run_on timestamp)").await;
    let migrator = roles.of(&roles.migrator, set(1));
    let error = migrator.foreign().await.unwrap_err();
    assert!(matches!(error, Error::NotAllowed { .. }), "{error:?}");
    // One that may be read is found beside it.
    let app = &roles.migrator;
    roles
        .db
        .run(&format!(
            "create table public.seaql_migrations(version text, applied_at bigint); \
             insert into public.seaql_migrations values ('1', 1); grant select on public.seaql_migrations to {app}"
        ))
        .await;
    let found = migrator.foreign().await.unwrap();
    assert_eq!(found.iter().map(|history| &*history.tool).collect::<Vec<_>>(), ["SeaORM"]);
    roles.end().await;
}

#[tokio::test]
async fn a_history_that_may_not_be_read_is_told() {
    let Some(roles) = Roles::new().await else { return };
    roles.of(&roles.migrator, set(1)).up().await.unwrap();
    roles.db.run(&format!("revoke select on all tables in schema admmgt from {}", roles.app)).await;
    for error in [
        roles.of(&roles.app, set(1)).ensure_current().await.unwrap_err(),
        roles.of(&roles.app, set(1)).up().await.map(drop).unwrap_err(),
        roles.of(&roles.app, set(1)).status().await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, Error::NotAllowed { .. }), "{error:?}");
    }
    roles.end().await;
}
