//! The conformance suite, on every driver of this workspace. `cargo test -p admmgt-tests --test conformance` prints the
//! table in the end.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use admmgt::mongodb::bson::doc;
use admmgt::prelude::*;
use admmgt::{Driver, LeaseMode, MemoryDriver, Result};
use admmgt_example_drivers::{JsonDirectory, Settings};
use admmgt_testkit::{MemorySetup, Setup, Step, Suite, async_trait, sql};
use admmgt_tests::{is_full, mongo_database, mongo_url, run_command, server_url};
use serde_json::json;

/// What needs a token, which a lease that is a lock of its session does not have.
const TOKENS: [&str; 7] = [
    "lease::a_body_ends_when_its_lease_is_lost",
    "lease::it_is_kept_for_as_long_as_its_holder_works",
    "lease::one_that_was_taken_away_is_noticed",
    "lease::tokens_grow",
    "store::a_checkpoint_of_a_stale_token_is_not_saved",
    "store::a_commit_with_a_stale_token_leaves_nothing",
    "store::a_stale_token_writes_nothing",
];

/// What needs a database that processes share.
const PROCESSES: [&str; 10] = [
    "crash::killed_again_while_it_recovers",
    "crash::killed_again_while_it_recovers_without_a_transaction",
    "crash::killed_at_any_call",
    "crash::killed_at_any_call_in_code_without_a_transaction",
    "crash::killed_at_any_call_on_the_way_back",
    "crash::killed_at_any_call_without_a_transaction",
    "lease::a_holder_that_sleeps_is_waited_for_or_writes_nothing_afterwards",
    "lease::a_killed_holder_is_followed_by_another",
    "lease::processes_that_start_at_once_run_each_migration_once",
    "lease::up_and_down_at_once_take_turns",
];

/// What the lines of the memory driver cannot say, and a lease that ends by its time.
const OF_MEMORY: [&str; 5] = [
    "crash::killed_at_any_call_of_a_group",
    "lease::a_body_ends_when_its_lease_is_lost",
    "text::a_text_that_never_ends_is_refused_before_anything_runs",
    "text::a_value_in_a_failing_statement_is_told_to_nobody",
    "text::what_looks_like_the_end_of_a_statement_is_none",
];

const TRANSACTIONS: [&str; 16] = [
    "crash::a_lost_answer_at_any_call_of_a_group",
    "crash::an_error_at_any_call_of_a_group",
    "executor::a_failing_migration_is_rolled_back_and_the_ones_before_it_stay",
    "executor::a_group_is_there_as_a_whole_or_not_at_all",
    "executor::a_text_that_ends_its_transaction_is_never_applied_by_half",
    "executor::a_way_back_that_fails_leaves_the_migration",
    "executor::code_that_ends_its_transaction_is_never_applied_by_half",
    "executor::failing_code_is_rolled_back",
    "executor::what_is_there_already_fails_and_can_be_counted_in",
    "limits::a_run_that_is_dropped_in_a_long_statement_ends",
    "limits::a_statement_that_takes_too_long_is_cut_short",
    "store::a_commit_that_fails_leaves_neither_the_change_nor_its_records",
    "store::a_commit_with_a_stale_token_leaves_nothing",
    "store::a_commit_writes_the_change_and_its_records",
    "store::a_rollback_takes_the_change_back",
    "store::a_session_that_is_dropped_is_rolled_back",
];

const A_WAY_BACK: &str = "executor::a_way_back_that_fails_leaves_the_migration";

/// What ends a transaction of ours: a command that would is refused before anything runs.
const ENDING: [&str; 2] = [
    "executor::a_text_that_ends_its_transaction_is_never_applied_by_half",
    "executor::code_that_ends_its_transaction_is_never_applied_by_half",
];

/// What needs transactions where processes can share a database.
const GROUPS_AND_SLEEPERS: [&str; 2] =
    ["crash::killed_at_any_call_of_a_group", "lease::a_holder_that_sleeps_is_waited_for_or_writes_nothing_afterwards"];

/// What needs something that runs without a transaction.
const OUTSIDE: [&str; 11] = [
    "crash::a_lost_answer_at_any_call_without_a_transaction",
    "crash::a_lost_request_at_any_call_without_a_transaction",
    "crash::an_error_at_any_call_without_a_transaction",
    "crash::killed_again_while_it_recovers_without_a_transaction",
    "crash::killed_at_any_call_in_code_without_a_transaction",
    "crash::killed_at_any_call_without_a_transaction",
    "executor::a_batch_that_a_body_drops_takes_nothing_with_it",
    "executor::an_interrupted_migration_is_refused_until_it_is_resolved",
    "executor::code_without_a_transaction_is_interrupted_when_it_fails",
    "executor::without_a_transaction_it_goes_on_behind_what_has_ended",
    "text::statements_are_counted_as_they_run",
];

