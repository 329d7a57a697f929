//! What a run promises: in order, once, and nothing half done without saying so.

use admmgt_core::{
    Direction, Error, ErrorKind, Migrations, OnInterrupt, RecordKind, Refusal, Resolution, Standing, Target,
    TransactionMode,
};

use super::ground::{Ground, policy};
use super::sets::Set;
use super::{Checked, Skip, tests};
use crate::{FaultyDriver, Step};

tests! { "executor":
    pending_migrations_run_in_order_and_once,
    a_start_with_nothing_to_do_is_one_look,
    what_ran_is_on_record,
    a_failing_migration_is_rolled_back_and_the_ones_before_it_stay,
    failing_code_is_rolled_back,
    a_group_is_there_as_a_whole_or_not_at_all,
    without_a_transaction_it_goes_on_behind_what_has_ended,
    an_interrupted_migration_is_refused_until_it_is_resolved,
    code_without_a_transaction_is_interrupted_when_it_fails,
    a_text_that_ends_its_transaction_is_never_applied_by_half,
    code_that_ends_its_transaction_is_never_applied_by_half,
    the_way_back_takes_everything_away,
    a_way_back_that_fails_leaves_the_migration,
    a_step_back_can_be_done_again,
    a_plan_runs_as_it_was_made_or_not_at_all,
    several_sets_share_one_database,
}

async fn pending_migrations_run_in_order_and_once(on: Ground) -> Checked {
    // Each needs the one before it.
    let set = Migrations::default()
        .and(on.text("2", &[Step::Drop("kit_a"), Step::Make("kit_b")])?)
        .and(on.code_that_drops("10", &[Step::Drop("kit_b"), Step::Make("kit_c")]).await?)
        .and(on.text("1", &[Step::Make("kit_a")])?);
    let migrator = on.migrator(set);
    let report = migrator.up().await.expect("they run");
    let ran: Vec<String> = report.ran.iter().map(|ran| ran.migration.to_string()).collect();
    assert_eq!(ran, ["kit/1", "kit/2", "kit/10"]);
    assert_eq!(on.names().await, ["kit_c"]);
    assert_eq!(migrator.up().await.expect("nothing to do").ran.len(), 0);
    migrator.ensure_current().await.expect("all is applied");
    assert!(migrator.status().await.expect("a status").is_current());
    migrator.verify().await.expect("all is as it was recorded");
    Ok(())
}

async fn a_start_with_nothing_to_do_is_one_look(on: Ground) -> Checked {
    let set = Set::Mixed.migrations(&on)?;
    on.migrator(set.clone()).up().await.expect("they run");
    let driver = FaultyDriver::new(on.driver());
    let report = admmgt_core::Migrator::new(driver.clone()).migrations(set).up().await.expect("nothing to do");
    assert_eq!(report.already, 4);
    assert_eq!(driver.calls(), ["peek"]);
    Ok(())
}

async fn what_ran_is_on_record(on: Ground) -> Checked {
    let migrator = on.migrator(Set::Mixed.migrations(&on)?).by("the deployer");
    let report = migrator.up().await.expect("they run");
    let history = migrator.history().await.expect("a history");
    let applied: Vec<_> = history.iter().filter(|record| record.kind == RecordKind::Applied).collect();
    assert_eq!(applied.len(), 4);
    assert!(history.iter().zip(1..).all(|(record, seq)| record.seq == seq), "numbers have no holes");
    for record in &applied {
        assert_eq!((&*record.by, &record.run), ("the deployer", &report.run));
        assert!(record.duration_us.is_some() && record.direction == Direction::Up);
    }
    let body = applied[0].body.as_ref().and_then(admmgt_core::ArchivedBody::unpack);
    assert_eq!(body, Some(on.script(&[Step::Make("kit_1")])?), "the text is kept");
    Ok(())
}

