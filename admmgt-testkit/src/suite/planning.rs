//! What is refused before anything runs, and what is not: sets held against a history.

use admmgt_core::{Lockfile, Migrations, RecordKind, Refusal, Repair, Standing, Target, Verdict};

use super::ground::{Ground, policy};
use super::{Checked, Skip, tests};
use crate::Step;

tests! { "executor":
    an_edited_text_is_refused,
    what_only_the_history_knows_is_ahead_unless_it_is_listed,
    a_rename_is_seen_and_put_right,
    one_that_comes_late_is_refused_unless_it_is_allowed,
    what_is_missing_under_a_pending_one_is_refused,
    the_way_back_is_checked_before_its_first_step,
    what_is_not_applied_is_not_taken_back,
    a_target_that_is_not_there_is_refused,
    everything_that_is_wrong_is_said_at_once,
    what_is_there_already_fails_and_can_be_counted_in,
}

/// Texts that make things of these names, with ids that follow from them.
fn texts(on: &Ground, ids: &[&str]) -> Result<Migrations, Skip> {
    let text = |id: &&str| on.text(id, &[Step::Make(&format!("kit_{id}"))]);
    Ok(Migrations::new(ids.iter().map(text).collect::<Result<Vec<_>, _>>()?))
}

async fn an_edited_text_is_refused(on: Ground) -> Checked {
    let written = on.script(&[Step::Make("kit_a"), Step::Make("kit_b")])?;
    let set =
        |text: &str| Migrations::new([admmgt_core::SqlMigration::new("kit", "1", text.to_owned()).expect("a name")]);
    on.migrator(set(&written)).up().await.expect("it runs");
    let edited = on.script(&[Step::Make("kit_a"), Step::Make("kit_c")])?;
    // A space may stand in a literal.
    let edits = [edited, written.replacen(' ', "  ", 1), format!("{written} ")];
    for edited in edits.into_iter().filter(|edited| *edited != written) {
        let later = on.text("2", &[Step::Make("kit_d")])?;
        let error = on.migrator(set(&edited).and(later)).up().await.expect_err("what was applied is another text");
        assert!(matches!(error.refusals(), [Refusal::Edited { .. }]), "{error}");
    }
    assert_eq!(on.names().await, ["kit_a", "kit_b"]);
    Ok(())
}

async fn what_only_the_history_knows_is_ahead_unless_it_is_listed(on: Ground) -> Checked {
    on.migrator(texts(&on, &["1", "2"])?).up().await.expect("they run");
    let older = on.migrator(texts(&on, &["1"])?);
    let report = older.up().await.expect("this program is older");
    assert_eq!((report.ran.len(), report.ahead.len()), (0, 1));
    older.ensure_current().await.expect("all it knows is applied");
    let locked = Lockfile::parse("admmgt lockfile, format 1\nkit/1  manual:1\nkit/2  manual:1\n").expect("a lockfile");
    let error = older.lockfile(&locked).up().await.expect_err("the lockfile lists it");
    assert!(error.refusals().iter().any(|one| matches!(one, Refusal::Missing { .. })), "{error}");
    assert_eq!(on.names().await, ["kit_1", "kit_2"]);
    Ok(())
}

async fn a_rename_is_seen_and_put_right(on: Ground) -> Checked {
    let named = |id: &str| Ok::<_, Skip>(Migrations::new([on.text(id, &[Step::Make("kit_a")])?]));
    on.migrator(named("1_old")?).up().await.expect("it runs");
    let renamed = on.migrator(named("1_new")?);
    let error = renamed.up().await.expect_err("the same text has another name");
    assert!(matches!(error.refusals(), [Refusal::Renamed { .. }]), "{error}");
    let [from, to] = ["kit/1_old", "kit/1_new"].map(|id| id.parse().expect("a name"));
    renamed.repair(Repair::Rename { from, to }, "a better name").await.expect("it is put right");
    assert_eq!(renamed.up().await.expect("nothing to do").ran.len(), 0);
    renamed.verify().await.expect("all is as it was recorded");
    Ok(())
}

async fn one_that_comes_late_is_refused_unless_it_is_allowed(on: Ground) -> Checked {
    on.migrator(texts(&on, &["1", "3"])?).up().await.expect("they run");
    let late = on.migrator(texts(&on, &["1", "2", "3"])?);
    let error = late.up().await.expect_err("it comes late");
    assert!(matches!(error.refusals(), [Refusal::OutOfOrder { .. }]), "{error}");
    let mut policy = policy();
    policy.out_of_order = Verdict::Allow;
    let report = late.policy(policy).up().await.expect("it is allowed");
    assert_eq!(report.ran.iter().map(|ran| ran.migration.id()).collect::<Vec<_>>(), ["2"]);
    Ok(())
}

