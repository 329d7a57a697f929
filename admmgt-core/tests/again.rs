//! Migrations that run again, stand for others, or know how to look: on the driver that is a list of lines.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

use std::time::Duration;

use admmgt_core::*;

fn sql(id: &str, text: &str) -> SqlMigration {
    SqlMigration::new("app", id, text.to_owned()).unwrap()
}

fn view(id: &str, text: &str) -> SqlMigration {
    sql(id, text).with(Meta::repeatable)
}

fn id(name: &str) -> MigrationId {
    MigrationId::new("app", name).unwrap()
}

fn migrator(database: &MemoryDriver, migrations: impl IntoIterator<Item = SqlMigration>) -> Migrator {
    let mut policy = Policy::default();
    policy.lease_wait = Duration::from_millis(50);
    policy.lease_poll_min = Duration::from_millis(1);
    Migrator::new(database.clone()).migrations(Migrations::new(migrations)).policy(policy)
}

fn kinds(database: &MemoryDriver) -> String {
    let records = database.history().records;
    let words: Vec<String> =
        records.iter().map(|record| format!("{} {}", record.migration.id(), record.kind)).collect();
    words.join(", ")
}

/// A migration that says how it is taken back.
fn both(id: &str) -> SqlMigration {
    sql(id, &format!("do {id}")).down(format!("undo {id}"))
}

fn names(report: &Report) -> Vec<&str> {
    report.ran.iter().map(|ran| ran.migration.id()).collect()
}