async fn a_failing_migration_is_rolled_back_and_the_ones_before_it_stay(on: Ground) -> Checked {
    on.needs_transactions().await?;
    let migrator = on.migrator(Set::Failing.migrations(&on)?);
    for _ in 0..2 {
        let error = migrator.up().await.expect_err("the third fails");
        assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
        assert!(error.to_string().contains("`kit/0003`") && error.to_string().contains("statement 2 of 2"), "{error}");
        assert_eq!(on.names().await, ["kit_1", "kit_2", "kit_2_more"]);
    }
    let status = migrator.status().await.expect("a status");
    let standings: Vec<_> = status.migrations.iter().map(|row| row.standing == Standing::Applied).collect();
    assert_eq!(standings, [true, true, false, false]);
    assert!(status.migrations[2].last_error.is_some(), "why it failed is on record");
    // Mended, it runs.
    let report = on.migrator(Set::Texts.migrations(&on)?).up().await.expect("it runs");
    assert_eq!(report.ran.len(), 2);
    Ok(())
}

async fn failing_code_is_rolled_back(on: Ground) -> Checked {
    on.needs_transactions().await?;
    let failing = Migrations::new([on.code("1", &[Step::Make("kit_a"), Step::Fail])?]);
    let error = on.migrator(failing).up().await.expect_err("it fails");
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
    assert_eq!(on.names().await, [""; 0]);
    let mended = Migrations::new([on.code("1", &[Step::Make("kit_a")])?]);
    assert_eq!(on.migrator(mended).up().await.expect("it runs").ran.len(), 1);
    Ok(())
}

async fn a_group_is_there_as_a_whole_or_not_at_all(on: Ground) -> Checked {
    on.needs_transactions().await?;
    let mut policy = policy();
    policy.group = true;
    let failing = on.migrator(Set::Failing.migrations(&on)?).policy(policy.clone());
    let error = failing.up().await.expect_err("the third fails");
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
    assert_eq!(on.names().await, [""; 0]);
    assert!(failing.status().await.expect("a status").migrations.iter().all(|row| row.standing == Standing::Pending));
    let mended = on.migrator(Set::Mixed.migrations(&on)?).policy(policy);
    assert_eq!(mended.up().await.expect("they run").ran.len(), 4);
    assert_eq!(on.names().await, Set::Mixed.all());
    Ok(())
}

/// What is in the way of the third statement is taken away by hand.
async fn without_a_transaction_it_goes_on_behind_what_has_ended(on: Ground) -> Checked {
    on.needs_outside().await?;
    on.needs_to_outlive_its_connections().await?;
    on.migrator(Migrations::new([on.text("1", &[Step::Make("kit_3")])?])).up().await.expect("it runs");
    let steps = [Step::Make("kit_1"), Step::Make("kit_2"), Step::Make("kit_3"), Step::Make("kit_4")];
    let outside = || {
        let text = on.text("2", &steps)?.with(|meta| meta.transaction(TransactionMode::None));
        Ok::<_, super::Skip>(Migrations::new([on.text("1", &[Step::Make("kit_3")])?]).and(text))
    };
    let error = on.migrator(outside()?).up().await.expect_err("the third statement fails");
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    assert!(error.to_string().contains("statement 3 of 4"), "{error}");
    assert_eq!(on.names().await, ["kit_1", "kit_2", "kit_3"]);
    on.by_hand(&[Step::Drop("kit_3")]).await?;
    let mut policy = policy();
    policy.on_interrupt = Some(OnInterrupt::Retry);
    let report = on.migrator(outside()?).policy(policy).up().await.expect("it goes on");
    assert_eq!(report.ran.len(), 1);
    assert_eq!(on.names().await, ["kit_1", "kit_2", "kit_3", "kit_4"]);
    Ok(())
}