/// What needs a second connection, or a database that outlives its first one.
const CONNECTIONS: [&str; 25] = [
    "crash::a_lost_answer_at_any_call",
    "crash::a_lost_answer_at_any_call_of_a_group",
    "crash::a_lost_answer_at_any_call_on_the_way_back",
    "crash::a_lost_answer_at_any_call_without_a_transaction",
    "crash::a_lost_request_at_any_call",
    "crash::a_lost_request_at_any_call_without_a_transaction",
    "crash::an_error_at_any_call",
    "crash::an_error_at_any_call_of_a_group",
    "crash::an_error_at_any_call_on_the_way_back",
    "crash::an_error_at_any_call_without_a_transaction",
    "crash::killed_at_any_call_of_a_group",
    "executor::an_interrupted_migration_is_refused_until_it_is_resolved",
    "executor::code_without_a_transaction_is_interrupted_when_it_fails",
    "executor::without_a_transaction_it_goes_on_behind_what_has_ended",
    "lease::a_run_that_is_dropped_lets_go",
    "lease::a_run_that_panics_lets_go",
    "lease::asking_for_it_never_waits",
    "lease::dropped_with_its_session_it_is_free",
    "lease::one_has_it_at_a_time",
    "lease::runs_that_start_at_once_run_each_migration_once",
    "lease::whoever_waited_reads_the_history_again",
    "lease::whoever_waits_in_vain_is_told_who_has_it",
    "limits::a_run_that_is_dropped_in_a_long_statement_ends",
    "store::a_commit_that_fails_leaves_neither_the_change_nor_its_records",
    "store::a_session_that_is_dropped_is_rolled_back",
];

/// What a line of settings cannot say: a value that is repeated, what takes long, and a text that never ends; and what its store
/// does not keep.
const OF_SETTINGS: [&str; 9] = [
    "executor::a_batch_that_a_body_drops_takes_nothing_with_it",
    "executor::a_text_that_ends_its_transaction_is_never_applied_by_half",
    "executor::code_that_ends_its_transaction_is_never_applied_by_half",
    "limits::a_run_that_is_dropped_in_a_long_statement_ends",
    "limits::a_statement_that_takes_too_long_is_cut_short",
    "store::a_checkpoint_comes_back_as_it_was_saved",
    "text::a_text_that_never_ends_is_refused_before_anything_runs",
    "text::a_value_in_a_failing_statement_is_told_to_nobody",
    "text::what_looks_like_the_end_of_a_statement_is_none",
];

fn main() -> ExitCode {
    let suite = Suite::new()
        .thorough(is_full())
        .leaves_out("memory", PROCESSES)
        .leaves_out("memory", OF_MEMORY)
        .leaves_out("MongoDB", [A_WAY_BACK])
        .leaves_out("MongoDB", ENDING)
        .leaves_out("MongoDB, standalone", TRANSACTIONS)
        .leaves_out("MongoDB, standalone", GROUPS_AND_SLEEPERS)
        .leaves_out("memory, no transactions", PROCESSES)
        .leaves_out("memory, no transactions", OF_MEMORY)
        .leaves_out("memory, no transactions", TRANSACTIONS)
        .leaves_out("SQLite", TOKENS)
        .leaves_out("SQLite in memory", TOKENS)
        .leaves_out("SQLite in memory", PROCESSES)
        .leaves_out("SQLite in memory", CONNECTIONS)
        .leaves_out("PostgreSQL", TOKENS)
        .leaves_out("PostgreSQL, lease in a row", OUTSIDE)
        .driver("memory", MemorySetup::new(MemoryDriver::new))
        .driver("memory, no transactions", MemorySetup::new(MemoryDriver::without_transactions))
        .driver("SQLite", Files(concat!(env!("CARGO_TARGET_TMPDIR"), "/conformance").into()))
        .driver("SQLite in memory", InMemory::default())
        .leaves_out("settings", TOKENS)
        .leaves_out("settings", OF_SETTINGS)
        .driver("settings", SettingsFiles(concat!(env!("CARGO_TARGET_TMPDIR"), "/settings").into()))
        .leaves_out("JSON directory", TOKENS)
        .leaves_out("JSON directory", TRANSACTIONS)
        .leaves_out("JSON directory", GROUPS_AND_SLEEPERS)
        .driver("JSON directory", JsonFolders(concat!(env!("CARGO_TARGET_TMPDIR"), "/json_directory").into()));
    let suite = match server_url() {
        Some(url) => suite.driver("PostgreSQL", Schemas { url: url.clone(), lease: LeaseMode::Session }).driver(
            "PostgreSQL, lease in a row",
            Schemas { url, lease: LeaseMode::Row { ttl: Duration::from_millis(800) } },
        ),
        None => suite.missing("PostgreSQL", "there is no server; `./tests/run test` starts one, or set ADMMGT_PG_URL"),
    };
    let suite = match mongo_url() {
        Some(url) => suite.driver("MongoDB", Databases(url)),
        None => suite.missing("MongoDB", "there is no server; `./tests/run test` starts one, or set ADMMGT_MONGO_URL"),
    };
    let suite = match std::env::var("ADMMGT_TEST_MONGO_ALONE") {
        Ok(url) => suite.driver("MongoDB, standalone", Databases(url)),
        Err(_) => suite.missing("MongoDB, standalone", "there is no server; `./tests/run test` starts one"),
    };
    suite.main()
}