async fn ran(migrator: &Migrator) -> Vec<String> {
    names(&migrator.up().await.unwrap()).into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_repeatable_one_comes_last_and_again_when_it_changes() {
    let database = MemoryDriver::new();
    let first = migrator(&database, [view("a_view", "view 1"), sql("1", "one")]);
    assert_eq!(ran(&first).await, ["1", "a_view"]);
    assert!(ran(&first).await.is_empty());

    let second = migrator(&database, [view("a_view", "view 2"), sql("1", "one"), sql("2", "two")]);
    assert_eq!(second.pending().await.unwrap(), [id("2"), id("a_view")]);
    assert!(second.ensure_current().await.is_err());
    assert!(second.status().await.unwrap().to_string().contains("has changed, runs again"));
    assert_eq!(ran(&second).await, ["2", "a_view"]);
    assert_eq!(database.journal(), ["one", "view 1", "two", "view 2"]);
    second.ensure_current().await.unwrap();
    second.verify().await.unwrap();
    assert!(ran(&second).await.is_empty());
}

#[tokio::test]
async fn an_older_program_does_not_put_its_own_form_back() {
    let database = MemoryDriver::new();
    let older = migrator(&database, [sql("1", "one"), view("v", "view 1")]);
    older.up().await.unwrap();
    migrator(&database, [sql("1", "one"), sql("2", "two"), view("v", "view 2")]).up().await.unwrap();

    let report = older.up().await.unwrap();
    assert_eq!((report.ran.len(), report.ahead), (0, vec![id("2")]));
    older.ensure_current().await.unwrap();
    assert!(older.status().await.unwrap().to_string().contains("another form is applied; this program is behind"));
    let mut policy = Policy::default();
    policy.ahead = Verdict::Refuse;
    assert_eq!(older.clone().policy(policy).up().await.unwrap_err().kind(), ErrorKind::Refused);

    // Who means it says so.
    assert_eq!(ran(&older.target(Target::To(id("v")))).await, ["v"]);
    assert_eq!(database.journal(), ["one", "view 1", "two", "view 2", "view 1"]);
}

#[tokio::test]
async fn an_edit_that_was_taken_back_runs_too() {
    let database = MemoryDriver::new();
    for form in ["view 1", "view 2", "view 1", "view 3", "view 2", "view 3"] {
        assert_eq!(ran(&migrator(&database, [view("v", form)])).await, ["v"], "{form}");
    }
    assert_eq!(database.journal(), ["view 1", "view 2", "view 1", "view 3", "view 2", "view 3"]);
}

#[tokio::test]
async fn taking_a_repeatable_one_back_puts_back_what_was_there() {
    let database = MemoryDriver::new();
    for form in ["view 1", "view 2", "view 3"] {
        migrator(&database, [view("v", form)]).up().await.unwrap();
    }
    let newest = migrator(&database, [view("v", "view 3")]);
    let plan = newest.clone().target(Target::Back(1)).plan().await.unwrap();
    assert!(plan.to_string().contains("is put back"), "{plan}");
    newest.down(Target::Back(1)).await.unwrap();
    newest.down(Target::Back(1)).await.unwrap();
    assert_eq!(database.journal()[3..], ["view 2", "view 1"]);
    assert_eq!(kinds(&database), "v applied, v applied, v applied, v applied, v applied");
    migrator(&database, [view("v", "view 1")]).ensure_current().await.unwrap();

    // Nothing is behind the first form, and it does not stand in the way of anything.
    assert_eq!(newest.down(Target::Back(1)).await.unwrap().ran.len(), 0);
    assert_eq!(ran(&newest).await, ["v"]);
    newest.verify().await.unwrap();
}

#[tokio::test]
async fn an_interrupted_repeatable_one_goes_on() {
    let database = MemoryDriver::without_transactions();
    let form = |text: &str| migrator(&database, [view("v", text).with(|meta| meta.on_interrupt(OnInterrupt::Retry))]);
    form("view\nfail").up().await.unwrap_err();
    assert_eq!(ran(&form("view\nindex")).await, ["v"]);
    assert_eq!(database.journal(), ["view", "index"]);
}

/// What was being put back is its earlier form, of which nothing tells how far it came.
#[tokio::test]
async fn an_interrupted_way_back_of_a_repeatable_one_is_for_a_person() {
    let database = MemoryDriver::without_transactions();
    let form = |text: &str| view("v", text).with(|meta| meta.on_interrupt(OnInterrupt::Retry));
    migrator(&database, [form("view 1\ncreate index")]).up().await.unwrap();
    let second = migrator(&database, [form("view 2")]);
    second.up().await.unwrap();
    for _ in 0..2 {
        let error = second.down(Target::Back(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    }
    assert_eq!(database.journal(), ["view 1", "create index", "view 2", "view 1"]);
}

#[tokio::test]
async fn a_target_takes_what_lies_within_it() {
    let database = MemoryDriver::new();
    let of_one = view("of_one", "view of one").with(|meta| meta.depends_on([id("1")]));
    let all = || [sql("1", "one"), sql("2", "two"), view("of_all", "view of all"), of_one.clone()];
    assert_eq!(ran(&migrator(&database, all()).target(Target::To(id("1")))).await, ["1", "of_one"]);
    assert_eq!(ran(&migrator(&database, all()).target(Target::Next(1))).await, ["2"]);
    assert_eq!(ran(&migrator(&database, all()).target(Target::To(id("2")))).await, ["of_all"]);
}

#[tokio::test]
async fn going_back_puts_repeatable_ones_to_what_they_were_then() {
    let database = MemoryDriver::new();
    let one = || sql("1", "one").down("not one");
    let two = || sql("2", "two").down("not two");
    migrator(&database, [one(), view("v", "view 1")]).up().await.unwrap();
    let now = migrator(&database, [one(), two(), view("v", "view 2"), view("w", "other view")]);
    now.up().await.unwrap();
    now.down(Target::BackTo(id("1"))).await.unwrap();
    assert_eq!(database.journal()[5..], ["view 1", "not two"]);
    assert_eq!(ran(&now).await, ["2", "v"]);

    // Everything goes but what has no way back and names nothing that it needs.
    let plan = now.clone().target(Target::Nothing).plan().await.unwrap();
    assert_eq!(plan.migrations(), [id("2"), id("1")]);
    assert_eq!(plan.staying, [id("v"), id("w")]);

    let needs_two = view("w", "other view").with(|meta| meta.depends_on([id("2")]));
    let named = migrator(&database, [one(), two(), view("v", "view 2"), needs_two.clone()]);
    let error = named.down(Target::BackTo(id("1"))).await.unwrap_err();
    assert!(error.to_string().contains("`app/w` has no way back"), "{error}");
    let named = migrator(&database, [one(), two(), view("v", "view 2"), needs_two.down("no other view")]);
    named.down(Target::BackTo(id("1"))).await.unwrap();
    assert_eq!(database.journal().last().unwrap(), "not two");
    assert!(database.journal().contains(&"no other view".to_owned()));
}

#[tokio::test]
async fn step_by_step_back_is_in_the_order_of_what_ran() {
    let database = MemoryDriver::new();
    let one = || sql("1", "one").down("not one");
    let two = || sql("2", "two").down("not two");
    migrator(&database, [one(), view("v", "view 1")]).up().await.unwrap();
    let now = migrator(&database, [one(), two(), view("v", "view 2")]);
    now.up().await.unwrap();
    for _ in 0..4 {
        now.down(Target::Back(1)).await.unwrap();
    }
    assert_eq!(database.journal()[4..], ["view 1", "not two", "not one"]);
    now.up().await.unwrap();
    now.redo().await.unwrap();
    assert_eq!(database.journal()[7..], ["one", "two", "view 2", "not two", "two"]);
}

#[tokio::test]
async fn going_back_finds_the_form_of_then_whatever_came_between() {
    let database = MemoryDriver::new();
    let versioned = |count: usize| {
        let one = |at: usize| sql(&at.to_string(), "step").down("step back");
        (1..=count).map(one).collect::<Vec<_>>()
    };
    let with = |count: usize, form: &str| [versioned(count), vec![view("v", form)]].concat();
    for (count, form) in [(1, "view 1"), (2, "view 2"), (3, "view 3")] {
        migrator(&database, with(count, form)).up().await.unwrap();
    }
    migrator(&database, with(3, "view 3")).down(Target::BackTo(id("1"))).await.unwrap();
    assert_eq!(database.journal()[6..], ["view 1", "step back", "step back"]);
    // The release in between moves forwards from there.
    assert_eq!(ran(&migrator(&database, with(2, "view 2"))).await, ["2", "v"]);

    // A form that came later than what leaves goes with it, if it has a way.
    let fresh = MemoryDriver::new();
    migrator(&fresh, versioned(1)).up().await.unwrap();
    let late = || view("w", "late view").down("no late view");
    let now = migrator(&fresh, [versioned(2), vec![late()]].concat());
    now.up().await.unwrap();
    now.down(Target::BackTo(id("1"))).await.unwrap();
    assert_eq!(fresh.journal()[3..], ["no late view", "step back"]);
}

#[tokio::test]
async fn a_form_that_was_not_kept_is_not_guessed() {
    let database = MemoryDriver::new();
    let one = || sql("1", "one").down("not one");
    let two = || sql("2", "two").down("not two");
    migrator(&database, [one(), view("v", "view 1")]).up().await.unwrap();
    migrator(&database, [one(), view("v", "view 2")]).baseline(None, "made by hand").await.unwrap();
    let now = migrator(&database, [one(), two(), view("v", "view 3")]);
    now.up().await.unwrap();
    let error = now.down(Target::BackTo(id("1"))).await.unwrap_err();
    assert!(error.to_string().contains("`app/v` has no way back"), "{error}");
}

#[tokio::test]
async fn an_accepted_edit_is_not_put_back_as_what_it_was() {
    let database = MemoryDriver::new();
    migrator(&database, [view("v", "view 1")]).up().await.unwrap();
    migrator(&database, [view("v", "-- better\nview 1")]).repair(Repair::Checksum(id("v")), "a comment").await.unwrap();
    let now = migrator(&database, [view("v", "view 2")]);
    now.up().await.unwrap();
    assert_eq!(now.down(Target::Back(1)).await.unwrap().ran.len(), 0);
    now.verify().await.unwrap();
}

#[tokio::test]
async fn repeatable_ones_in_a_group() {
    let database = MemoryDriver::new();
    let mut policy = Policy::default();
    policy.group = true;
    let grouped =
        |form: &str| migrator(&database, [sql("1", "one").down("not one"), view("v", form)]).policy(policy.clone());
    grouped("view 1").up().await.unwrap();
    grouped("view 2").up().await.unwrap();
    grouped("view 2").down(Target::Back(1)).await.unwrap();
    grouped("view 1").ensure_current().await.unwrap();
    assert_eq!(database.journal(), ["one", "view 1", "view 2", "view 1"]);
    grouped("view 1").verify().await.unwrap();
}

#[tokio::test]
async fn a_new_form_that_was_interrupted_and_is_not_there_leaves_the_one_before() {
    let database = MemoryDriver::without_transactions();
    migrator(&database, [view("v", "view 1")]).up().await.unwrap();
    let broken = migrator(&database, [view("v", "view 2\nfail")]);
    assert_eq!(broken.up().await.unwrap_err().kind(), ErrorKind::Interrupted);
    broken.resolve("app/v", Resolution::Pending, "put back by hand").await.unwrap();
    migrator(&database, [view("v", "view 1")]).ensure_current().await.unwrap();
    assert_eq!(ran(&migrator(&database, [view("v", "view 3")])).await, ["v"]);
}

#[tokio::test]
async fn a_squashed_set_runs_where_nothing_is_and_is_counted_in_where_all_is() {
    let three = || sql("3", "three").with(|meta| meta.depends_on([id("2")]));
    let old = || [sql("1", "one"), sql("2", "two").with(|meta| meta.depends_on([id("1")])), three()];
    let squashed = || sql("2_all", "one\ntwo").with(|meta| meta.replaces([id("1"), id("2")]));
    // It depends on what is not there any more.
    let new = || [squashed(), three(), sql("4", "four").with(|meta| meta.depends_on([id("2")]))];

    let fresh = MemoryDriver::new();
    assert_eq!(ran(&migrator(&fresh, new())).await, ["2_all", "3", "4"]);
    assert_eq!(fresh.journal(), ["one", "two", "three", "four"]);

    let database = MemoryDriver::new();
    let older = migrator(&database, old());
    older.up().await.unwrap();
    let newer = migrator(&database, new());
    let plan = newer.plan().await.unwrap();
    assert!(plan.to_string().contains("app/2_all (counted in, for 2 migrations that are applied)"), "{plan}");
    assert_eq!(ran(&newer).await, ["2_all", "4"]);
    assert_eq!(database.journal(), ["one", "two", "three", "four"]);
    assert_eq!(kinds(&database), "1 applied, 2 applied, 3 applied, 1 replaced, 2 replaced, 2_all baseline, 4 applied");
    newer.ensure_current().await.unwrap();
    newer.verify().await.unwrap();
    assert_eq!(newer.status().await.unwrap().ahead, []);

    // The older program runs beside it and does not begin again.
    let report = older.up().await.unwrap();
    assert_eq!((report.ran.len(), report.ahead), (0, vec![id("2_all"), id("4")]));
    older.ensure_current().await.unwrap();
}

#[tokio::test]
async fn a_squashed_set_that_was_taken_back_runs_again() {
    let database = MemoryDriver::new();
    let old = || [sql("1", "one").down("not one"), sql("2", "two").down("not two")];
    let squashed = || sql("2_all", "one\ntwo").down("not one\nnot two").with(|meta| meta.replaces([id("1"), id("2")]));
    migrator(&database, old()).up().await.unwrap();
    let newer = migrator(&database, [squashed()]);
    newer.up().await.unwrap();
    newer.down(Target::Nothing).await.unwrap();
    assert_eq!(migrator(&database, old()).pending().await.unwrap(), [id("1"), id("2")]);
    assert_eq!(ran(&newer).await, ["2_all"]);
    assert_eq!(database.journal(), ["one", "two", "not one", "not two", "one", "two"]);
    newer.ensure_current().await.unwrap();
}

#[tokio::test]
async fn a_baseline_counts_a_squashed_set_in_as_a_run_does() {
    let database = MemoryDriver::new();
    migrator(&database, [sql("1", "one")]).up().await.unwrap();
    let newer = migrator(&database, [sql("1_all", "one").with(|meta| meta.replaces([id("1")]))]);
    newer.baseline(None, "squashed").await.unwrap();
    assert_eq!(kinds(&database), "1 applied, 1 replaced, 1_all baseline");
    let report = newer.up().await.unwrap();
    assert_eq!((report.ran.len(), report.ahead), (0, vec![]));
}

#[tokio::test]
async fn a_squash_of_what_was_never_seen_here_does_not_run_over_something_else() {
    let database = MemoryDriver::new();
    migrator(&database, [sql("1", "one")]).up().await.unwrap();
    let twice = sql("3_all", "one").with(|meta| meta.replaces([id("2_all")]));
    let error = migrator(&database, [twice]).up().await.unwrap_err().to_string();
    assert!(error.contains("`app/3_all` does not name all that it may stand for; applied is `app/1`"), "{error}");
}

#[tokio::test]
async fn half_of_what_is_replaced_is_refused() {
    let database = MemoryDriver::new();
    migrator(&database, [sql("1", "one")]).up().await.unwrap();
    let squashed = || sql("2_all", "one\ntwo").with(|meta| meta.replaces([id("1"), id("2")]));
    let error = migrator(&database, [squashed()]).up().await.unwrap_err().to_string();
    assert!(error.contains("of which `app/1` is applied and `app/2` is not"), "{error}");
    let error = migrator(&database, [squashed(), sql("1", "one")]).up().await.unwrap_err().to_string();
    assert!(error.contains("`app/2_all` replaces `app/1`, which is still registered"), "{error}");
    let other = sql("3_all", "two").with(|meta| meta.replaces([id("2")]));
    let error = migrator(&database, [squashed(), other]).up().await.unwrap_err().to_string();
    assert!(error.contains("`app/2` is replaced twice, by"), "{error}");
}

#[tokio::test]
async fn all_or_nothing_counts_in_too() {
    let database = MemoryDriver::new();
    migrator(&database, [sql("1", "one")]).up().await.unwrap();
    let squashed = sql("1_all", "one").with(|meta| meta.replaces([id("1")]));
    let mut policy = Policy::default();
    policy.group = true;
    let grouped = migrator(&database, [squashed, sql("2", "two")]).policy(policy);
    assert_eq!(ran(&grouped).await, ["1_all", "2"]);
    assert_eq!(database.journal(), ["one", "two"]);
    grouped.ensure_current().await.unwrap();
}

/// Interrupted behind its first statement; `mended` is what is registered afterwards.
async fn interrupted(probe: ProbeBody) -> (MemoryDriver, Migrator) {
    let database = MemoryDriver::without_transactions();
    let broken = sql("1", "one\nfail").probe(probe);
    assert_eq!(migrator(&database, [broken]).up().await.unwrap_err().kind(), ErrorKind::Interrupted);
    let mended = migrator(&database, [sql("1", "one\ntwo").probe(probe)]);
    (database, mended)
}

#[tokio::test]
async fn a_probe_that_finds_everything_counts_it_as_applied() {
    let (database, mended) = interrupted(|_| Box::pin(async { Ok(Probed::Done) })).await;
    // An edit since it was started does not pass unseen.
    assert_eq!(mended.up().await.unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(kinds(&database), "1 started, 1 step_done, 1 failed, 1 resolved");
    assert!(ran(&migrator(&database, [sql("1", "one\nfail")])).await.is_empty());
}

#[tokio::test]
async fn a_probe_that_finds_nothing_lets_it_go_on() {
    let (database, mended) = interrupted(|_| Box::pin(async { Ok(Probed::NotDone) })).await;
    assert_eq!(ran(&mended).await, ["1"]);
    assert_eq!(database.journal(), ["one", "two"]);
}

#[tokio::test]
async fn a_probe_may_count_what_has_ended_beyond_what_is_known() {
    let (database, mended) = interrupted(|_| Box::pin(async { Ok(Probed::Statements(2)) })).await;
    assert_eq!(ran(&mended).await, ["1"]);
    assert_eq!(database.journal(), ["one"]);
    assert_eq!(kinds(&database), "1 started, 1 step_done, 1 failed, 1 step_done, 1 applied");
    let (_, mended) = interrupted(|_| Box::pin(async { Ok(Probed::Statements(3)) })).await;
    assert_eq!(mended.up().await.unwrap_err().kind(), ErrorKind::Interrupted);
}

#[tokio::test]
async fn what_a_probe_cannot_tell_waits_for_a_person() {
    for probe in [
        (|_| Box::pin(async { Ok(Probed::Unknown) })) as ProbeBody,
        |_| Box::pin(async { Err("no idea".into()) }),
        |_| Box::pin(async { panic!("at the disco") }),
    ] {
        let (database, mended) = interrupted(probe).await;
        let error = mended.up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
        assert!(error.to_string().contains("Its probe looks how far it came"), "{error}");
        assert_eq!(database.journal(), ["one"]);
        mended.resolve("app/1", Resolution::Pending, "looked").await.unwrap();
        assert_eq!(ran(&mended).await, ["1"]);
    }
}

/// What each `down` runs, newest first, after a list of releases was rolled out one after the other.
async fn released(releases: &[&[SqlMigration]]) -> (MemoryDriver, Migrator) {
    let database = MemoryDriver::new();
    let mut last = None;
    for release in releases {
        let migrator = migrator(&database, release.to_vec());
        migrator.up().await.unwrap();
        last = Some(migrator);
    }
    (database, last.unwrap())
}

#[tokio::test]
async fn a_file_that_was_deleted_does_not_hold_the_others_back() {
    let one = || sql("1", "one");
    let (database, now) = released(&[
        &[one(), view("v", "view 1"), view("w", "other view")],
        &[one(), sql("2", "undo other view"), view("v", "view 2")],
    ])
    .await;
    assert_eq!(database.journal()[3..], ["undo other view", "view 2"]);
    let changed = migrator(&database, [one(), sql("2", "undo other view"), view("v", "view 3")]);
    assert_eq!(ran(&changed).await, ["v"]);
    assert!(ran(&now).await.contains(&"v".to_owned()));
}

#[tokio::test]
async fn what_was_renamed_or_counted_in_keeps_its_place() {
    let one = || sql("1", "one").down("not one");
    let two = |name: &str| sql(name, "two").down("not two");
    let (database, now) =
        released(&[&[one(), two("2"), view("v", "view")], &[one(), two("2"), view("v", "view 2")]]).await;
    drop(now);
    let renamed = migrator(&database, [one(), two("2_new"), view("v_new", "view 2")]);
    renamed.repair(Repair::Rename { from: id("2"), to: id("2_new") }, "better").await.unwrap();
    renamed.repair(Repair::Rename { from: id("v"), to: id("v_new") }, "better").await.unwrap();
    renamed.ensure_current().await.unwrap();
    renamed.down(Target::Back(1)).await.unwrap();
    assert_eq!(database.journal().last().unwrap(), "view");
    renamed.down(Target::Back(1)).await.unwrap();
    assert_eq!(database.journal().last().unwrap(), "not two");

    let both = || sql("2_all", "two\nthree").down("not both").with(|meta| meta.replaces([id("2"), id("3")]));
    let three = || sql("3", "three").down("not three");
    let (database, now) = released(&[&[one(), two("2"), three()], &[one(), both()]]).await;
    now.down(Target::Back(1)).await.unwrap();
    assert_eq!(database.journal().last().unwrap(), "not both");
    // The release before runs them again.
    assert_eq!(ran(&migrator(&database, [one(), two("2"), three()])).await, ["2", "3"]);
}

#[tokio::test]
async fn redo_leaves_everything_in_its_place() {
    let one = || sql("1", "one").down("not one");
    let two = || sql("2", "two").down("not two");
    let (database, now) = released(&[&[one(), view("v", "view 1")], &[one(), two(), view("v", "view 2")]]).await;
    now.redo().await.unwrap();
    now.down(Target::BackTo(id("1"))).await.unwrap();
    assert_eq!(database.journal()[6..], ["view 1", "not two"]);
}

#[tokio::test]
async fn several_steps_back_put_a_form_back_that_fits_what_is_left() {
    let one = || sql("1", "one").down("not one");
    let two = || sql("2", "two").down("not two");
    let (database, now) = released(&[
        &[one(), view("v", "view 1")],
        &[one(), two(), view("v", "view 2")],
        &[one(), two(), view("v", "view 3")],
    ])
    .await;
    now.down(Target::Back(2)).await.unwrap();
    assert_eq!(database.journal()[5..], ["view 1", "not two"]);
}

#[tokio::test]
async fn of_forms_that_are_alike_the_right_one_is_put_back() {
    let one = || sql("1", "one").down("not one");
    let two = || sql("2", "two").down("not two");
    let (database, now) = released(&[
        &[one(), view("v", "view 1")],
        &[one(), two(), view("v", "view 2")],
        &[one(), two(), view("v", "view 1")],
        &[one(), two(), view("v", "view 3")],
    ])
    .await;
    now.down(Target::BackTo(id("1"))).await.unwrap();
    assert_eq!(database.journal()[6..], ["view 1", "not two"]);
    now.down(Target::Back(1)).await.unwrap();
    assert_eq!(database.journal()[8..], ["not one"]);
}

#[tokio::test]
async fn a_squash_of_a_squash_goes_back_as_a_whole() {
    let one = || sql("1", "one").down("not one");
    let two = || sql("2", "two").down("not two");
    let first = || sql("2_all", "one\ntwo").down("not first").with(|meta| meta.replaces([id("1"), id("2")]));
    let second = || sql("3_all", "one\ntwo").down("not second").with(|meta| meta.replaces([id("2_all")]));
    let (database, now) = released(&[&[one(), two()], &[first()], &[second()]]).await;
    now.ensure_current().await.unwrap();
    now.down(Target::Nothing).await.unwrap();
    assert_eq!(database.journal()[2..], ["not second"]);
    for release in [vec![one(), two()], vec![first()]] {
        let open = release.len();
        assert_eq!(migrator(&database, release).pending().await.unwrap().len(), open);
    }

    let (database, _) = released(&[&[one(), two()], &[first()]]).await;
    let forgets = sql("3_all", "one\ntwo").with(|meta| meta.replaces([id("1"), id("2")]));
    let error = migrator(&database, [forgets]).up().await.unwrap_err().to_string();
    assert!(error.contains("`app/3_all` does not name all that it may stand for; applied is `app/2_all`"), "{error}");
}

#[tokio::test]
async fn one_that_was_deleted_does_not_stand_in_the_way_back() {
    let one = || sql("1", "one").down("not one");
    let (database, now) = released(&[&[one(), view("v", "view")], &[one()]]).await;
    let plan = now.clone().target(Target::Nothing).plan().await.unwrap();
    assert_eq!((plan.migrations(), plan.staying), (vec![id("1")], vec![id("v")]));
    now.down(Target::Back(1)).await.unwrap();
    assert_eq!(database.journal().last().unwrap(), "not one");
}

#[tokio::test]
async fn a_squashed_set_stands_where_the_last_of_it_stood() {
    let database = MemoryDriver::new();
    migrator(&database, ["1", "2", "3", "4"].map(both)).up().await.unwrap();
    let squashed = both("2_all").with(|meta| meta.replaces([id("1"), id("2")]));
    let after = migrator(&database, [squashed, both("3"), both("4")]);
    after.up().await.unwrap();
    let beside = migrator(&database, ["1", "2", "3", "4"].map(both));
    let status = beside.status().await.unwrap().to_string();
    assert_eq!(status.matches("\n  replaced ").count(), 2, "{status}");
    let back = after.down(Target::Back(2)).await.unwrap();
    assert_eq!(names(&back), ["4", "3"]);
}

/// Also where that is found by the long look, and not by the heads alone.
#[tokio::test]
async fn who_has_nothing_to_do_asks_for_no_lease() {
    let database = MemoryDriver::new();
    let all = migrator(&database, [sql("1", "one"), view("v", "view")]);
    assert!(!all.plan().await.unwrap().is_empty());
    all.up().await.unwrap();
    let plan = all.plan().await.unwrap();
    assert_eq!((plan.is_empty(), plan.already), (true, 2));
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asks = std::sync::Arc::clone(&asked);
    let next = all.target(Target::Next(3)).observe(move |event: &Event| {
        if matches!(event, Event::LeaseAcquired) {
            asks.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    });
    assert_eq!(next.up().await.unwrap().already, 2);
    assert!(!asked.load(std::sync::atomic::Ordering::SeqCst));
}

/// Of one that is not registered nothing can be said but that it stays; and that only where everything goes.
#[tokio::test]
async fn a_repeatable_one_that_is_gone_stays() {
    let database = MemoryDriver::new();
    migrator(&database, [both("1"), both("2"), view("v", "view")]).up().await.unwrap();
    let without = migrator(&database, [both("1"), both("2")]);
    assert!(without.down(Target::Back(1)).await.unwrap().staying.is_empty());
    assert_eq!(without.down(Target::Nothing).await.unwrap().staying, [id("v")]);
}

/// A step back names what can go back; what has nothing behind it is not spoken of.
#[tokio::test]
async fn a_step_back_of_a_repeatable_one_leaves_the_others_alone() {
    let database = MemoryDriver::new();
    migrator(&database, [view("v", "one")]).up().await.unwrap();
    let all = migrator(&database, [view("v", "two"), view("w", "w")]);
    all.up().await.unwrap();
    let back = all.down(Target::Back(1)).await.unwrap();
    assert_eq!((back.ran.len(), &back.ran[0].migration, back.staying.len()), (1, &id("v"), 0), "{back}");
}

#[tokio::test]
async fn what_was_so_before_they_came_stays_so() {
    let database = MemoryDriver::new();
    for form in ["one", "two"] {
        migrator(&database, [view("v", form)]).up().await.unwrap();
    }
    let all = migrator(&database, [both("1"), view("v", "two")]);
    all.up().await.unwrap();
    assert_eq!(names(&all.down(Target::Back(1)).await.unwrap()), ["1"]);
}

#[tokio::test]
async fn redo_leaves_a_view_that_came_later_as_it_is() {
    let database = MemoryDriver::new();
    let all = migrator(&database, [both("1"), view("v", "view").down("undo view")]);
    all.up().await.unwrap();
    assert_eq!(names(&all.redo().await.unwrap()), ["1", "1"]);
}

#[tokio::test]
async fn what_is_pending_needs_nothing() {
    let database = MemoryDriver::new();
    let all = migrator(&database, [both("1"), both("2").with(|meta| meta.depends_on([id("1")]))]);
    all.clone().target(Target::Next(1)).up().await.unwrap();
    assert_eq!(names(&all.down(Target::Back(1)).await.unwrap()), ["1"]);
}

#[tokio::test]
async fn redo_leaves_a_view_without_a_way_back_as_it_is() {
    let database = MemoryDriver::new();
    let all = migrator(&database, [both("1"), view("v", "view").with(|meta| meta.depends_on([id("1")]))]);
    all.up().await.unwrap();
    let done = all.redo().await.unwrap();
    assert_eq!((names(&done), done.staying.len()), (vec!["1", "1"], 0));
}

#[tokio::test]
async fn back_to_one_is_by_the_order_in_which_they_ran() {
    let database = MemoryDriver::new();
    let all = migrator(&database, [both("1").with(|meta| meta.depends_on([id("2")])), both("2")]);
    assert_eq!(names(&all.up().await.unwrap()), ["2", "1"]);
    assert!(all.down(Target::BackTo(id("1"))).await.unwrap().ran.is_empty());
    assert_eq!(names(&all.down(Target::BackTo(id("2"))).await.unwrap()), ["1"]);
}