async fn an_interrupted_migration_is_refused_until_it_is_resolved(on: Ground) -> Checked {
    on.needs_outside().await?;
    on.needs_to_outlive_its_connections().await?;
    let steps = [Step::Make("kit_a"), Step::Fail];
    let text = on.text("1", &steps)?.with(|meta| meta.transaction(TransactionMode::None));
    let migrator = on.migrator(Migrations::new([text]).and(on.text("2", &[Step::Make("kit_b")])?));
    migrator.up().await.expect_err("the second statement fails");
    for _ in 0..2 {
        let error = migrator.up().await.expect_err("nobody decided yet");
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
        assert!(matches!(error.refusals(), [Refusal::Interrupted { done: 1, steps: Some(2), .. }]), "{error}");
    }
    assert_eq!(on.names().await, ["kit_a"]);
    migrator.resolve("kit/1", Resolution::Applied, "done by hand").await.expect("it is resolved");
    assert_eq!(migrator.up().await.expect("it goes on").ran.len(), 1);
    assert_eq!(on.names().await, ["kit_a", "kit_b"]);
    let again = migrator.resolve("kit/1", Resolution::Applied, "again").await;
    assert!(matches!(again, Err(Error::Usage { .. })), "there is nothing to resolve");
    Ok(())
}

async fn code_without_a_transaction_is_interrupted_when_it_fails(on: Ground) -> Checked {
    on.needs_outside().await?;
    on.needs_to_outlive_its_connections().await?;
    let code = on.code("1", &[Step::Make("kit_a"), Step::Fail])?;
    let migrator = on.migrator(Migrations::new([code.with(|meta| meta.transaction(TransactionMode::None))]));
    let error = migrator.up().await.expect_err("it fails");
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    assert_eq!(migrator.up().await.expect_err("nobody decided yet").kind(), ErrorKind::Interrupted);
    assert_eq!(on.names().await, ["kit_a"]);
    on.by_hand(&[Step::Drop("kit_a")]).await?;
    migrator.resolve("kit/1", Resolution::Pending, "taken away by hand").await.expect("it is resolved");
    let mended = Migrations::new([on.code("1", &[Step::Make("kit_a")])?]);
    assert_eq!(on.migrator(mended).up().await.expect("it runs").ran.len(), 1);
    Ok(())
}

/// Whatever is there afterwards: it is refused or fails and nothing is there, or it says that it is interrupted.
async fn never_by_half(on: &Ground, set: Migrations) {
    let migrator = on.migrator(set);
    let error = migrator.up().await.expect_err("it ends its transaction by itself");
    let status = migrator.status().await.expect("a status");
    match (&status.migrations[0].standing, error.kind()) {
        (Standing::Pending, _) => assert_eq!(on.names().await, [""; 0], "{error}"),
        (Standing::Interrupted { .. }, ErrorKind::Interrupted) => {}
        (standing, kind) => panic!("it stands as {standing:?} after {kind:?}: {error}"),
    }
}

async fn a_text_that_ends_its_transaction_is_never_applied_by_half(on: Ground) -> Checked {
    on.needs_transactions().await?;
    let steps = [Step::Make("kit_a"), Step::Commit, Step::Make("kit_b"), Step::Fail];
    never_by_half(&on, Migrations::new([on.text("1", &steps)?])).await;
    let on = on.another().await;
    let steps = [Step::Make("kit_a"), Step::Commit, Step::Make("kit_b")];
    never_by_half(&on, Migrations::new([on.text("1", &steps)?])).await;
    Ok(())
}

async fn code_that_ends_its_transaction_is_never_applied_by_half(on: Ground) -> Checked {
    on.needs_transactions().await?;
    for last in [Step::Make("kit_b"), Step::Fail] {
        let on = on.another().await;
        let scripts = [Step::Make("kit_a"), Step::Commit, last].map(|step| on.script(&[step]));
        let scripts = scripts.into_iter().collect::<Result<Vec<String>, _>>()?;
        let code = super::ground::Code::new("1", move |cx| {
            let scripts = scripts.clone();
            Box::pin(async move {
                for script in &scripts {
                    cx.execute(script.trim()).await?;
                }
                Ok(())
            })
        });
        never_by_half(&on, Migrations::new([code])).await;
    }
    Ok(())
}

