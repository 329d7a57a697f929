//! One `check`: migrations and a history in, the plan or the refusals out.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::record::{Author, Record, RecordKind, RunId};
use crate::{Checksum, Driver, MemoryDriver, Migrations, Origin, SqlMigration, Timestamp, TransactionMode};

/// Migrations of the namespace `app`: id, dependencies, SQL.
type List<'a> = &'a [(&'a str, &'a [&'a str], &'a str)];

fn id(name: &str) -> MigrationId {
    name.parse().unwrap_or_else(|_| MigrationId::new("app", name).unwrap())
}

fn set(list: List<'_>) -> MigrationSet {
    let migrations = list.iter().map(|(name, depends_on, sql)| {
        let name = id(name);
        let migration = SqlMigration::new(name.namespace().as_str(), name.id(), (*sql).to_owned()).unwrap();
        migration.with(|mut meta| {
            meta.location.file = "m.sql".into();
            meta.location.line = 1;
            meta.depends_on(depends_on.iter().map(|name| id(name)))
        })
    });
    MigrationSet::new(&Migrations::new(migrations)).unwrap()
}

/// Events: id, kind, and the SQL whose checksum is recorded.
fn state(events: &[(&str, RecordKind, &str)]) -> State {
    let mut state = State::default();
    for (name, kind, sql) in events {
        let author = Author::of(RunId::stored("run"), "ada", "host");
        let checksum = Checksum::of_sql(sql);
        let mut record = Record::new(state.seq() + 1, id(name), *kind, Direction::Up, checksum, Origin::Sql, &author);
        record.at = Timestamp(1_700_000_000_000);
        record.body = crate::ArchivedBody::pack(sql);
        let batch = state.batch(vec![record], None).unwrap();
        state.accept(batch);
    }
    state
}

fn decide(list: List<'_>, events: &[(&str, RecordKind, &str)], policy: &Policy) -> Result<Plan, Vec<Refusal>> {
    let (backend, dialect) = (Backend::new("memory"), MemoryDriver::new().dialect());
    let facts = Facts::new(&backend, None, &*dialect);
    plan(&set(list), &state(events), &Target::Latest, policy, &facts)
}

fn check(list: List<'_>, events: &[(&str, RecordKind, &str)], change: fn(&mut Policy), expected: Expect) {
    let mut policy = Policy::default();
    change(&mut policy);
    let text = match decide(list, events, &policy) {
        Ok(plan) => {
            let ahead: String = plan.ahead.iter().map(|id| format!("\nahead: {id}")).collect();
            format!("{plan}{ahead}")
        }
        Err(refusals) => refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    };
    // Without the line of `set` above, which would move with every edit of this file.
    let start = text.find("admmgt-core/src/plan/tests.rs:");
    let text = match start.and_then(|start| text[start..].find(" (").map(|end| (start, start + end))) {
        Some((start, end)) => format!("{}this file{}", &text[..start], &text[end..]),
        None => text,
    };
    expected.assert_eq(&text);
}

const AS_IS: fn(&mut Policy) = |_| {};

#[test]
fn what_is_pending_runs_in_order() {
    use RecordKind::Applied;
    let list: List<'_> = &[("2", &["1"], "b"), ("1", &[], "a"), ("3", &[], "c\nd")];
    check(
        list,
        &[],
        AS_IS,
        expect![[r#"
            3 migrations to run
              up   app/1 (1 statement)
              up   app/2 (1 statement)
              up   app/3 (2 statements)"#]],
    );
    check(
        list,
        &[("1", Applied, "a")],
        |policy| policy.group = true,
        expect![[r#"
            2 migrations to run, all in one transaction
              up   app/2 (1 statement)
              up   app/3 (2 statements)"#]],
    );
    let all = [("1", Applied, "a"), ("2", Applied, "b"), ("3", Applied, "c\nd")];
    check(list, &all, AS_IS, expect!["nothing to do: 3 migrations are applied"]);
}

#[test]
fn what_was_edited_is_shown_with_its_first_line() {
    let events = [("1", RecordKind::Applied, "create table a\ncreate table b")];
    check(
        &[("1", &[], "create table a\ncreate table c")],
        &events,
        AS_IS,
        expect![
            "m.sql:1: `app/1` was applied on 2023-11-14T22:13:20Z and has been edited since (v1:sha256:c660aad32c5248de3074951a2bb8467a67dbeb5e727dc472db3231b8946ee2d6 was applied, v1:sha256:5c3b13fcf458f9f0abfa7be39478af5744316c6aafc36b52f1799ee573cb02af is registered). Line 2 was `create table b` and is `create table c`. Restore it, and write the change as a new migration"
        ],
    );
    check(
        &[("1", &[], "create table a\r\ncreate table b")],
        &events,
        AS_IS,
        expect!["nothing to do: 1 migration is applied"],
    );
}

#[test]
fn out_of_order_is_refused_or_allowed() {
    use RecordKind::Applied;
    let list: List<'_> = &[("1", &[], "a"), ("2", &[], "b"), ("3", &[], "c")];
    let events = [("1", Applied, "a"), ("3", Applied, "c")];
    check(
        list,
        &events,
        AS_IS,
        expect![
            "m.sql:1: `app/2` is pending and sorts before `app/3`, which is applied. Rename it so that it comes last, or allow this with `Policy::out_of_order`"
        ],
    );
    check(
        list,
        &events,
        |policy| policy.out_of_order = Verdict::Allow,
        expect![[r#"
            1 migration to run
              up   app/2 (1 statement)"#]],
    );
    // Another namespace has an order of its own.
    check(
        &[("app/2", &[], "b"), ("zoo/9", &[], "z")],
        &[("zoo/9", Applied, "z")],
        AS_IS,
        expect![[r#"
            1 migration to run
              up   app/2 (1 statement)"#]],
    );
    // Only the history knows what sorts after it.
    check(
        &[("1", &[], "a"), ("2", &[], "b")],
        &[("1", Applied, "a"), ("7", Applied, "x")],
        AS_IS,
        expect![
            "m.sql:1: `app/2` is pending and sorts before `app/7`, which is applied. Rename it so that it comes last, or allow this with `Policy::out_of_order`"
        ],
    );
}

#[test]
fn an_older_program_is_ahead_of_nothing() {
    use RecordKind::Applied;
    let events = [("1", Applied, "a"), ("2", Applied, "b"), ("other/1", Applied, "o")];
    check(
        &[("1", &[], "a")],
        &events,
        AS_IS,
        expect![[r#"
        nothing to do: 1 migration is applied
        ahead: app/2"#]],
    );
    check(
        &[("1", &[], "a")],
        &events,
        |policy| policy.ahead = Verdict::Refuse,
        expect![
            "the history has 1 migration that this program does not know: `app/2`. Deploy the newer version, or allow this with `Policy::ahead`"
        ],
    );
}

#[test]
fn an_edge_that_was_added_too_late_is_refused() {
    use RecordKind::Applied;
    let list: List<'_> = &[("1", &["5"], "a"), ("5", &[], "e")];
    check(
        list,
        &[("1", Applied, "a")],
        |policy| policy.out_of_order = Verdict::Allow,
        expect![
            "m.sql:1: `app/1` is applied, but `app/5`, on which it depends, is pending. Was the dependency added after it was applied? Remove that edge, or apply the missing part in a new migration"
        ],
    );
}

#[test]
fn what_was_interrupted_stops_everything() {
    use RecordKind::{Failed, Started, StepDone};
    let events = [("1", Started, "a"), ("1", StepDone, "a"), ("1", Failed, "a")];
    check(
        &[("1", &[], "a"), ("2", &["1"], "b")],
        &events,
        AS_IS,
        expect![[
            r#"m.sql:1: `app/1` (up) was started on 2023-11-14T22:13:20Z by ada on host and never ended: how far it came is not known. Look at the database; then call `Migrator::resolve("app/1", Resolution::Applied, reason)` if the whole change is there, or `Resolution::Pending` after taking away what is there of it; or let it go on behind what has ended, with `OnInterrupt::Retry`"#
        ]],
    );
}

#[test]
fn empty_files_are_judged_by_the_policy() {
    check(
        &[("1", &[], "-- nothing yet")],
        &[],
        AS_IS,
        expect![
            "this file (inline SQL):1: `app/1` has no statement. Write one, delete the migration, or allow it with `Policy::empty`"
        ],
    );
    check(
        &[("1", &[], "-- nothing yet")],
        &[],
        |policy| policy.empty = Verdict::Allow,
        expect![[r#"
            1 migration to run
              up   app/1 (0 statements)
                   note: it has no statement"#]],
    );
}

#[test]
fn all_reasons_are_reported_together() {
    use RecordKind::Applied;
    check(
        &[("1", &[], "edited"), ("2", &[], ""), ("3", &[], "c")],
        &[("1", Applied, "a"), ("3", Applied, "c")],
        AS_IS,
        expect![[r#"
            m.sql:1: `app/1` was applied on 2023-11-14T22:13:20Z and has been edited since (v1:sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb was applied, v1:sha256:1fb9f4097256db2d7b1e13aff79cee44339891a31c556b9cf6093885773b3618 is registered). Line 1 was `a` and is `edited`. Restore it, and write the change as a new migration
            m.sql:1: `app/2` is pending and sorts before `app/3`, which is applied. Rename it so that it comes last, or allow this with `Policy::out_of_order`
            this file (inline SQL):1: `app/2` has no statement. Write one, delete the migration, or allow it with `Policy::empty`"#]],
    );
}

#[test]
fn a_group_takes_only_what_can_be_rolled_back() {
    let set =
        MigrationSet::new(&Migrations::new([SqlMigration::new("app", "1", "vacuum").unwrap().with(|mut meta| {
            meta.location.file = "m.sql".into();
            meta.location.line = 1;
            meta.transaction(TransactionMode::None)
        })]));
    let (backend, dialect) = (Backend::new("memory"), MemoryDriver::new().dialect());
    let facts = Facts::new(&backend, None, &*dialect);
    let mut policy = Policy::default();
    policy.group = true;
    let refusals = plan(&set.unwrap(), &State::default(), &Target::Latest, &policy, &facts).unwrap_err();
    expect!["m.sql:1: `app/1` runs outside of transactions and cannot be part of an all-or-nothing run. Run it by itself first, without `Policy::group`"].assert_eq(&refusals[0].to_string());
}

#[test]
fn transactions_that_are_asked_for_must_be_there() {
    let required = SqlMigration::new("app", "1", "a").unwrap().with(|mut meta| {
        meta.location.file = "m.sql".into();
        meta.location.line = 1;
        meta.transaction(TransactionMode::Required).backend(Backend::new("sqlite"))
    });
    let set = MigrationSet::new(&Migrations::new([required])).unwrap();
    let (backend, dialect) = (Backend::new("memory"), MemoryDriver::new().dialect());
    let capabilities = Capabilities::new("a standalone server");
    let facts = Facts::new(&backend, Some(&capabilities), &*dialect);
    let refusals = plan(&set, &State::default(), &Target::Latest, &Policy::default(), &facts).unwrap_err();
    let text = refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    expect![[r#"
        m.sql:1: `app/1` is written for sqlite, and this is memory. Leave it out with `Migrations::filter`, or write its body for `&mut Context`
        m.sql:1: `app/1` asks for a transaction, and a standalone server has none. Write `transaction = "auto"` or `"none"`"#]].assert_eq(&text);
}

#[test]
fn a_plan_survives_json() {
    let list: List<'_> = &[("1", &[], "a"), ("2", &["1"], "b")];
    let plan = decide(list, &[("1", RecordKind::Applied, "a")], &Policy::default()).unwrap();
    let json = serde_json::to_string_pretty(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    expect![[r#"
        {
          "format": 1,
          "steps": [
            {
              "migration": "app/2",
              "direction": "up",
              "checksum": "v1:sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d",
              "transaction": true,
              "statements": 1,
              "description": "",
              "location": {
                "file": "m.sql",
                "line": 1
              },
              "notes": []
            }
          ],
          "group": false,
          "already": 1,
          "ahead": [],
          "edited_code": [],
          "base": {
            "app": {
              "digest": "3ab73651bc5ab0eac94f320ac480577aa78e8e364e95f1d7274bf6dc95de8647",
              "count": 1,
              "seq": 1
            }
          }
        }"#]]
    .assert_eq(&json);
}

proptest! {
    #[test]
    fn the_same_inputs_give_the_same_plan(applied in 0usize..20, total in 1usize..20) {
        let names: Vec<String> = (0..total).map(|at| format!("{at}")).collect();
        let list: Vec<(&str, &[&str], &str)> = names.iter().map(|name| (name.as_str(), &[][..], "x")).collect();
        let events: Vec<(&str, RecordKind, &str)> =
            names.iter().take(applied).map(|name| (name.as_str(), RecordKind::Applied, "x")).collect();
        let first = decide(&list, &events, &Policy::default()).unwrap();
        let second = decide(&list, &events, &Policy::default()).unwrap();
        prop_assert_eq!(&first, &second);
        prop_assert_eq!(first.steps.len(), total.saturating_sub(applied));
        prop_assert_eq!(first.already, total.min(applied));
    }
}