/// A file each, in a folder each.
struct Files(std::path::PathBuf);

#[async_trait]
impl Setup for Files {
    async fn database(&self, name: &str) -> Result<Arc<dyn Driver>> {
        let folder = self.0.join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        Ok(Arc::new(Sqlite::open(folder.join("app.db"))?))
    }

    fn script(&self, steps: &[Step<'_>]) -> Option<String> {
        Some(sql(steps))
    }

    async fn remove(&self, name: &str) {
        let _ = std::fs::remove_dir_all(self.0.join(name));
    }
}

/// A file each, in a folder each: the driver of the chapter.
struct SettingsFiles(std::path::PathBuf);

#[async_trait]
impl Setup for SettingsFiles {
    async fn database(&self, name: &str) -> Result<Arc<dyn Driver>> {
        let folder = self.0.join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        Ok(Arc::new(Settings(folder.join("settings.json"))))
    }

    fn script(&self, steps: &[Step<'_>]) -> Option<String> {
        let one = |step: &Step<'_>| match step {
            Step::Make(name) => Some(format!("add {name} 1\n")),
            Step::Drop(name) => Some(format!("remove {name}\n")),
            Step::Fail => Some("remove what_is_not_there\n".to_owned()),
            // A line is a statement, whatever is in it; nothing of it ends a transaction, takes long, or is repeated.
            _ => None,
        };
        steps.iter().map(one).collect()
    }

    async fn remove(&self, name: &str) {
        let _ = std::fs::remove_dir_all(self.0.join(name));
    }
}

/// A folder each.
struct JsonFolders(std::path::PathBuf);

#[async_trait]
impl Setup for JsonFolders {
    async fn database(&self, name: &str) -> Result<Arc<dyn Driver>> {
        let folder = self.0.join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        Ok(Arc::new(JsonDirectory(folder)))
    }

    fn script(&self, steps: &[Step<'_>]) -> Option<String> {
        let one = |step: &Step<'_>| match step {
            Step::Make(name) => Some(json!({"create": name, "document": {}}).to_string()),
            Step::Disguised(name) => Some(json!({"create": name, "document": {"it": "\"}}; {"}}).to_string()),
            Step::Drop(name) => Some(json!({"delete": name}).to_string()),
            Step::Fail => Some(json!({"delete": "what_is_not_there"}).to_string()),
            Step::Secret(word) => Some(json!({"merge": "what_is_not_there", "document": {"it": word}}).to_string()),
            Step::Endless => Some(r#"{"create": "words", "document": {"it": "never"#.to_owned()),
            // There is no transaction to end, and no command takes long.
            _ => None,
        };
        steps.iter().map(|step| Some(one(step)? + "\n")).collect()
    }

    async fn remove(&self, name: &str) {
        let _ = std::fs::remove_dir_all(self.0.join(name));
    }
}

/// One connection each.
#[derive(Default)]
struct InMemory(Mutex<HashMap<String, Sqlite>>);

#[async_trait]
impl Setup for InMemory {
    async fn database(&self, name: &str) -> Result<Arc<dyn Driver>> {
        let mut all = self.0.lock().expect("no panic");
        if !all.contains_key(name) {
            all.insert(name.to_owned(), Sqlite::memory()?);
        }
        Ok(Arc::new(all[name].clone()))
    }

