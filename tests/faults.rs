//! Every fault of the catalogue, and for each backend the tests that show what happens then, or why it cannot happen.
//!
//! A fault without an entry fails this test, and so does an entry that names a test which is not there.

#![allow(missing_docs, clippy::expect_used)]

use std::path::Path;

/// What there is to say of a fault on a backend.
enum Fault {
    /// Tests that show it: `file::function`, from the root of the workspace.
    Shown(&'static [&'static str]),
    /// Why it cannot happen here, or not yet.
    Not(&'static str),
}

use Fault::{Not, Shown};

const TENANTS: &str = "concerns many databases at once, which nothing here runs yet";
const BACKFILL: &str = "there are no backfills yet";
const SQLITE: &str = "is about SQLite's files";

/// PostgreSQL, in order: the number that names of tests refer to, what happens, and what shows the rest.
const POSTGRES: [(u8, &str, Fault); 102] = [
    (1, "killed before the lease", Shown(&[SWEEP])),
    (2, "killed with the lease, before the first write", Shown(&[SWEEP])),
    (
        3,
        "killed while the history is created",
        Shown(&[SWEEP, "tests/postgres/crash.rs::killed_at_random_moments_it_converges"]),
    ),
    (4, "killed in a transaction", Shown(&[SWEEP])),
    (5, "killed between a change and its record", Shown(&[SWEEP])),
    (
        6,
        "the answer to a commit is lost",
        Shown(&["tests/postgres/environment.rs::a_commit_whose_answer_is_lost_is_reported_once"]),
    ),
    (7, "killed between two statements without a transaction", Shown(&[OUTSIDE])),
    (
        8,
        "killed in a statement without a transaction",
        Shown(&[OUTSIDE, "tests/postgres/crash.rs::killed_anywhere_a_migration_with_a_probe_converges_by_itself"]),
    ),
    (
        9,
        "killed while an index is built beside others' work",
        Shown(&["tests/postgres/indexes.rs::killed_while_it_builds_the_next_start_builds_it_again"]),
    ),
    (10, "killed on the way back", Shown(&["tests/postgres/crash.rs::f10_killed_on_the_way_back_each_step_is_whole"])),
    (
        11,
        "the client is killed in a long statement",
        Shown(&[
            "tests/postgres/crash.rs::f11_killed_in_a_long_statement_the_next_is_kept_out_until_the_server_has_ended_it",
        ]),
    ),
    (12, "killed in a backfill", Not(BACKFILL)),
    (13, "the coordinator of a rollout is killed", Not(TENANTS)),
    (14, "killed while a tenant is made", Not(TENANTS)),
    (15, "a signal asks the program to end", Shown(&["admmgt-cli/tests/postgres.rs::a_signal_ends_a_run_cleanly"])),
    (16, "a migration panics", Shown(&["tests/postgres/guard.rs::a_panic_is_a_failure_like_others"])),
    (
        17,
        "a run is dropped",
        Shown(&[
            "tests/postgres/environment.rs::a_run_that_is_dropped_in_a_long_statement_lets_go",
            "tests/postgres/races.rs::the_others_go_on_when_holders_are_cancelled_by_a_timeout",
        ]),
    ),
    (
        18,
        "many start at once",
        Shown(&["tests/postgres/races.rs::thirty_two_processes_on_an_empty_database_run_each_migration_once"]),
    ),
    (
        19,
        "many start at once, and build an index",
        Shown(&["tests/postgres/races.rs::thirty_two_processes_with_a_concurrent_index_end_without_a_deadlock"]),
    ),
    (
        20,
        "many versions of a program start at once",
        Shown(&["tests/postgres/races.rs::an_older_program_never_takes_back_what_a_newer_one_applied"]),
    ),
    (21, "up and down at once", Shown(&["tests/postgres/races.rs::f21_up_and_down_at_once_take_turns"])),
    (
        22,
        "the lease is waited for in vain",
        Shown(&["tests/postgres/races.rs::whoever_waits_too_long_is_told_who_has_the_lease"]),
    ),
    (
        23,
        "two schemas at once",
        Shown(&["tests/postgres/races.rs::many_schemas_of_one_database_are_migrated_at_the_same_time"]),
    ),
    (
        24,
        "many create the history at once",
        Shown(&[
            "tests/postgres/pooler.rs::thirty_two_processes_behind_a_pooler_run_each_migration_once",
            "tests/postgres/races.rs::many_schemas_of_one_database_are_migrated_at_the_same_time",
        ]),
    ),
    (
        25,
        "a pooler is in between",
        Shown(&[
            "tests/postgres/pooler.rs::a_pooler_is_found_out_and_refused",
            "tests/postgres/pooler.rs::with_the_lease_in_a_row_all_works_behind_a_pooler",
        ]),
    ),
    (
        26,
        "a holder of the lease sleeps too long",
        Shown(&["tests/postgres/pooler.rs::a_holder_that_slept_too_long_aborts_on_its_stale_token"]),
    ),
    (
        27,
        "a clock is wrong",
        Shown(&["tests/postgres/pooler.rs::f27_a_clock_that_is_wrong_by_an_hour_changes_nothing"]),
    ),
    (
        28,
        "the lease cannot be renewed",
        Shown(&["tests/postgres/pooler.rs::f28_a_holder_that_cannot_renew_stops_before_the_end_of_its_lease"]),
    ),
    (
        29,
        "the lease is taken away",
        Shown(&[
            "tests/postgres/guard.rs::a_body_that_lets_go_of_the_lease_is_found_out",
            "tests/postgres/pooler.rs::a_lease_that_cannot_be_renewed_stops_the_body",
        ]),
    ),
    (
        30,
        "two runs of one process, and one connection",
        Shown(&["tests/postgres/environment.rs::a_pool_without_a_free_connection_is_no_obstacle"]),
    ),
    (
        31,
        "an applied file was edited",
        Shown(&["tests/postgres/sources.rs::f31_f32_an_edit_of_applied_sql_is_refused_and_line_ends_are_none"]),
    ),
    (
        32,
        "only its line ends were",
        Shown(&["tests/postgres/sources.rs::f31_f32_an_edit_of_applied_sql_is_refused_and_line_ends_are_none"]),
    ),
    (
        33,
        "an applied file is gone",
        Shown(&["tests/postgres/sources.rs::f33_what_only_the_history_knows_is_ahead_unless_it_is_listed"]),
    ),
    (34, "it was renamed", Shown(&["tests/postgres/sources.rs::f34_a_rename_is_seen_and_put_right"])),
    (35, "two files of one name", Shown(&["tests/sqlite/refusals.rs::two_of_one_name_are_refused_with_both_places"])),
    (
        36,
        "two files of nearly one name",
        Shown(&["tests/sqlite/refusals.rs::two_of_one_name_are_refused_with_both_places"]),
    ),
    (
        37,
        "a file comes late",
        Shown(&["tests/postgres/sources.rs::f37_f40_one_that_comes_late_is_refused_unless_allowed"]),
    ),
    (38, "the graph has a cycle", Shown(&["tests/sqlite/refusals.rs::a_graph_that_is_none_is_refused"])),
    (39, "a dependency is unknown", Shown(&["tests/sqlite/refusals.rs::a_graph_that_is_none_is_refused"])),
    (
        40,
        "a dependency is not applied",
        Shown(&["tests/postgres/sources.rs::f37_f40_one_that_comes_late_is_refused_unless_allowed"]),
    ),
    (41, "there is no way back", Shown(&[WAY_BACK])),
    (42, "the way back loses data", Shown(&[WAY_BACK])),
    (43, "what is not applied is taken back", Shown(&[WAY_BACK])),
    (44, "the target is unknown", Shown(&[WAY_BACK])),
    (
        45,
        "an empty file",
        Shown(&["tests/postgres/sources.rs::f45_a_file_without_a_statement_is_refused_or_applied_as_none"]),
    ),
    (46, "bytes that are no text", Shown(&["tests/sqlite/refusals.rs::bytes_that_are_no_text_are_refused"])),
    (47, "a NUL byte", Shown(&["tests/sqlite/refusals.rs::bytes_that_are_no_text_are_refused"])),
    (48, "UTF-16", Shown(&["tests/sqlite/refusals.rs::bytes_that_are_no_text_are_refused"])),
    (49, "a large file", Shown(&["tests/postgres/sources.rs::f49_f50_large_files_and_large_statements_run"])),
    (50, "a large statement", Shown(&["tests/postgres/sources.rs::f49_f50_large_files_and_large_statements_run"])),
    (51, "a bad file name", Shown(&["tests/sqlite/refusals.rs::files_that_cannot_be_read_are_refused"])),
    (52, "a file that cannot be read", Shown(&["tests/sqlite/refusals.rs::files_that_cannot_be_read_are_refused"])),
    (
        53,
        "names that look like SQL",
        Shown(&[
            "tests/postgres/sources.rs::f53_a_name_that_would_be_cut_is_refused",
            "tests/postgres/damage.rs::names_that_look_like_sql_stay_names",
        ]),
    ),
    (
        54,
        "semicolons that are hidden",
        Shown(&[
            "tests/psql.rs::texts_that_hide_semicolons_are_split_as_psql_does",
            "tests/psql.rs::scripts_of_other_projects_are_split_as_psql_does",
        ]),
    ),
    (55, "functions that hold statements", Shown(&["tests/postgres/scripts.rs::whole_functions_are_one_statement"])),
    (
        56,
        "backslashes in strings",
        Shown(&["tests/postgres/environment.rs::strings_with_backslashes_are_read_as_the_script_is_split"]),
    ),
    (
        57,
        "lines for psql",
        Shown(&["tests/postgres/scripts.rs::meta_commands_are_refused_with_their_line_and_what_to_do"]),
    ),
    (
        58,
        "data behind COPY",
        Shown(&[
            "tests/postgres/scripts.rs::data_behind_copy_from_stdin_is_copied",
            "tests/postgres/scripts.rs::a_copy_without_its_data_is_refused_before_anything_runs",
        ]),
    ),
    (59, "a text that never ends", Shown(&["tests/postgres/scripts.rs::a_text_that_never_ends_is_refused"])),
    (
        60,
        "COMMIT in a migration",
        Shown(&["tests/postgres/guard.rs::a_body_that_ends_its_transaction_is_interrupted_and_never_applied"]),
    ),
    (
        61,
        "settings and roles in a migration",
        Shown(&["tests/postgres/guard.rs::settings_and_roles_are_put_back_behind_each_body"]),
    ),
    (
        62,
        "a migration lets go of the lease",
        Shown(&[
            "tests/postgres/guard.rs::a_file_that_would_let_go_of_everything_is_refused",
            "tests/postgres/guard.rs::a_statement_outside_that_lets_go_of_the_lease_is_found_out_before_the_next",
        ]),
    ),
    (
        63,
        "what cannot be in a transaction",
        Shown(&["tests/postgres/scripts.rs::what_cannot_be_in_a_transaction_is_known_before_anything_runs"]),
    ),
    (
        64,
        "a new value of an enum is used at once",
        Shown(&["tests/postgres/scripts.rs::a_new_value_of_an_enum_is_explained"]),
    ),
    (65, "the history is dropped", Shown(&["tests/postgres/guard.rs::a_body_that_drops_the_history_is_rolled_back"])),
    (
        66,
        "a flood of rows and notices",
        Shown(&["tests/postgres/scripts.rs::a_flood_of_notices_and_rows_is_read_and_dropped"]),
    ),
    (
        67,
        "secrets in SQL and URLs",
        Shown(&[
            "tests/postgres/scripts.rs::secrets_in_sql_are_not_repeated",
            "tests/postgres/environment.rs::why_there_is_no_connection_is_told_apart",
        ]),
    ),
    (
        68,
        "columns that are not ours",
        Shown(&["tests/postgres/damage.rs::columns_that_are_missing_are_added_and_others_left_alone"]),
    ),
    (
        69,
        "columns that are missing",
        Shown(&["tests/postgres/damage.rs::columns_that_are_missing_are_added_and_others_left_alone"]),
    ),
    (70, "a newer format", Shown(&["tests/postgres/damage.rs::a_history_of_a_newer_version_is_not_touched"])),
    (
        71,
        "garbage in the history",
        Shown(&["tests/postgres/damage.rs::a_damaged_record_is_named_by_its_row_and_column"]),
    ),
    (
        72,
        "the history of another tool",
        Shown(&["tests/postgres/adopt.rs::histories_of_other_tools_are_counted_in_and_left_alone"]),
    ),
    (
        73,
        "something else has our table's name",
        Shown(&["tests/postgres/damage.rs::something_else_with_the_name_of_our_table_is_told"]),
    ),
    (
        74,
        "an emptied history",
        Shown(&[
            "tests/postgres/damage.rs::a_damaged_record_is_named_by_its_row_and_column",
            "tests/postgres/adopt.rs::a_database_that_is_not_empty_is_not_run_over",
        ]),
    ),
    (75, "two histories", Shown(&["tests/postgres/damage.rs::two_histories_of_one_database_are_independent"])),
    (
        76,
        "a standby",
        Shown(&[
            "tests/postgres/standby.rs::a_standby_can_be_looked_at_and_refuses_to_be_migrated",
            "tests/postgres/environment.rs::a_database_that_may_only_be_read_is_refused_before_the_lease_and_can_be_looked_at",
        ]),
    ),
    (
        77,
        "the server fails over",
        Shown(&[
            "tests/postgres/standby.rs::a_run_goes_on_at_the_same_address_after_a_promotion",
            "tests/postgres/environment.rs::a_server_that_stops_in_the_middle_is_waited_for_and_nothing_is_done_twice",
            "tests/postgres/environment.rs::a_connection_that_is_ended_in_the_middle_is_opened_again",
        ]),
    ),
    (
        78,
        "rights are missing",
        Shown(&["tests/postgres/roles.rs::a_role_that_may_not_migrate_is_told_what_to_grant_and_leaves_nothing"]),
    ),
    (
        79,
        "a lock that is not had in time",
        Shown(&["tests/postgres/environment.rs::a_lock_that_is_not_had_in_time_is_asked_for_again_and_then_given_up"]),
    ),
    (
        80,
        "a statement takes too long",
        Shown(&["tests/postgres/environment.rs::a_statement_that_takes_too_long_is_cancelled_and_rolled_back"]),
    ),
    (
        81,
        "deadlocks",
        Shown(&["tests/postgres/environment.rs::deadlocks_and_serialization_failures_are_tried_again_as_a_whole"]),
    ),
    (
        82,
        "a full disk, too many connections",
        Shown(&[
            "tests/postgres/environment.rs::too_many_connections_is_a_kind_of_its_own",
            "tests/postgres/environment.rs::f82_a_full_disk_fails_the_migration_and_nothing_else",
        ]),
    ),
    (
        83,
        "there is no connection",
        Shown(&[
            "tests/postgres/environment.rs::why_there_is_no_connection_is_told_apart",
            "tests/postgres/environment.rs::a_wrong_password_is_no_failed_migration",
            "tests/postgres/environment.rs::a_server_that_starts_late_is_waited_for",
        ]),
    ),
    (84, "an old server", Shown(&["tests/postgres/environment.rs::a_server_that_is_too_old_is_refused_up_front"])),
    (
        85,
        "duplicates under a unique index",
        Shown(&["tests/postgres/indexes.rs::a_unique_index_on_duplicates_leaves_nothing_and_goes_on_after_the_fix"]),
    ),
    (
        86,
        "a constraint that does not hold",
        Shown(&["tests/postgres/environment.rs::a_constraint_that_does_not_hold_goes_on_after_the_fix"]),
    ),
    (87, "a template in use", Not(TENANTS)),
    (88, "a tenant's database is gone", Not(TENANTS)),
    (89, "too many failures", Not(TENANTS)),
    (90, "the template fails", Not(TENANTS)),
    (91, "the file is locked", Not(SQLITE)),
    (92, "a reader becomes a writer", Not(SQLITE)),
    (93, "a long reader", Not(SQLITE)),
    (94, "a full disk", Not(SQLITE)),
    (95, "a file that may only be read", Not(SQLITE)),
    (96, "a database in memory", Not(SQLITE)),
    (97, "a table is rebuilt: its children", Not(SQLITE)),
    (98, "a table is rebuilt: what belongs to it", Not(SQLITE)),
    (99, "VACUUM and the journal in a transaction", Not(SQLITE)),
    (100, "no database", Not(SQLITE)),
    (101, "a hot journal", Not(SQLITE)),
    (102, "an old library", Not(SQLITE)),
];