async fn what_is_missing_under_a_pending_one_is_refused(on: Ground) -> Checked {
    on.migrator(texts(&on, &["1", "2"])?).up().await.expect("they run");
    let above = on.text("3", &[Step::Make("kit_3")])?;
    let above = above.with(|meta| meta.depends_on(["kit/2".parse().expect("a name")]));
    let error = on.migrator(texts(&on, &["1"])?.and(above)).up().await.expect_err("what it stands on is gone");
    assert!(!error.refusals().is_empty(), "{error}");
    assert_eq!(on.names().await, ["kit_1", "kit_2"]);
    Ok(())
}

async fn the_way_back_is_checked_before_its_first_step(on: Ground) -> Checked {
    let back = on.text("2", &[Step::Make("kit_2")])?.down(on.script(&[Step::Drop("kit_2")])?);
    let migrator = on.migrator(texts(&on, &["1"])?.and(back));
    migrator.up().await.expect("they run");
    let error = migrator.down(Target::Nothing).await.expect_err("the first has no way back");
    assert!(matches!(error.refusals(), [Refusal::Irreversible { .. }]), "{error}");
    assert_eq!(on.names().await, ["kit_1", "kit_2"], "nothing of the way back has run");
    Ok(())
}

async fn what_is_not_applied_is_not_taken_back(on: Ground) -> Checked {
    let set = |ids: &[&str]| {
        let mut all = Migrations::default();
        for id in ids {
            let name = format!("kit_{id}");
            all = all.and(on.text(id, &[Step::Make(&name)])?.down(on.script(&[Step::Drop(&name)])?));
        }
        Ok::<_, Skip>(all)
    };
    on.migrator(set(&["1"])?).up().await.expect("it runs");
    let both = on.migrator(set(&["1", "2"])?);
    let report = both.down(Target::BackTo("kit/1".parse().expect("a name"))).await.expect("there is nothing to do");
    assert_eq!(report.ran.len(), 0);
    let never_applied = both.down(Target::BackTo("kit/2".parse().expect("a name"))).await.expect("it is not there");
    assert_eq!((never_applied.ran.len(), never_applied.skipped.len()), (0, 1));
    let history = both.history().await.expect("a history");
    assert_eq!(history.last().map(|record| record.kind), Some(RecordKind::Skipped));
    assert_eq!(on.names().await, ["kit_1"]);
    assert_eq!(both.status().await.expect("a status").migrations[0].standing, Standing::Applied);
    assert_eq!(both.up().await.expect("it goes on").ran.len(), 1);
    Ok(())
}

async fn a_target_that_is_not_there_is_refused(on: Ground) -> Checked {
    let migrator = on.migrator(texts(&on, &["0001_users", "0002_plans"])?);
    let nearly = || "kit/0002_plan".parse().expect("a name");
    let forwards = on.migrator(texts(&on, &["0001_users", "0002_plans"])?).target(Target::To(nearly()));
    let error = forwards.up().await.expect_err("there is none of that name");
    assert!(error.to_string().contains("0002_plans"), "it names what is near: {error}");
    migrator.up().await.expect("they run");
    let error = migrator.down(Target::BackTo(nearly())).await.expect_err("there is none of that name");
    assert!(error.to_string().contains("0002_plans"), "it names what is near: {error}");
    assert_eq!(on.names().await, ["kit_0001_users", "kit_0002_plans"]);
    Ok(())
}

async fn everything_that_is_wrong_is_said_at_once(on: Ground) -> Checked {
    on.migrator(texts(&on, &["1", "3"])?).up().await.expect("they run");
    let edited = on.text("1", &[Step::Make("kit_other")])?;
    let set = Migrations::new([edited]).include(texts(&on, &["2", "3"])?);
    let error = on.migrator(set).up().await.expect_err("two things are wrong");
    let has = |kind: fn(&Refusal) -> bool| error.refusals().iter().any(kind);
    assert!(has(|one| matches!(one, Refusal::Edited { .. })), "{error}");
    assert!(has(|one| matches!(one, Refusal::OutOfOrder { .. })), "{error}");
    assert_eq!(on.names().await, ["kit_1", "kit_3"]);
    Ok(())
}

async fn what_is_there_already_fails_and_can_be_counted_in(on: Ground) -> Checked {
    on.needs_transactions().await?;
    let hand = admmgt_core::SqlMigration::new("hand", "1", on.script(&[Step::Make("kit_1")])?).expect("a name");
    on.migrator(Migrations::new([hand])).up().await.expect("it runs");
    on.migrator(texts(&on, &["1", "2"])?).up().await.expect_err("the first is there");
    assert_eq!(on.names().await, ["kit_1"]);
    on.migrator(texts(&on, &["1", "2"])?).baseline(Some("kit/1"), "it was there").await.expect("it is counted in");
    assert_eq!(on.migrator(texts(&on, &["1", "2"])?).up().await.expect("it goes on").ran.len(), 1);
    assert_eq!(on.names().await, ["kit_1", "kit_2"]);
    Ok(())
}
