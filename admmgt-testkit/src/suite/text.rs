//! What a migration's text promises: it is run as it is written, statement by statement, or not at all.

use std::sync::{Arc, Mutex, PoisonError};

use admmgt_core::{
    ErrorKind, Event, Migrations, RecordKind, Resolution, SqlMigration, TransactionMode, Verdict, sources,
};

use super::ground::{Ground, policy};
use super::{Checked, tests};
use crate::Step;

tests! { "text":
    what_looks_like_the_end_of_a_statement_is_none,
    a_text_that_never_ends_is_refused_before_anything_runs,
    an_empty_text_is_refused_unless_it_is_allowed,
    line_ends_and_a_byte_order_mark_are_no_edit,
    names_that_only_look_like_something_else_stay_names,
    an_error_names_its_line_and_statement,
    statements_are_counted_as_they_run,
    a_value_in_a_failing_statement_is_told_to_nobody,
}

async fn what_looks_like_the_end_of_a_statement_is_none(on: Ground) -> Checked {
    let steps = [Step::Disguised("kit_a"), Step::Make("kit_b"), Step::Disguised("kit_c")];
    assert_eq!(on.statements(&on.script(&steps)?).len(), 3);
    on.migrator(Migrations::new([on.text("1", &steps)?])).up().await.expect("it runs");
    assert_eq!(on.names().await, ["kit_a", "kit_b", "kit_c"]);
    let on = on.another().await;
    on.migrator(Migrations::new([on.code("1", &steps)?])).up().await.expect("it runs");
    assert_eq!(on.names().await, ["kit_a", "kit_b", "kit_c"]);
    Ok(())
}

async fn a_text_that_never_ends_is_refused_before_anything_runs(on: Ground) -> Checked {
    let set = Migrations::default()
        .and(on.text("1", &[Step::Make("kit_a")])?)
        .and(on.text("2", &[Step::Make("kit_b"), Step::Endless])?);
    let error = on.migrator(set).up().await.expect_err("a quote is open");
    assert!(!error.refusals().is_empty(), "{error}");
    assert_eq!(on.names().await, [""; 0]);
    let code = Migrations::new([on.code("1", &[Step::Make("kit_a"), Step::Endless])?]);
    on.migrator(code).up().await.expect_err("a quote is open");
    assert_eq!(on.names().await, [""; 0]);
    Ok(())
}

async fn an_empty_text_is_refused_unless_it_is_allowed(on: Ground) -> Checked {
    let set = || Migrations::new([SqlMigration::new("kit", "1", "\n  \n").expect("a name")]);
    let error = on.migrator(set()).up().await.expect_err("there is nothing in it");
    assert_eq!(error.refusals().len(), 1, "{error}");
    let mut policy = policy();
    policy.empty = Verdict::Allow;
    assert_eq!(on.migrator(set()).policy(policy).up().await.expect("it is allowed").ran.len(), 1);
    Ok(())
}

async fn line_ends_and_a_byte_order_mark_are_no_edit(on: Ground) -> Checked {
    let text = on.script(&[Step::Make("kit_a"), Step::Make("kit_b")])?;
    let set = |text: String| Migrations::new([SqlMigration::new("kit", "1", text).expect("a name")]);
    let as_elsewhere = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    on.migrator(set(as_elsewhere.clone())).up().await.expect("it runs");
    assert_eq!(on.names().await, ["kit_a", "kit_b"]);
    assert_eq!(on.migrator(set(text)).up().await.expect("it is the same").already, 1);
    assert_eq!(on.migrator(set(as_elsewhere)).up().await.expect("it is the same").already, 1);
    Ok(())
}

async fn names_that_only_look_like_something_else_stay_names(on: Ground) -> Checked {
    let names = ["0001_größe", "0002_表", "0003_a-b.c+d:e@f", "0004_select", "0005_100000000000000000000"];
    let mut set = Migrations::default();
    for (name, at) in names.iter().zip(0..) {
        set = set.and(on.text(name, &[Step::Make(&format!("kit_{at}"))])?);
    }
    let migrator = on.migrator(set);
    assert_eq!(migrator.up().await.expect("they run").ran.len(), names.len());
    assert_eq!(migrator.up().await.expect("nothing to do").already, names.len());
    let history = migrator.history().await.expect("a history");
    let applied = history.iter().filter(|record| record.kind == RecordKind::Applied);
    assert_eq!(applied.map(|record| record.migration.id()).collect::<Vec<_>>(), names);
    Ok(())
}

async fn an_error_names_its_line_and_statement(on: Ground) -> Checked {
    let steps = [Step::Make("kit_a"), Step::Make("kit_b"), Step::Fail, Step::Make("kit_c")];
    let error = on.migrator(Migrations::new([on.text("1", &steps)?])).up().await.expect_err("the third fails");
    let place = on.statements(&on.script(&steps)?)[2].line;
    let words = error.to_string();
    assert!(words.contains(&format!(":{place}, statement 3 of 4")), "{words}");
    assert!(matches!(error.kind(), ErrorKind::Failed | ErrorKind::Interrupted));
    Ok(())
}

async fn statements_are_counted_as_they_run(on: Ground) -> Checked {
    on.needs_outside().await?;
    let steps = ["kit_a", "kit_b", "kit_c"].map(Step::Make);
    let text = on.text("1", &steps)?.with(|meta| meta.transaction(TransactionMode::None));
    let migrator = on.migrator(Migrations::new([text]));
    migrator.up().await.expect("it runs");
    let history = migrator.history().await.expect("a history");
    let started = history.iter().find(|record| record.kind == RecordKind::Started).expect("it has started");
    assert_eq!(started.steps, Some(3));
    let done: Vec<_> = history.iter().filter(|record| record.kind == RecordKind::StepDone).collect();
    assert_eq!(done.iter().map(|record| record.step).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
    Ok(())
}

/// A text that the database would repeat, value and all: not in errors, events and logs, and not in the history.
async fn a_value_in_a_failing_statement_is_told_to_nobody(on: Ground) -> Checked {
    const SECRET: &str = "sk_live_SECRET";
    let steps = [Step::Secret(SECRET)];
    for set in [Migrations::new([on.text("1", &steps)?]), Migrations::default().and(on.code("1", &steps)?)] {
        let heard = Arc::new(Mutex::new(String::new()));
        let events = Arc::clone(&heard);
        let mut policy = policy();
        policy.archive_bodies = false;
        let migrator = on.migrator(set).policy(policy).observe(move |event: &Event| {
            let mut heard = events.lock().unwrap_or_else(PoisonError::into_inner);
            heard.push_str(&serde_json::to_string(event).unwrap_or_default());
        });
        let error = migrator.up().await.expect_err("it fails");
        let mut told: String = sources(&error).map(|error| format!("{error} {error:?} ")).collect();
        told.push_str(&format!("{:?}", migrator.history().await.expect("a history")));
        told.push_str(&migrator.status().await.expect("a status").to_string());
        told.push_str(&heard.lock().unwrap_or_else(PoisonError::into_inner));
        assert!(!told.contains(SECRET), "{}", told.replace(SECRET, "[the secret]"));
        // Each with a beginning of its own.
        if error.kind() == ErrorKind::Interrupted {
            migrator.resolve("kit/1", Resolution::Pending, "the next form").await.expect("it is resolved");
        }
    }
    Ok(())
}
