//! A streaming standby: it can be looked at, and takes over in the middle.

use std::time::Duration;

use admmgt::prelude::*;
use admmgt::{Error, Event};
use admmgt_tests::{Cluster, Database, sql};

fn set(count: usize) -> Migrations {
    let one =
        |number| SqlMigration::new("app", format!("{number:03}"), format!("create table t{number}(id int)")).unwrap();
    (1..=count).fold(Migrations::default(), |all, number| all.and(one(number)))
}

async fn pair() -> Option<(Cluster, Cluster)> {
    Database::ours().await?;
    let primary = Cluster::start()?;
    let standby = primary.standby();
    Some((primary, standby))
}

fn on(cluster: &Cluster, list: Migrations) -> Migrator {
    Migrator::new(Postgres::connect(&cluster.url("postgres")).unwrap()).migrations(list)
}

/// Waits until the standby has what the primary had.
async fn caught_up(standby: &Cluster, count: usize) {
    on(standby, set(count)).wait_until_current(Duration::from_secs(30)).await.unwrap();
}

/// A run that has come through forty of its migrations.
async fn in_the_middle(migrator: Migrator) -> tokio::task::JoinHandle<admmgt::Result<Report>> {
    let (send, mut done) = tokio::sync::mpsc::unbounded_channel();
    let migrator = migrator.observe(move |event: &Event| {
        if matches!(event, Event::MigrationDone { .. }) {
            let _ = send.send(());
        }
    });
    let run = tokio::spawn(async move { migrator.up().await });
    for _ in 0..40 {
        done.recv().await;
    }
    run
}

#[tokio::test]
async fn a_standby_can_be_looked_at_and_refuses_to_be_migrated() {
    let Some((primary, standby)) = pair().await else { return };
    on(&primary, set(2)).up().await.unwrap();
    caught_up(&standby, 2).await;
    assert_eq!(on(&standby, set(2)).up().await.unwrap().ran.len(), 0);
    assert!(on(&standby, set(2)).status().await.unwrap().is_current());
    on(&standby, set(2)).verify().await.unwrap();
    assert_eq!(on(&standby, set(3)).pending().await.unwrap().len(), 1);
    let error = on(&standby, set(3)).up().await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }) && error.to_string().contains("standby"), "{error:?}");
    let error = on(&standby, set(3)).resolve("app/003", admmgt::Resolution::Applied, "no").await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. } | Error::Usage { .. }), "{error:?}");
}

/// The primary dies in the middle of a run and the standby is promoted. The application is told the address of the new
/// primary, as a name in DNS or a list of hosts would; its next start goes on behind what had arrived there.
#[tokio::test]
async fn a_promotion_in_the_middle_converges() {
    let Some((mut primary, standby)) = pair().await else { return };
    let mut policy = Policy::default();
    policy.reconnect_wait = Duration::from_millis(300);
    let run = in_the_middle(on(&primary, set(400)).policy(policy)).await;
    primary.stop_immediately();
    let error = run.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), admmgt::ErrorKind::Unavailable, "{error}");
    standby.promote();
    let report = on(&standby, set(400)).up().await.unwrap();
    assert!(report.already >= 1 && report.already + report.ran.len() == 400, "{report:?}");
    let db = Database::at(&standby.url("postgres"));
    assert_eq!(
        db.number("select count(*) from pg_tables where tablename like 't%' and schemaname = 'public'").await,
        400
    );
    assert_eq!(db.number("select count(*) from _admmgt_history where kind = 'applied'").await, 400);
    on(&standby, set(400)).verify().await.unwrap();
    assert_eq!(db.leases().await, 0);
}

/// The same address serves the standby after the promotion: the run itself goes on.
#[tokio::test]
async fn a_run_goes_on_at_the_same_address_after_a_promotion() {
    let Some((mut primary, mut standby)) = pair().await else { return };
    let run = in_the_middle(on(&primary, set(400))).await;
    primary.stop_immediately();
    standby.promote();
    standby.move_to(primary.port());
    let report = run.await.unwrap().unwrap();
    // What had not arrived at the standby is gone with the primary, and ran a second time.
    let ran: std::collections::BTreeSet<_> = report.ran.iter().map(|ran| ran.migration.clone()).collect();
    assert_eq!(report.already + ran.len(), 400, "{report}");
    let db = Database::at(&standby.url("postgres"));
    assert_eq!(db.number("select count(*) from _admmgt_history where kind = 'applied'").await, 400);
}

#[tokio::test]
async fn an_empty_standby_is_no_reason_to_migrate_it() {
    let Some((_primary, standby)) = pair().await else { return };
    let error = on(&standby, sql(&[("1", "create table a(id int)")])).up().await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
}