    fn script(&self, steps: &[Step<'_>]) -> Option<String> {
        Some(sql(steps))
    }

    fn is_one_connection(&self) -> bool {
        true
    }
}

/// A database each, of a MongoDB server.
struct Databases(String);

const TTL: Duration = Duration::from_secs(2);

#[async_trait]
impl Setup for Databases {
    async fn database(&self, name: &str) -> Result<Arc<dyn Driver>> {
        Ok(Arc::new(Mongo::connect(&mongo_database(&self.0, name))?.lease_ttl(TTL)))
    }

    fn script(&self, steps: &[Step<'_>]) -> Option<String> {
        let one = |step: &Step<'_>| match step {
            Step::Make(name) => Some(format!("{{\"create\": \"{name}\"}}\n")),
            Step::Disguised(name) => Some(format!("{{\"create\": \"{name}\", \"comment\": \"}} {{ ; [ \\\" \"}}\n")),
            Step::Drop(name) => Some(format!("{{\"drop\": \"{name}\"}}\n")),
            Step::Fail => Some("{\"find\": \"words\", \"filter\": {\"$no\": 1}}\n".to_owned()),
            // The server repeats what is no number.
            Step::Secret(word) => Some(computed(&format!("{{\"$toInt\": \"{word}\"}}"))),
            Step::Sleep => Some(endless()),
            Step::Endless => Some("{\"insert\": \"words\", \"documents\": [{\"word\": \"never\n".to_owned()),
            // A command that would is refused before anything runs.
            _ => None,
        };
        steps.iter().map(one).collect()
    }

    async fn take_lease_away(&self, name: &str) -> Result<bool> {
        let free = doc! { "update": "_admmgt_state", "updates": [{ "q": { "_id": "lease" }, "u": { "$set": { "owner": null } } }] };
        run_command(&mongo_database(&self.0, name), free).await;
        Ok(true)
    }

    fn lease_ttl(&self) -> Option<Duration> {
        Some(TTL)
    }

    async fn remove(&self, name: &str) {
        run_command(&mongo_database(&self.0, name), doc! { "dropDatabase": 1 }).await;
    }
}

/// A command that computes a value.
fn computed(value: &str) -> String {
    let pipeline = format!("[{{\"$documents\": [{{}}]}}, {{\"$set\": {{\"value\": {value}}}}}]");
    format!("{{\"aggregate\": 1, \"pipeline\": {pipeline}, \"cursor\": {{}}}}\n")
}

/// A command that goes through so many documents that it takes hours.
fn endless() -> String {
    let times = |name| format!("{{\"$set\": {{\"{name}\": {{\"$range\": [0, 1000]}}}}}}, {{\"$unwind\": \"${name}\"}}");
    let all = ["a", "b", "c", "d"].map(times).join(", ");
    let none = "{\"$match\": {\"$expr\": {\"$eq\": [{\"$add\": [\"$a\", \"$b\", \"$c\", \"$d\"]}, -1]}}}";
    format!("{{\"aggregate\": 1, \"pipeline\": [{{\"$documents\": [{{}}]}}, {all}, {none}], \"cursor\": {{}}}}\n")
}

/// A schema each.
struct Schemas {
    url: String,
    lease: LeaseMode,
}

#[async_trait]
impl Setup for Schemas {
    async fn database(&self, name: &str) -> Result<Arc<dyn Driver>> {
        Ok(Arc::new(Postgres::connect(&self.url)?.schema(name)?.lease(self.lease)))
    }

    fn script(&self, steps: &[Step<'_>]) -> Option<String> {
        let one = |step: &Step<'_>| match step {
            // PostgreSQL repeats what is no number.
            Step::Secret(word) => format!("select '{word}'::int;\n"),
            other => sql(&[*other]),
        };
        Some(steps.iter().map(one).collect())
    }

    async fn take_lease_away(&self, name: &str) -> Result<bool> {
        let LeaseMode::Row { .. } = self.lease else { return Ok(false) };
        let free = format!(
            "do $$ begin if to_regclass('{name}._admmgt_lease') is not null then \
             update {name}._admmgt_lease set owner = null; end if; end $$"
        );
        admmgt_tests::run_at(&self.url, &free).await;
        Ok(true)
    }

    fn lease_ttl(&self) -> Option<Duration> {
        match self.lease {
            LeaseMode::Row { ttl } => Some(ttl),
            _ => None,
        }
    }

    async fn remove(&self, name: &str) {
        admmgt_tests::run_at(&self.url, &format!("drop schema if exists {name} cascade")).await;
    }
}
