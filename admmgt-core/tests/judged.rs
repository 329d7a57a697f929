//! What the history says against a migration: all of that, and nothing else.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

use admmgt_core::*;

fn sql(id: &str) -> SqlMigration {
    SqlMigration::new("app", id, format!("do {id}")).unwrap()
}

fn id(name: &str) -> MigrationId {
    MigrationId::new("app", name).unwrap()
}

fn migrator(database: &MemoryDriver, migrations: Migrations) -> Migrator {
    Migrator::new(database.clone()).migrations(migrations)
}

async fn refusals(database: &MemoryDriver, migrations: Migrations) -> Vec<Refusal> {
    match migrator(database, migrations).plan().await {
        Ok(_) => Vec::new(),
        Err(Error::Refused { refusals }) => refusals,
        Err(other) => panic!("{other}"),
    }
}

/// A function that does nothing, with a checksum of its own.
struct Code(Meta);

impl Code {
    fn new(name: &str, checksum: &str) -> Self {
        Self(Meta::new(id(name), Checksum::parse(checksum).unwrap()))
    }
}

#[async_trait]
impl Migration for Code {
    fn meta(&self) -> &Meta {
        &self.0
    }

    async fn up(&self, _: &mut Context) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::test]
async fn edited_code_is_code_before_and_after() {
    let in_sql = || Migrations::new([sql("1")]);
    let in_code = |checksum| Migrations::default().and(Code::new("1", checksum));
    for (before, after) in [(in_sql(), in_code("manual:1")), (in_code("manual:1"), in_sql())] {
        let database = MemoryDriver::new();
        migrator(&database, before).up().await.unwrap();
        let refused = refusals(&database, after).await;
        assert!(matches!(&refused[..], [Refusal::Edited { .. }]), "{refused:?}");
    }
    let database = MemoryDriver::new();
    migrator(&database, in_code("manual:1")).up().await.unwrap();
    assert!(refusals(&database, in_code("manual:2")).await.is_empty());
}

#[tokio::test]
async fn a_name_changed_only_where_the_checksum_says_what_was_done() {
    let by_hand = |name| {
        Migrations::new([sql(name).with(|mut meta| {
            meta.checksum = Checksum::parse("manual:1").unwrap();
            meta
        })])
    };
    let code = |name| Migrations::default().and(Code::new(name, &format!("v1:sha256:{}", "0".repeat(64))));
    for (before, after) in [(by_hand("1"), by_hand("2")), (code("1"), code("2"))] {
        let database = MemoryDriver::new();
        migrator(&database, before).up().await.unwrap();
        assert!(refusals(&database, after).await.is_empty());
    }
    let database = MemoryDriver::new();
    migrator(&database, Migrations::new([sql("1")])).up().await.unwrap();
    let renamed = SqlMigration::new("app", "2", "do 1".to_owned()).unwrap();
    let refused = refusals(&database, Migrations::new([renamed])).await;
    assert!(matches!(&refused[..], [Refusal::Renamed { from, .. }] if *from == id("1")), "{refused:?}");
}

#[tokio::test]
async fn a_dependency_is_pending_where_neither_it_nor_what_replaces_it_is_there() {
    let set = || {
        let squashed = sql("2_all").with(|meta| meta.replaces([id("2")]));
        Migrations::new([squashed, sql("3").with(|meta| meta.depends_on([id("2")]))])
    };
    let database = MemoryDriver::new();
    migrator(&database, set()).up().await.unwrap();
    assert!(refusals(&database, set()).await.is_empty());

    // What was applied names something new: that is pending, until it was begun and left.
    let database = MemoryDriver::without_transactions();
    migrator(&database, Migrations::new([sql("1")])).up().await.unwrap();
    let broken = || SqlMigration::new("app", "2", "two\nfail".to_owned()).unwrap();
    let set = || Migrations::new([sql("1").with(|meta| meta.depends_on([id("2")])), broken()]);
    let refused = refusals(&database, set()).await;
    assert!(matches!(&refused[..], [Refusal::DependencyPending { .. }]), "{refused:?}");
    let alone = Migrations::new([sql("1"), broken()]);
    assert_eq!(migrator(&database, alone).up().await.unwrap_err().kind(), ErrorKind::Interrupted);
    let refused = refusals(&database, set()).await;
    assert!(matches!(&refused[..], [Refusal::Interrupted { .. }]), "{refused:?}");
}

#[tokio::test]
async fn a_target_is_of_its_own_namespace() {
    let view = |namespace| SqlMigration::new(namespace, "view", "view".to_owned()).unwrap().with(Meta::repeatable);
    let database = MemoryDriver::new();
    let all = Migrations::new([sql("1"), sql("2"), view("other"), view("app")]);
    let report = migrator(&database, all).target(Target::To(id("2"))).up().await.unwrap();
    let ran: Vec<String> = report.ran.iter().map(|ran| ran.migration.to_string()).collect();
    assert_eq!(ran, ["app/1", "app/2", "app/view"]);
}

#[tokio::test]
async fn what_was_interrupted_one_way_does_not_go_on_the_other_way() {
    let retried = |up: &str, down: &str| {
        let both = SqlMigration::new("app", "1", up.to_owned()).unwrap().down(down.to_owned());
        Migrations::new([both.with(|meta| meta.on_interrupt(OnInterrupt::Retry))])
    };
    let database = MemoryDriver::without_transactions();
    let broken = retried("one\nfail", "not one");
    assert_eq!(migrator(&database, broken.clone()).up().await.unwrap_err().kind(), ErrorKind::Interrupted);
    let error = migrator(&database, broken).target(Target::Back(1)).plan().await.unwrap_err();
    assert!(matches!(error.refusals(), [Refusal::Interrupted { direction: Direction::Up, .. }]), "{error}");

    let database = MemoryDriver::without_transactions();
    let broken = retried("one", "not one\nfail");
    migrator(&database, broken.clone()).up().await.unwrap();
    assert_eq!(
        migrator(&database, broken.clone()).down(Target::Back(1)).await.unwrap_err().kind(),
        ErrorKind::Interrupted
    );
    let refused = refusals(&database, broken).await;
    assert!(matches!(&refused[..], [Refusal::Interrupted { direction: Direction::Down, .. }]), "{refused:?}");
}
