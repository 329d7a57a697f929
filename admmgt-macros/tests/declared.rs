//! What a migration says of itself, and that its body runs.

use admmgt::{Backend, BoxError, Context, Item, MemoryConnection, MemoryDriver, Meta, Migration, Migrations, Migrator};
use admmgt::{OnInterrupt, Origin, Probed, TransactionMode, migrations};
use admmgt_macros::{migration, sql_migration};

/// Users sign in
/// by e-mail.
///
/// The rest is for readers of the code.
#[migration(id = "0001_users")]
async fn users(cx: &mut Context) -> Result<(), BoxError> {
    cx.execute("users").await?;
    Ok(())
}
const USERS_LINE: u32 = line!() - 5;

/// Not this.
#[migration(
    crate = admmgt,
    description = "Plans",
    checksum = "manual:2",
    tags = ["seed", "slow"],
    transaction = "none",
    on_interrupt = "retry",
    down = billing::unplan,
    depends_on = [users, "0001_users_of_old", "accounts/0001_users"],
    namespace = "billing",
    id = "0001_plans",
)]
fn plans(db: &mut MemoryConnection) -> Result<(), String> {
    db.run("plans").map_err(|error| error.to_string())
}

mod billing {
    pub(crate) fn unplan(db: &mut super::MemoryConnection) -> admmgt::Result<()> {
        db.run("unplan")
    }
}

sql_migration!(
    id = "0002_views",
    namespace = "billing",
    up = "tests/sql/views.up.sql",
    down = "tests/sql/../sql/views.down.sql",
    backend = "memory",
    description = "Views",
    transaction = "required",
    tags = ["derived"],
    depends_on = [plans],
    name = pub(crate) views,
);

/// Everybody who pays.
#[migration(id = "0003_paying", repeatable = true, replaces = ["0003_paying_of_old", "accounts/0002_paying"], probe = look)]
fn paying(db: &mut MemoryConnection) -> Result<(), BoxError> {
    Ok(db.run("paying")?)
}

fn look(db: &mut MemoryConnection) -> Result<Probed, BoxError> {
    db.run("look")?;
    Ok(Probed::NotDone)
}

sql_migration!(id = "0004_seen", up = "tests/sql/views.up.sql", probe = look_async, name = seen);

async fn look_async(cx: &mut Context) -> Result<Probed, std::fmt::Error> {
    let _ = cx.migration();
    Ok(Probed::Done)
}

const ALL: &[&Item] = migrations![users, plans, views, paying, seen];

fn meta(item: usize) -> &'static Meta {
    ALL[item].meta()
}

#[test]
fn defaults_come_from_the_crate_and_the_function() {
    let meta = meta(0);
    assert_eq!(meta.id.to_string(), "admmgt-macros/0001_users");
    assert_eq!(meta.description, "Users sign in by e-mail.");
    assert!(meta.depends_on.is_empty() && meta.tags.is_empty() && !meta.reversible);
    assert_eq!((meta.origin, meta.transaction), (Origin::Code, TransactionMode::Auto));
    assert!(meta.location.file.ends_with("tests/declared.rs"), "{}", meta.location);
    assert_eq!(meta.location.line, USERS_LINE);
    assert_eq!(meta.backend, None);
}

/// The tokens rustc hands over give the checksum that was pinned with another tokenizer.
#[test]
fn the_fingerprint_of_a_compiled_function_is_pinned() {
    assert_eq!(meta(0).checksum.as_str(), "v1:sha256:25faadfa6a25083520d3f939d598708bf57b8619ca0e5289b81667f225341ba9");
}

#[test]
fn every_key_arrives() {
    let meta = meta(1);
    assert_eq!(meta.id.to_string(), "billing/0001_plans");
    assert_eq!(meta.description, "Plans");
    let depends_on: Vec<String> = meta.depends_on.iter().map(ToString::to_string).collect();
    assert_eq!(depends_on, ["admmgt-macros/0001_users", "billing/0001_users_of_old", "accounts/0001_users"]);
    assert_eq!(meta.checksum.as_str(), "manual:2");
    assert_eq!((meta.transaction, meta.on_interrupt), (TransactionMode::None, admmgt::OnInterrupt::Retry));
    assert_eq!(*meta.tags, ["seed", "slow"]);
    assert!(meta.reversible);
    assert_eq!(meta.backend, Some(Backend::new("memory")));
}

#[test]
fn a_sql_migration_embeds_its_files() {
    let meta = meta(2);
    assert_eq!(meta.id.to_string(), "billing/0002_views");
    assert_eq!(meta.location.to_string(), "tests/sql/views.up.sql:1");
    assert_eq!(meta.checksum, admmgt::Checksum::of_sql("create view v;\n"));
    assert_eq!((meta.origin, meta.transaction), (Origin::Sql, TransactionMode::Required));
    assert_eq!(meta.depends_on[0].to_string(), "billing/0001_plans");
    assert_eq!(meta.backend, Some(Backend::new("memory")));
    let up = ALL[2].sql(admmgt::Direction::Up).unwrap();
    assert_eq!((up.file(), up.text().unwrap()), ("tests/sql/views.up.sql", "create view v;\r\n"));
    let down = ALL[2].sql(admmgt::Direction::Down).unwrap();
    assert_eq!((down.file(), down.text().unwrap()), ("tests/sql/../sql/views.down.sql", "drop view v;\n"));
}

#[test]
fn the_listed_are_the_registered() {
    let mut listed: Vec<&Meta> = ALL.iter().map(|item| item.meta()).collect();
    let registered = Migrations::registered().filter(|meta| meta.id.namespace().as_str() != "run");
    let mut registered: Vec<&Meta> = registered.metas().collect();
    listed.sort_by_key(|meta| &meta.id);
    registered.sort_by_key(|meta| &meta.id);
    assert_eq!(listed, registered);
}

#[tokio::test]
async fn bodies_run_with_the_connection_they_ask_for() {
    #[migration(id = "0001_context", namespace = "run")]
    async fn context(cx: &mut Context) -> admmgt::Result<()> {
        cx.execute("context").await.map(drop)
    }
    #[migration(id = "0002_client", namespace = "run")]
    async fn client(db: &mut MemoryConnection) -> Result<(), std::io::Error> {
        db.run("client").map_err(std::io::Error::other)
    }
    #[migration(id = "0003_plain", namespace = "run")]
    fn plain(db: &mut MemoryConnection) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(db.run("plain")?)
    }

    let database = MemoryDriver::new();
    Migrator::new(database.clone()).migrations(migrations![context, client, plain]).up().await.unwrap();
    assert_eq!(database.journal(), ["context", "client", "plain"]);
}

#[test]
fn a_repeatable_one_and_what_it_replaces_are_declared() {
    let paying = meta(3);
    assert!(paying.repeatable && !meta(0).repeatable);
    let replaced: Vec<String> = paying.replaces.iter().map(ToString::to_string).collect();
    assert_eq!(replaced, [format!("{}/0003_paying_of_old", paying.id.namespace()), "accounts/0002_paying".to_owned()]);
    assert_eq!((paying.on_interrupt, meta(4).on_interrupt), (OnInterrupt::Probe, OnInterrupt::Probe));
}