const SWEEP: &str = "tests/postgres/crash.rs::killed_anywhere_a_set_of_transactional_migrations_converges";
const OUTSIDE: &str =
    "tests/postgres/crash.rs::killed_anywhere_a_migration_without_a_transaction_is_never_rerun_or_skipped_silently";
const WAY_BACK: &str = "tests/postgres/sources.rs::f41_f43_f44_the_way_back_is_checked_before_its_first_step";

#[test]
fn every_fault_has_its_test_or_its_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    for (expected, (number, _, fault)) in (1..).zip(&POSTGRES) {
        assert_eq!(*number, expected, "F{expected:02} has no entry");
        match fault {
            Not(reason) => assert!(reason.len() > 10, "F{number:02}: {reason}"),
            Shown(tests) => {
                assert!(!tests.is_empty(), "F{number:02} has no test");
                tests.iter().for_each(|test| check_is_there(root, *number, test));
            }
        }
    }
}

fn check_is_there(root: &Path, number: u8, test: &str) {
    let (file, function) = test.split_once("::").expect("file::function");
    let text = std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("F{number:02}: {file}: {error}"));
    let (before, _) = text.split_once(&format!("fn {function}(")).unwrap_or_else(|| panic!("F{number:02}: no {test}"));
    let attribute = before.trim_end().trim_end_matches("async").trim_end().lines().next_back().unwrap_or_default();
    assert!(attribute.contains("test"), "F{number:02}: {test} is no test");
}
