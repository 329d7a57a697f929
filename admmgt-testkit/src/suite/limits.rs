//! What has a limit keeps to it, and what has none has none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use admmgt_core::{Event, Migrations, SqlMigration, Standing};
use tokio::sync::Notify;

use super::ground::{Code, Ground, policy};
use super::turns::begins;
use super::{Checked, tests};
use crate::Step;

tests! { "limits":
    a_statement_that_takes_too_long_is_cut_short,
    a_run_that_is_dropped_in_a_long_statement_ends,
    many_migrations_run_and_are_looked_at,
    many_statements_of_one_migration_run,
    a_large_statement_runs,
    long_names_and_long_errors_are_kept,
}

async fn a_statement_that_takes_too_long_is_cut_short(on: Ground) -> Checked {
    on.needs_transactions().await?;
    let mut policy = policy();
    policy.statement_timeout = Some(Duration::from_millis(300));
    policy.retries = 0;
    let steps = [Step::Make("kit_a"), Step::Sleep];
    for set in [Migrations::new([on.text("1", &steps)?]), Migrations::new([on.code("1", &steps)?])] {
        let migrator = on.migrator(set).policy(policy.clone());
        let clock = Instant::now();
        let run = tokio::time::timeout(Duration::from_secs(30), migrator.up()).await;
        assert!(clock.elapsed() >= Duration::from_millis(300), "`Step::Sleep` ends at once: {run:?}");
        let error = run.expect("`SessionOptions::statement_timeout` is not kept").expect_err("it takes too long");
        assert_eq!(on.names().await, [""; 0], "{error}");
        assert_eq!(migrator.status().await.expect("a status").migrations[0].standing, Standing::Pending);
    }
    Ok(())
}

async fn a_run_that_is_dropped_in_a_long_statement_ends(on: Ground) -> Checked {
    on.needs_transactions().await?;
    on.needs_to_outlive_its_connections().await?;
    let started = Arc::new(Notify::new());
    let starts = Arc::clone(&started);
    let long = on.text("1", &[Step::Make("kit_a"), Step::Sleep])?;
    let migrator = on.migrator(Migrations::new([long])).observe(move |event: &Event| {
        if matches!(event, Event::StatementDone { .. }) {
            starts.notify_one();
        }
    });
    let mut run = tokio::spawn(async move { migrator.up().await });
    begins(&started, &mut run).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    run.abort();
    assert!(run.await.is_err_and(|error| error.is_cancelled()));
    // A server may end the statement before it notices.
    let mut policy = policy();
    policy.lease_wait = Duration::from_secs(140);
    let next = on.migrator(Migrations::new([on.text("1", &[Step::Make("kit_a")])?])).policy(policy);
    let next = tokio::time::timeout(Duration::from_secs(150), next.up()).await;
    assert_eq!(next.expect("it ends, and lets go").expect("it runs").ran.len(), 1);
    assert_eq!(on.names().await, ["kit_a"]);
    Ok(())
}

async fn many_migrations_run_and_are_looked_at(on: Ground) -> Checked {
    let count = on.thoroughness.migrations;
    let mut set = Migrations::default();
    for number in 0..count {
        let steps = if number % 2 == 0 { [Step::Make("kit_a")] } else { [Step::Drop("kit_a")] };
        set = set.and(on.text(&format!("{number:06}"), &steps)?);
    }
    let migrator = on.migrator(set);
    assert_eq!(migrator.up().await.expect("they run").ran.len(), count);
    assert_eq!(migrator.up().await.expect("nothing to do").already, count);
    migrator.verify().await.expect("all is as it was recorded");
    assert!(on.names().await.is_empty());
    Ok(())
}

async fn many_statements_of_one_migration_run(on: Ground) -> Checked {
    let steps = [Step::Make("kit_a"), Step::Drop("kit_a")].repeat(500);
    let both = Migrations::new([on.text("1", &steps)?]).and(on.code_that_drops("2", &steps).await?);
    on.migrator(both).up().await.expect("they run");
    assert!(on.names().await.is_empty());
    Ok(())
}

/// A text of one statement between many lines of nothing: it is kept, and compared the next time.
async fn a_large_statement_runs(on: Ground) -> Checked {
    let text = format!("{}{}", "\n".repeat(1 << 20), on.script(&[Step::Make("kit_a")])?);
    let set = || Migrations::new([SqlMigration::new("kit", "1", text.clone()).expect("a name")]);
    on.migrator(set()).up().await.expect("it runs");
    assert_eq!(on.names().await, ["kit_a"]);
    assert_eq!(on.migrator(set()).up().await.expect("nothing to do").already, 1);
    Ok(())
}

async fn long_names_and_long_errors_are_kept(on: Ground) -> Checked {
    let id = "n".repeat(200);
    let words = "é".repeat(100_000);
    let said = words.clone();
    let body = Code::new(&id, move |_| {
        let said = said.clone();
        Box::pin(async move { Err(said.into()) })
    });
    let migrator = on.migrator(Migrations::new([body]));
    let error = migrator.up().await.expect_err("it fails");
    assert!(error.to_string().contains(&id), "the migration is named");
    let status =
        on.migrator(Migrations::new([on.text(&id, &[Step::Make("kit_a")])?])).status().await.expect("a status");
    let row = &status.migrations[0];
    assert_eq!(row.migration.id(), id);
    assert!(row.last_error.is_some() || matches!(row.standing, Standing::Interrupted { .. }));
    Ok(())
}