async fn the_way_back_takes_everything_away(on: Ground) -> Checked {
    let migrator = on.migrator(Set::Texts.migrations(&on)?);
    migrator.up().await.expect("they run");
    let back = migrator.down(Target::Back(1)).await.expect("one step back");
    assert_eq!(back.ran.len(), 1);
    assert_eq!(on.names().await, ["kit_1", "kit_2", "kit_2_more", "kit_3"]);
    let back = migrator.down(Target::Nothing).await.expect("all the way back");
    assert_eq!(back.ran.len(), 3);
    assert_eq!(on.names().await, [""; 0]);
    assert_eq!(migrator.down(Target::Nothing).await.expect("nothing to do").ran.len(), 0);
    assert_eq!(migrator.up().await.expect("and forwards again").ran.len(), 4);
    assert_eq!(on.names().await, Set::Texts.all());
    Ok(())
}

async fn a_way_back_that_fails_leaves_the_migration(on: Ground) -> Checked {
    on.needs_transactions().await?;
    if !on.drops_in_transactions().await? {
        return Err(Skip("what takes a thing away is in no transaction there".to_owned()));
    }
    let text = on.text("1", &[Step::Make("kit_a")])?.down(on.script(&[Step::Drop("kit_a"), Step::Fail])?);
    let migrator = on.migrator(Migrations::new([text]));
    migrator.up().await.expect("it runs");
    let error = migrator.down(Target::Nothing).await.expect_err("the way back fails");
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
    assert_eq!(on.names().await, ["kit_a"]);
    assert!(migrator.status().await.expect("a status").is_current());
    Ok(())
}

async fn a_step_back_can_be_done_again(on: Ground) -> Checked {
    let migrator = on.migrator(Set::Texts.migrations(&on)?);
    migrator.up().await.expect("they run");
    let report = migrator.redo().await.expect("back and forwards");
    let ways: Vec<Direction> = report.ran.iter().map(|ran| ran.direction).collect();
    assert_eq!(ways, [Direction::Down, Direction::Up]);
    assert_eq!(on.names().await, Set::Texts.all());
    Ok(())
}

async fn a_plan_runs_as_it_was_made_or_not_at_all(on: Ground) -> Checked {
    let migrator = on.migrator(Set::Mixed.migrations(&on)?);
    let plan = migrator.plan().await.expect("a plan");
    assert_eq!(plan.steps.len(), 4);
    assert_eq!(on.names().await, [""; 0], "planning changes nothing");
    migrator.run(plan.clone()).await.expect("it runs");
    assert_eq!(on.names().await, Set::Mixed.all());
    let error = migrator.run(plan).await.expect_err("it was made for an empty history");
    assert!(matches!(error, Error::PlanStale { .. }), "{error}");
    Ok(())
}

async fn several_sets_share_one_database(on: Ground) -> Checked {
    let other = |id: &str, name: &str| {
        let text = on.script(&[Step::Make(name)])?;
        Ok::<_, super::Skip>(Migrations::new([admmgt_core::SqlMigration::new("other", id, text).expect("a name")]))
    };
    let ours = on.migrator(Set::Texts.migrations(&on)?);
    let theirs = on.migrator(other("1", "kit_other")?);
    ours.up().await.expect("they run");
    assert_eq!(theirs.up().await.expect("they run").ran.len(), 1);
    assert_eq!(ours.up().await.expect("nothing to do").already, 4);
    assert_eq!(ours.status().await.expect("a status").other_namespaces.len(), 1);
    ours.down(Target::Nothing).await.expect("back");
    assert_eq!(on.names().await, ["kit_other"]);
    Ok(())
}
