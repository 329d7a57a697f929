//! Every fault of the catalogue, and for each backend the tests that show what happens then, or why it cannot happen.
//!
//! A fault without an entry fails this test, and so does an entry that names a test which is not there.

#![allow(missing_docs, clippy::expect_used)]

use std::path::Path;

/// What there is to say of a fault on a backend.
enum Fault {
    /// Tests that show it, as `folder/file::function` with the folders of [`FOLDERS`].
    Shown(&'static [&'static str]),
    /// Why it cannot happen here, or not yet.
    Not(&'static str),
}

use Fault::{Not, Shown};

/// Where the tests are, by the beginnings of their names.
const FOLDERS: [(&str, &str); 12] = [
    // The conformance suite, which runs on every driver.
    ("suite/", "admmgt-testkit/src/suite/"),
    ("sqlite/", "tests/sqlite/"),
    ("postgres/", "tests/postgres/"),
    ("mongo/", "tests/mongo/"),
    ("mongo-", "admmgt-mongo/src/"),
    ("cli/", "admmgt-cli/tests/"),
    ("core/", "admmgt-core/tests/"),
    ("sqlite-split", "admmgt-sqlite/tests/split"),
    ("sqlite-script", "admmgt-sqlite/src/script/tests"),
    ("sqlite-dialect", "admmgt-sqlite/src/dialect/tests"),
    ("sqlite-measured", "admmgt-sqlite/src/dialect/tests/measured"),
    ("", "tests/"),
];

const TENANTS: &str = "concerns many databases at once, which nothing here runs yet";
const SQLITE: &str = "is about SQLite's files";
const MONGO: &str = "is about MongoDB";
const SQL: &str = "is about SQL, or what only servers of SQL have";
const REBUILD: &str =
    "nothing here rebuilds a table by itself yet; what a migration's own SQL does to it is its author's";
const LIBRARY: &str = "nothing of ours needs what an old library lacks: the oldest that rusqlite compiles in is tested (`oldest_rusqlite`)";

/// In order: the number that names of tests refer to, what happens, and what shows the rest on SQLite, on PostgreSQL and on MongoDB.
#[rustfmt::skip]
const FAULTS: [(u8, &str, Fault, Fault, Fault); 114] = [
    (1, "killed before the lease", Shown(&["suite/crash::killed_at_any_call"]), Shown(&["suite/crash::killed_at_any_call", "postgres/crash::killed_anywhere_a_set_of_transactional_migrations_converges"]), Shown(&["suite/crash::killed_at_any_call"])),
    (2, "killed with the lease, before the first write", Shown(&["suite/crash::killed_at_any_call"]), Shown(&["suite/crash::killed_at_any_call", "postgres/crash::killed_anywhere_a_set_of_transactional_migrations_converges"]), Shown(&["suite/crash::killed_at_any_call"])),
    (3, "killed while the history is created", Shown(&["suite/crash::killed_at_any_call", "sqlite/crash::killed_at_random_moments_inside_sqlite_it_converges"]), Shown(&["suite/crash::killed_at_any_call", "postgres/crash::killed_anywhere_a_set_of_transactional_migrations_converges", "postgres/crash::killed_at_random_moments_it_converges"]), Shown(&["suite/crash::killed_at_any_call"])),
    (4, "killed in a transaction", Shown(&["suite/crash::killed_at_any_call", "suite/crash::killed_at_any_call_of_a_group", "sqlite/crash::killed_anywhere_a_set_of_transactional_migrations_converges"]), Shown(&["suite/crash::killed_at_any_call", "suite/crash::killed_at_any_call_of_a_group", "postgres/crash::killed_anywhere_a_set_of_transactional_migrations_converges"]), Shown(&["suite/crash::killed_at_any_call", "suite/crash::killed_at_any_call_of_a_group"])),
    (5, "killed between a change and its record", Shown(&["suite/crash::killed_at_any_call"]), Shown(&["suite/crash::killed_at_any_call", "postgres/crash::killed_anywhere_a_set_of_transactional_migrations_converges"]), Shown(&["suite/crash::killed_at_any_call"])),
    (6, "the answer to a commit is lost", Shown(&["suite/crash::a_lost_answer_at_any_call"]), Shown(&["suite/crash::a_lost_answer_at_any_call", "postgres/environment::a_commit_whose_answer_is_lost_is_reported_once"]), Shown(&["suite/crash::a_lost_answer_at_any_call", "mongo/failing::whatever_the_server_does_once_in_a_transaction_the_run_or_the_next_one_converges"])),
    (7, "killed between two statements without a transaction", Shown(&["suite/crash::killed_at_any_call_without_a_transaction", "sqlite/crash::killed_anywhere_a_migration_without_a_transaction_is_never_rerun_or_skipped_silently"]), Shown(&["suite/crash::killed_at_any_call_without_a_transaction", "postgres/crash::killed_anywhere_a_migration_without_a_transaction_is_never_rerun_or_skipped_silently"]), Shown(&["suite/crash::killed_at_any_call_without_a_transaction"])),
    (8, "killed in a statement without a transaction", Shown(&["suite/crash::killed_at_any_call_without_a_transaction", "suite/crash::killed_at_any_call_in_code_without_a_transaction", "sqlite/crash::killed_anywhere_a_migration_with_a_probe_converges_by_itself"]), Shown(&["suite/crash::killed_at_any_call_without_a_transaction", "suite/crash::killed_at_any_call_in_code_without_a_transaction", "postgres/crash::killed_anywhere_a_migration_without_a_transaction_is_never_rerun_or_skipped_silently", "postgres/crash::killed_anywhere_a_migration_with_a_probe_converges_by_itself"]), Shown(&["suite/crash::killed_at_any_call_without_a_transaction", "suite/crash::killed_at_any_call_in_code_without_a_transaction"])),
    (9, "killed while an index is built beside others' work", Not("SQLite builds no index beside others' work: it is made in the transaction, or is not there"), Shown(&["postgres/indexes::killed_while_it_builds_the_next_start_builds_it_again"]), Not("an index of MongoDB is there as a whole or not at all: F106")),
    (10, "killed on the way back", Shown(&["suite/crash::killed_at_any_call_on_the_way_back"]), Shown(&["suite/crash::killed_at_any_call_on_the_way_back"]), Shown(&["suite/crash::killed_at_any_call_on_the_way_back"])),
    (11, "the client is killed in a long statement", Not("a statement of SQLite runs in the process, and ends with it"), Shown(&["postgres/crash::f11_killed_in_a_long_statement_the_next_is_kept_out_until_the_server_has_ended_it"]), Shown(&["mongo/dropped::f11_what_still_runs_of_a_run_that_is_gone_ends_first", "mongo/races::the_others_go_on_when_the_holder_is_killed_in_a_transaction"])),
    (12, "killed in a backfill", Shown(&["sqlite/backfill::killed_anywhere_a_backfill_goes_on", "sqlite/backfill::killed_at_random_moments_a_backfill_goes_on"]), Shown(&["postgres/backfill::killed_anywhere_a_backfill_goes_on", "postgres/backfill::killed_at_random_moments_a_backfill_goes_on"]), Shown(&["mongo/backfill::killed_anywhere_a_backfill_goes_on", "mongo/backfill::killed_at_random_moments_a_backfill_goes_on", "mongo/backfill::killed_at_random_moments_on_a_standalone_a_backfill_goes_on"])),
    (13, "the coordinator of a rollout is killed", Not(TENANTS), Not(TENANTS), Not(TENANTS)),
    (14, "killed while a tenant is made", Not(TENANTS), Not(TENANTS), Not(TENANTS)),
    (15, "a signal asks the program to end", Shown(&["cli/transcript::a_signal_ends_a_run_cleanly"]), Shown(&["cli/postgres::a_signal_ends_a_run_cleanly"]), Shown(&["suite/turns::a_run_that_is_dropped_lets_go", "cli/mongo::a_signal_ends_a_run_cleanly"])),
    (16, "a migration panics", Shown(&["suite/turns::a_run_that_panics_lets_go", "sqlite/cancel::a_panic_in_a_plain_body_is_a_failure", "sqlite/cancel::a_panic_in_an_async_body_is_a_failure"]), Shown(&["suite/turns::a_run_that_panics_lets_go", "postgres/guard::a_panic_is_a_failure_like_others"]), Shown(&["suite/turns::a_run_that_panics_lets_go"])),
    (17, "a run is dropped", Shown(&["suite/turns::a_run_that_is_dropped_lets_go", "sqlite/cancel::dropped_at_any_moment_a_run_converges", "sqlite/cancel::a_timeout_is_a_drop_like_any_other"]), Shown(&["suite/turns::a_run_that_is_dropped_lets_go", "postgres/environment::a_run_that_is_dropped_in_a_long_statement_lets_go", "postgres/races::the_others_go_on_when_holders_are_cancelled_by_a_timeout"]), Shown(&["suite/turns::a_run_that_is_dropped_lets_go", "mongo/dropped::what_a_run_that_was_dropped_still_does_is_ended_and_then_the_lease_is_free"])),
    (18, "many start at once", Shown(&["suite/races::processes_that_start_at_once_run_each_migration_once", "sqlite/races::thirty_two_processes_on_one_empty_file_run_each_migration_once"]), Shown(&["suite/races::processes_that_start_at_once_run_each_migration_once", "postgres/races::thirty_two_processes_on_an_empty_database_run_each_migration_once"]), Shown(&["suite/races::processes_that_start_at_once_run_each_migration_once", "mongo/races::thirty_two_processes_run_each_migration_once"])),
    (19, "many start at once, and build an index", Not("SQLite builds no index beside others' work"), Shown(&["postgres/races::thirty_two_processes_with_a_concurrent_index_end_without_a_deadlock"]), Shown(&["mongo/races::many_that_build_indexes_in_two_histories_at_once_build_each_once"])),
    (20, "many versions of a program start at once", Shown(&["sqlite/races::an_older_program_never_takes_back_what_a_newer_one_applied"]), Shown(&["postgres/races::an_older_program_never_takes_back_what_a_newer_one_applied"]), Shown(&["suite/planning::what_only_the_history_knows_is_ahead_unless_it_is_listed", "mongo/races::f20_an_older_program_never_takes_back_what_a_newer_one_applied"])),
    (21, "up and down at once", Shown(&["suite/races::up_and_down_at_once_take_turns"]), Shown(&["suite/races::up_and_down_at_once_take_turns", "postgres/races::f21_up_and_down_at_once_take_turns"]), Shown(&["suite/races::up_and_down_at_once_take_turns"])),
    (22, "the lease is waited for in vain", Shown(&["suite/turns::whoever_waits_in_vain_is_told_who_has_it", "sqlite/races::whoever_waits_too_long_is_told_who_has_the_lease"]), Shown(&["suite/turns::whoever_waits_in_vain_is_told_who_has_it", "postgres/races::whoever_waits_too_long_is_told_who_has_the_lease"]), Shown(&["suite/turns::whoever_waits_in_vain_is_told_who_has_it", "mongo/races::whoever_waits_too_long_is_told_who_has_the_lease"])),
    (23, "two schemas at once", Shown(&["sqlite/races::another_namespace_on_the_same_file_is_not_disturbed"]), Shown(&["postgres/races::many_schemas_of_one_database_are_migrated_at_the_same_time"]), Shown(&["mongo/races::many_that_build_indexes_in_two_histories_at_once_build_each_once"])),
    (24, "many create the history at once", Shown(&["sqlite/races::thirty_two_processes_on_one_empty_file_run_each_migration_once", "sqlite/races::looking_while_the_history_is_made_is_no_error"]), Shown(&["postgres/pooler::thirty_two_processes_behind_a_pooler_run_each_migration_once", "postgres/races::many_schemas_of_one_database_are_migrated_at_the_same_time"]), Shown(&["mongo/races::thirty_two_processes_run_each_migration_once"])),
    (25, "a pooler is in between", Not("nothing stands between a program and its file"), Shown(&["postgres/pooler::a_pooler_is_found_out_and_refused", "postgres/pooler::with_the_lease_in_a_row_all_works_behind_a_pooler"]), Not("there is no pooler that would share a session")),
    (26, "a holder of the lease sleeps too long", Shown(&["suite/races::a_holder_that_sleeps_is_waited_for_or_writes_nothing_afterwards"]), Shown(&["suite/races::a_holder_that_sleeps_is_waited_for_or_writes_nothing_afterwards", "postgres/pooler::a_holder_that_slept_too_long_aborts_on_its_stale_token"]), Shown(&["suite/races::a_holder_that_sleeps_is_waited_for_or_writes_nothing_afterwards", "mongo/races::a_holder_that_slept_too_long_aborts", "mongo/races::a_holder_that_slept_too_long_on_a_standalone_records_nothing"])),
    (27, "a clock is wrong", Shown(&["sqlite/races::f27_a_clock_that_is_wrong_by_an_hour_changes_nothing"]), Shown(&["postgres/pooler::f27_a_clock_that_is_wrong_by_an_hour_changes_nothing"]), Shown(&["mongo/races::f27_a_clock_that_is_wrong_by_an_hour_changes_nothing"])),
    (28, "the lease cannot be renewed", Not("its lease is a lock of the operating system, which is not renewed and does not end"), Shown(&["postgres/pooler::f28_a_holder_that_cannot_renew_stops_before_the_end_of_its_lease"]), Shown(&["suite/lease::it_is_kept_for_as_long_as_its_holder_works", "mongo/races::a_holder_that_slept_too_long_aborts", "mongo/failing::f28_a_lease_that_cannot_be_renewed_ends_the_body_in_time"])),
    (29, "the lease is taken away", Shown(&["sqlite/races::a_lease_that_was_taken_away_stops_the_run", "sqlite/races::a_history_written_behind_our_back_stops_the_run"]), Shown(&["postgres/guard::a_body_that_lets_go_of_the_lease_is_found_out", "postgres/pooler::a_lease_that_cannot_be_renewed_stops_the_body"]), Shown(&["mongo/fencing::f29_a_lease_that_is_handed_back_by_hand_stops_the_run", "suite/lease::one_that_was_taken_away_is_noticed", "suite/lease::a_body_ends_when_its_lease_is_lost", "mongo/backfill::without_the_lease_no_batch_is_committed"])),
    (30, "two runs of one process, and one connection", Shown(&["sqlite/races::one_connection_is_not_given_to_two_runs_at_once"]), Shown(&["postgres/environment::a_pool_without_a_free_connection_is_no_obstacle"]), Shown(&["mongo/fencing::f30_a_lease_is_renewed_where_one_connection_is_allowed", "mongo/fencing::f30_two_runs_over_one_connection_take_turns"])),
    (31, "an applied file was edited", Shown(&["suite/planning::an_edited_text_is_refused", "sqlite/refusals::an_edit_of_applied_sql_is_shown_line_by_line"]), Shown(&["suite/planning::an_edited_text_is_refused", "postgres/sources::f31_f32_an_edit_of_applied_sql_is_refused_and_line_ends_are_none"]), Shown(&["suite/planning::an_edited_text_is_refused", "mongo/everyday::an_edit_of_what_was_applied_is_refused"])),
    (32, "only its line ends were", Shown(&["suite/text::line_ends_and_a_byte_order_mark_are_no_edit", "suite/planning::an_edited_text_is_refused"]), Shown(&["suite/text::line_ends_and_a_byte_order_mark_are_no_edit", "postgres/sources::f31_f32_an_edit_of_applied_sql_is_refused_and_line_ends_are_none"]), Shown(&["suite/text::line_ends_and_a_byte_order_mark_are_no_edit"])),
    (33, "an applied file is gone", Shown(&["suite/planning::what_only_the_history_knows_is_ahead_unless_it_is_listed", "suite/planning::what_is_missing_under_a_pending_one_is_refused"]), Shown(&["suite/planning::what_only_the_history_knows_is_ahead_unless_it_is_listed", "suite/planning::what_is_missing_under_a_pending_one_is_refused"]), Shown(&["suite/planning::what_only_the_history_knows_is_ahead_unless_it_is_listed", "suite/planning::what_is_missing_under_a_pending_one_is_refused"])),
    (34, "it was renamed", Shown(&["suite/planning::a_rename_is_seen_and_put_right"]), Shown(&["suite/planning::a_rename_is_seen_and_put_right"]), Shown(&["suite/planning::a_rename_is_seen_and_put_right"])),
    (35, "two files of one name", Shown(&["sqlite/refusals::two_of_one_name_are_refused_with_both_places"]), Shown(&["sqlite/refusals::two_of_one_name_are_refused_with_both_places"]), Shown(&["sqlite/refusals::two_of_one_name_are_refused_with_both_places"])),
    (36, "two files of nearly one name", Shown(&["sqlite/refusals::two_of_one_name_are_refused_with_both_places"]), Shown(&["sqlite/refusals::two_of_one_name_are_refused_with_both_places"]), Shown(&["sqlite/refusals::two_of_one_name_are_refused_with_both_places"])),
    (37, "a file comes late", Shown(&["suite/planning::one_that_comes_late_is_refused_unless_it_is_allowed"]), Shown(&["suite/planning::one_that_comes_late_is_refused_unless_it_is_allowed"]), Shown(&["suite/planning::one_that_comes_late_is_refused_unless_it_is_allowed"])),
    (38, "the graph has a cycle", Shown(&["sqlite/refusals::a_graph_that_is_none_is_refused"]), Shown(&["sqlite/refusals::a_graph_that_is_none_is_refused"]), Shown(&["sqlite/refusals::a_graph_that_is_none_is_refused"])),
    (39, "a dependency is unknown", Shown(&["sqlite/refusals::a_graph_that_is_none_is_refused"]), Shown(&["sqlite/refusals::a_graph_that_is_none_is_refused"]), Shown(&["sqlite/refusals::a_graph_that_is_none_is_refused"])),
    (40, "a dependency is not applied", Shown(&["suite/planning::what_is_missing_under_a_pending_one_is_refused", "cli/branches::one_number_on_two_branches"]), Shown(&["suite/planning::what_is_missing_under_a_pending_one_is_refused", "cli/branches::one_number_on_two_branches"]), Shown(&["suite/planning::what_is_missing_under_a_pending_one_is_refused"])),
    (41, "there is no way back", Shown(&["suite/planning::the_way_back_is_checked_before_its_first_step"]), Shown(&["suite/planning::the_way_back_is_checked_before_its_first_step"]), Shown(&["suite/planning::the_way_back_is_checked_before_its_first_step"])),
    (42, "the way back loses data", Shown(&["suite/planning::the_way_back_is_checked_before_its_first_step", "core/engine::the_whole_way_back_is_checked_before_its_first_step"]), Shown(&["suite/planning::the_way_back_is_checked_before_its_first_step", "core/engine::the_whole_way_back_is_checked_before_its_first_step"]), Shown(&["suite/planning::the_way_back_is_checked_before_its_first_step"])),
    (43, "what is not applied is taken back", Shown(&["suite/planning::what_is_not_applied_is_not_taken_back", "core/engine::the_way_back_goes_last_first_and_is_recorded"]), Shown(&["suite/planning::what_is_not_applied_is_not_taken_back", "core/engine::the_way_back_goes_last_first_and_is_recorded"]), Shown(&["suite/planning::what_is_not_applied_is_not_taken_back"])),
    (44, "the target is unknown", Shown(&["suite/planning::a_target_that_is_not_there_is_refused"]), Shown(&["suite/planning::a_target_that_is_not_there_is_refused"]), Shown(&["suite/planning::a_target_that_is_not_there_is_refused"])),
    (45, "an empty file", Shown(&["suite/text::an_empty_text_is_refused_unless_it_is_allowed", "sqlite/refusals::files_without_a_statement_are_refused"]), Shown(&["suite/text::an_empty_text_is_refused_unless_it_is_allowed", "postgres/sources::f45_a_file_without_a_statement_is_refused_or_applied_as_none"]), Shown(&["suite/text::an_empty_text_is_refused_unless_it_is_allowed"])),
    (46, "bytes that are no text", Shown(&["sqlite/refusals::bytes_that_are_no_text_are_refused"]), Shown(&["sqlite/refusals::bytes_that_are_no_text_are_refused"]), Shown(&["sqlite/refusals::bytes_that_are_no_text_are_refused"])),
    (47, "a NUL byte", Shown(&["sqlite/refusals::bytes_that_are_no_text_are_refused"]), Shown(&["sqlite/refusals::bytes_that_are_no_text_are_refused"]), Shown(&["sqlite/refusals::bytes_that_are_no_text_are_refused"])),
    (48, "UTF-16", Shown(&["sqlite/refusals::bytes_that_are_no_text_are_refused"]), Shown(&["sqlite/refusals::bytes_that_are_no_text_are_refused"]), Shown(&["sqlite/refusals::bytes_that_are_no_text_are_refused"])),
    (49, "a large file", Shown(&["sqlite/large::a_large_file_runs_like_a_small_one", "sqlite/large::a_large_file_goes_on_where_it_was_interrupted"]), Shown(&["postgres/sources::f49_f50_large_files_and_large_statements_run"]), Shown(&["suite/limits::many_statements_of_one_migration_run", "mongo/everyday::large_texts_and_statements_run_and_what_is_too_large_is_told"])),
    (50, "a large statement", Shown(&["sqlite/everyday::a_body_of_several_megabytes_runs_and_is_not_archived"]), Shown(&["postgres/sources::f49_f50_large_files_and_large_statements_run"]), Shown(&["suite/limits::a_large_statement_runs", "mongo/everyday::large_texts_and_statements_run_and_what_is_too_large_is_told"])),
    (51, "a bad file name", Shown(&["sqlite/refusals::files_that_cannot_be_read_are_refused"]), Shown(&["sqlite/refusals::files_that_cannot_be_read_are_refused"]), Shown(&["sqlite/refusals::files_that_cannot_be_read_are_refused"])),
    (52, "a file that cannot be read", Shown(&["sqlite/refusals::files_that_cannot_be_read_are_refused"]), Shown(&["sqlite/refusals::files_that_cannot_be_read_are_refused"]), Shown(&["sqlite/refusals::files_that_cannot_be_read_are_refused"])),
    (53, "names that look like SQL", Shown(&["sqlite/refusals::odd_names_are_stored_and_read_as_they_are", "sqlite/refusals::names_that_are_none_are_refused", "sqlite/places::odd_paths_are_opened_as_they_are"]), Shown(&["postgres/sources::f53_a_name_that_would_be_cut_is_refused", "postgres/damage::names_that_look_like_sql_stay_names"]), Not(SQL)),
    (54, "semicolons that are hidden", Shown(&["splitter::the_texts_that_splitters_get_wrong_end_where_sqlite_says", "sqlite-split::the_texts_of_other_projects_are_split_as_sqlite_splits_them"]), Shown(&["psql::texts_that_hide_semicolons_are_split_as_psql_does", "psql::scripts_of_other_projects_are_split_as_psql_does"]), Not("the ends of commands are those of JSON: F59")),
    (55, "functions that hold statements", Shown(&["sqlite-script::a_trigger_is_one_statement"]), Shown(&["postgres/scripts::whole_functions_are_one_statement"]), Not("commands in JSON hold no functions of the server")),
    (56, "backslashes in strings", Not("SQLite has no such setting: a backslash is a backslash"), Shown(&["postgres/environment::strings_with_backslashes_are_read_as_the_script_is_split"]), Not(SQL)),
    (57, "lines for psql", Shown(&["sqlite-script::commands_of_the_shell_are_named_and_the_text_goes_on", "sqlite-dialect::commands_that_only_the_shell_hears_are_left_out_in_any_mode"]), Shown(&["postgres/scripts::meta_commands_are_refused_with_their_line_and_what_to_do"]), Not(SQL)),
    (58, "data behind COPY", Not("SQLite has no COPY"), Shown(&["postgres/scripts::data_behind_copy_from_stdin_is_copied", "postgres/scripts::a_copy_without_its_data_is_refused_before_anything_runs"]), Not(SQL)),
    (59, "a text that never ends", Shown(&["suite/text::a_text_that_never_ends_is_refused_before_anything_runs", "sqlite/refusals::text_that_never_ends_is_refused_where_it_starts"]), Shown(&["suite/text::a_text_that_never_ends_is_refused_before_anything_runs", "postgres/scripts::a_text_that_never_ends_is_refused"]), Shown(&["suite/text::a_text_that_never_ends_is_refused_before_anything_runs"])),
    (60, "COMMIT in a migration", Shown(&["suite/executor::a_text_that_ends_its_transaction_is_never_applied_by_half", "suite/executor::code_that_ends_its_transaction_is_never_applied_by_half", "sqlite/guard::transaction_control_in_a_body_fails_the_migration", "sqlite/refusals::a_file_that_is_one_transaction_is_joined_to_its_record"]), Shown(&["suite/executor::a_text_that_ends_its_transaction_is_never_applied_by_half", "suite/executor::code_that_ends_its_transaction_is_never_applied_by_half", "postgres/guard::a_body_that_ends_its_transaction_is_interrupted_and_never_applied"]), Shown(&["mongo-dialect::what_is_no_command_is_told_with_its_place"])),
    (61, "settings and roles in a migration", Shown(&["sqlite/guard::nothing_leaks_into_the_next_migration", "sqlite/guard::a_setting_of_one_migration_does_not_reach_the_next"]), Shown(&["postgres/guard::settings_and_roles_are_put_back_behind_each_body"]), Not(SQL)),
    (62, "a migration lets go of the lease", Not("no statement of SQLite lets go of a lock of the operating system"), Shown(&["postgres/guard::a_file_that_would_let_go_of_everything_is_refused", "postgres/guard::a_statement_outside_that_lets_go_of_the_lease_is_found_out_before_the_next"]), Not(SQL)),
    (63, "what cannot be in a transaction", Shown(&["sqlite/refusals::a_vacuum_alone_runs_without_a_transaction", "sqlite-dialect::a_mix_is_refused_statement_by_statement"]), Shown(&["postgres/scripts::what_cannot_be_in_a_transaction_is_known_before_anything_runs"]), Shown(&["mongo/everyday::f108_what_cannot_be_in_a_transaction_runs_without_one"])),
    (64, "a new value of an enum is used at once", Not("SQLite has no enums"), Shown(&["postgres/scripts::a_new_value_of_an_enum_is_explained"]), Not(SQL)),
    (65, "the history is dropped", Shown(&["sqlite/guard::the_history_is_written_by_the_executor_alone", "sqlite/guard::a_history_dropped_outside_a_transaction_comes_back"]), Shown(&["postgres/guard::a_body_that_drops_the_history_is_rolled_back"]), Shown(&["mongo/damage::a_history_that_was_emptied_is_refused"])),
    (66, "a flood of rows and notices", Shown(&["sqlite/everyday::rows_that_a_statement_returns_are_drained"]), Shown(&["postgres/scripts::a_flood_of_notices_and_rows_is_read_and_dropped"]), Not(SQL)),
    (67, "secrets in SQL and URLs", Shown(&["sqlite/regression::literals_of_a_failing_statement_are_not_told", "sqlite/places::paths_and_urls_that_name_no_file_are_refused"]), Shown(&["postgres/scripts::secrets_in_sql_are_not_repeated", "postgres/guard::no_value_is_put_on_record_from_within_an_error_of_the_bodys_own", "postgres/unreachable::why_there_is_no_connection_is_told_apart"]), Shown(&["mongo/everyday::no_value_is_put_on_record"])),
    (68, "columns that are not ours", Shown(&["sqlite/damage::columns_that_this_version_does_not_know_are_ignored"]), Shown(&["postgres/damage::columns_that_are_missing_are_added_and_others_left_alone"]), Shown(&["mongo/damage::fields_of_another_version_are_no_obstacle"])),
    (69, "columns that are missing", Shown(&["sqlite/damage::f69_columns_that_an_older_version_had_not_are_added"]), Shown(&["postgres/damage::columns_that_are_missing_are_added_and_others_left_alone"]), Shown(&["mongo/damage::fields_of_another_version_are_no_obstacle"])),
    (70, "a newer format", Shown(&["sqlite/damage::a_format_that_is_newer_or_none_is_refused"]), Shown(&["postgres/damage::a_history_of_a_newer_version_is_not_touched"]), Shown(&["mongo/damage::f70_what_a_newer_version_wrote_is_not_touched"])),
    (71, "garbage in the history", Shown(&["sqlite/damage::each_column_of_a_damaged_record_is_named", "sqlite/damage::the_heads_of_a_damaged_record_are_named"]), Shown(&["postgres/damage::a_damaged_record_is_named_by_its_row_and_column"]), Shown(&["mongo/damage::a_garbage_record_is_named", "mongo/damage::heads_that_cannot_be_read_are_named"])),
    (72, "the history of another tool", Shown(&["sqlite/adopt::histories_of_other_tools_are_counted_in_and_left_alone", "sqlite/adopt::nothing_runs_over_what_another_tool_has_done"]), Shown(&["postgres/adopt::histories_of_other_tools_are_counted_in_and_left_alone"]), Shown(&["mongo/adopt::histories_of_other_tools_are_counted_in_and_left_alone"])),
    (73, "something else has our table's name", Shown(&["sqlite/damage::rows_and_tables_that_were_taken_away_are_missed"]), Shown(&["postgres/damage::something_else_with_the_name_of_our_table_is_told"]), Shown(&["mongo/damage::a_view_in_our_place_is_no_history"])),
    (74, "an emptied history", Shown(&["sqlite/damage::a_history_emptied_by_hand_is_not_taken_for_a_new_one", "sqlite/adopt::what_is_there_already_is_found_before_anything_runs"]), Shown(&["postgres/damage::a_damaged_record_is_named_by_its_row_and_column", "postgres/adopt::a_database_that_is_not_empty_is_not_run_over"]), Shown(&["mongo/damage::a_history_that_was_emptied_is_refused", "mongo/damage::a_record_that_is_gone_is_missed"])),
    (75, "two histories", Not("the history of a file has one name: sets share it by their namespaces (`several_sets_share_one_database`)"), Shown(&["postgres/damage::two_histories_of_one_database_are_independent"]), Shown(&["mongo/everyday::two_histories_share_a_database"])),
    (76, "a standby", Shown(&["sqlite/places::what_may_not_be_written_is_not_and_says_so", "sqlite/places::whoever_may_only_read_starts_when_nothing_is_pending"]), Shown(&["postgres/standby::a_standby_can_be_looked_at_and_refuses_to_be_migrated", "postgres/environment::a_database_that_may_only_be_read_is_refused_before_the_lease_and_can_be_looked_at"]), Shown(&["mongo/failing::a_secondary_is_told_to_be_one"])),
    (77, "the server fails over", Not("there is no server that could fail over"), Shown(&["postgres/standby::a_run_goes_on_at_the_same_address_after_a_promotion", "postgres/environment::a_server_that_stops_in_the_middle_is_waited_for_and_nothing_is_done_twice", "postgres/environment::a_connection_that_is_ended_in_the_middle_is_opened_again"]), Shown(&["mongo/failing::a_step_down_in_the_middle_is_got_over", "mongo/failing::a_server_that_is_killed_in_the_middle_comes_back_with_all_that_was_committed"])),
    (78, "rights are missing", Shown(&["sqlite/places::what_may_not_be_written_is_not_and_says_so"]), Shown(&["postgres/roles::a_role_that_may_not_migrate_is_told_what_to_grant_and_leaves_nothing"]), Shown(&["mongo/failing::a_right_that_is_missing_is_told"])),
    (79, "a lock that is not had in time", Shown(&["sqlite/races::a_lock_that_was_not_had_in_time_is_asked_for_again"]), Shown(&["postgres/environment::a_lock_that_is_not_had_in_time_is_asked_for_again_and_then_given_up"]), Shown(&["mongo/failing::whatever_the_server_does_once_in_a_transaction_the_run_or_the_next_one_converges"])),
    (80, "a statement takes too long", Shown(&["suite/limits::a_statement_that_takes_too_long_is_cut_short", "sqlite/everyday::a_statement_that_runs_too_long_is_stopped"]), Shown(&["suite/limits::a_statement_that_takes_too_long_is_cut_short", "postgres/environment::a_statement_that_takes_too_long_is_cancelled_and_rolled_back"]), Shown(&["suite/limits::a_statement_that_takes_too_long_is_cut_short"])),
    (81, "deadlocks", Not("SQLite has one writer at a time, so no deadlocks between two; what it says instead is F79 and F91"), Shown(&["postgres/environment::deadlocks_and_serialization_failures_are_tried_again_as_a_whole"]), Not(SQL)),
    (82, "a full disk, too many connections", Shown(&["sqlite/everyday::a_full_disk_fails_the_migration_and_nothing_else"]), Shown(&["postgres/unreachable::too_many_connections_is_a_kind_of_its_own", "postgres/environment::f82_a_full_disk_fails_the_migration_and_nothing_else"]), Not(SQL)),
    (83, "there is no connection", Shown(&["sqlite/places::places_that_hold_no_database_are_told_apart"]), Shown(&["postgres/unreachable::why_there_is_no_connection_is_told_apart", "postgres/unreachable::a_wrong_password_is_no_failed_migration", "postgres/unreachable::a_server_that_starts_late_is_waited_for"]), Shown(&["mongo/everyday::a_server_that_is_not_there_is_named_without_its_password"])),
    (84, "an old server", Not("the library is compiled in or linked, and held against F102"), Shown(&["postgres/unreachable::a_server_that_is_too_old_is_refused_up_front"]), Shown(&["mongo-server::what_has_transactions_says_so_in_its_hello"])),
    (85, "duplicates under a unique index", Shown(&["sqlite/everyday::f85_a_unique_index_on_duplicates_leaves_nothing"]), Shown(&["postgres/indexes::a_unique_index_on_duplicates_leaves_nothing_and_goes_on_after_the_fix"]), Shown(&["mongo/everyday::f106_f107_an_index_that_cannot_be_made_leaves_none"])),
    (86, "a constraint that does not hold", Not("SQLite has no constraint that is validated later"), Shown(&["postgres/environment::a_constraint_that_does_not_hold_goes_on_after_the_fix"]), Not(SQL)),
    (87, "a template in use", Not(TENANTS), Not(TENANTS), Not(TENANTS)),
    (88, "a tenant's database is gone", Not(TENANTS), Not(TENANTS), Not(TENANTS)),
    (89, "too many failures", Not(TENANTS), Not(TENANTS), Not(TENANTS)),
    (90, "the template fails", Not(TENANTS), Not(TENANTS), Not(TENANTS)),
    (91, "the file is locked", Shown(&["sqlite/everyday::a_database_that_stays_locked_is_busy", "sqlite/everyday::a_lock_that_is_let_go_in_time_is_waited_for"]), Not(SQLITE), Not(SQLITE)),
    (92, "a reader becomes a writer", Shown(&["sqlite/races::writers_wait_for_a_migration_and_never_break_it"]), Not(SQLITE), Not(SQLITE)),
    (93, "a long reader", Shown(&["sqlite/everyday::readers_go_on_while_a_migration_runs", "sqlite/everyday::a_reader_that_keeps_the_log_from_the_database_is_told_of"]), Not(SQLITE), Not(SQLITE)),
    (94, "a full disk", Shown(&["sqlite/everyday::a_full_disk_fails_the_migration_and_nothing_else"]), Not(SQLITE), Not(SQLITE)),
    (95, "a file that may only be read", Shown(&["sqlite/places::what_may_not_be_written_is_not_and_says_so", "sqlite/places::places_that_hold_no_database_are_told_apart", "sqlite/places::whatever_only_looks_makes_and_changes_nothing"]), Not(SQLITE), Not(SQLITE)),
    (96, "a database in memory", Shown(&["sqlite/everyday::a_database_in_memory_is_migrated_and_handed_over", "sqlite/guard::a_given_connection_comes_back_as_it_was"]), Not(SQLITE), Not(SQLITE)),
    (97, "a table is rebuilt: its children", Shown(&["sqlite/guard::a_rebuilt_table_keeps_its_children", "sqlite/guard::rows_that_would_point_to_nothing_are_refused_at_the_commit"]), Not(SQLITE), Not(SQLITE)),
    (98, "a table is rebuilt: what belongs to it", Not(REBUILD), Not(SQLITE), Not(SQLITE)),
    (99, "VACUUM and the journal in a transaction", Shown(&["sqlite-measured::these_fail_inside_a_transaction", "sqlite-dialect::a_pragma_that_would_do_nothing_is_refused"]), Not(SQLITE), Not(SQLITE)),
    (100, "no database", Shown(&["sqlite/places::places_that_hold_no_database_are_told_apart", "sqlite/damage::a_damaged_file_is_an_error_and_never_a_panic"]), Not(SQLITE), Not(SQLITE)),
    (101, "a hot journal", Shown(&["sqlite/crash::killed_at_random_moments_inside_sqlite_it_converges"]), Not(SQLITE), Not(SQLITE)),
    (102, "an old library", Not(LIBRARY), Not(SQLITE), Not(SQLITE)),
    (103, "transactions on a standalone", Not(MONGO), Not(MONGO), Shown(&["mongo/everyday::a_standalone_runs_without_transactions_and_says_so", "mongo-server::what_has_transactions_says_so_in_its_hello"])),
    (104, "the primary steps down", Not(MONGO), Not(MONGO), Shown(&["mongo/failing::a_step_down_in_the_middle_is_got_over", "mongo/failing::whatever_the_server_does_thrice_in_a_transaction_the_run_or_the_next_one_converges"])),
    (105, "the answer to a commit is unknown", Not(MONGO), Not(MONGO), Shown(&["mongo/failing::whatever_the_server_does_once_in_a_transaction_the_run_or_the_next_one_converges"])),
    (106, "an index on duplicates", Not(MONGO), Not(MONGO), Shown(&["mongo/everyday::f106_f107_an_index_that_cannot_be_made_leaves_none", "mongo/steps::f106_an_index_that_cannot_be_built_leaves_what_was_there"])),
    (107, "an index of another form", Not(MONGO), Not(MONGO), Shown(&["mongo/everyday::f106_f107_an_index_that_cannot_be_made_leaves_none", "mongo/steps::f107_an_index_in_the_way_is_told_with_what_to_do", "mongo/steps::an_index_is_replaced_by_its_name_or_by_its_keys"])),
    (108, "what cannot be in a transaction", Not(MONGO), Not(MONGO), Shown(&["mongo/everyday::f108_what_cannot_be_in_a_transaction_runs_without_one", "mongo-command::what_runs_in_a_transaction_is_known_by_its_name"])),
    (109, "a validator that documents violate", Not(MONGO), Not(MONGO), Shown(&["mongo/steps::f109_documents_that_do_not_fit_a_validator_are_counted_before_it_is_set"])),
    (110, "a write concern that is not met", Not(MONGO), Not(MONGO), Shown(&["mongo/failing::whatever_the_server_does_once_in_a_transaction_the_run_or_the_next_one_converges"])),
    (111, "the lease is dropped", Not(MONGO), Not(MONGO), Shown(&["mongo/fencing::f111_a_lease_that_is_dropped_stops_the_run"])),
    (112, "others write during a backfill", Shown(&["sqlite/backfill::f112_rows_that_come_and_go_meanwhile_are_no_obstacle"]), Shown(&["postgres/backfill::f112_rows_that_come_and_go_meanwhile_are_no_obstacle"]), Shown(&["mongo/backfill::f112_documents_that_come_and_go_meanwhile_are_no_obstacle"])),
    (113, "documents and transactions that are too large", Not(MONGO), Not(MONGO), Shown(&["mongo/backfill::f113_large_documents_are_changed", "mongo/failing::f113_a_batch_that_is_too_large_for_a_transaction_is_made_smaller"])),
    (114, "a sharded collection", Not(MONGO), Not(MONGO), Shown(&["mongo-error/behind::what_a_sharded_cluster_refuses_is_told_with_what_to_do"])),
];

#[test]
fn every_fault_has_its_test_or_its_reason() {
    for (expected, (number, _, sqlite, postgres, mongo)) in (1..).zip(&FAULTS) {
        assert_eq!(*number, expected, "F{expected:02} has no entry");
        for fault in [sqlite, postgres, mongo] {
            match fault {
                Not(reason) => assert!(reason.len() > 10, "F{number:02}: {reason}"),
                Shown(tests) => {
                    assert!(!tests.is_empty(), "F{number:02} has no test");
                    tests.iter().for_each(|test| check_is_there(*number, test));
                }
            }
        }
    }
}

fn check_is_there(number: u8, test: &str) {
    let (file, function) = test.split_once("::").expect("file::function");
    let folder = FOLDERS.iter().find_map(|(short, long)| Some((long, file.strip_prefix(short)?)));
    let (long, rest) = folder.expect("a folder");
    let file = format!("{long}{rest}.rs");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let text =
        std::fs::read_to_string(root.join(&file)).unwrap_or_else(|error| panic!("F{number:02}: {file}: {error}"));
    let (before, _) = text.split_once(&format!("fn {function}(")).unwrap_or_else(|| panic!("F{number:02}: no {test}"));
    if long.contains("suite") {
        let listed = before.split_once("tests! {").and_then(|(_, list)| list.split_once('}'));
        let is_listed = listed.is_some_and(|(list, _)| list.lines().any(|line| line.trim() == format!("{function},")));
        assert!(is_listed, "F{number:02}: {test} is in no list");
        return;
    }
    let attribute = before.trim_end().trim_end_matches("async").trim_end().lines().next_back().unwrap_or_default();
    assert!(attribute.contains("test"), "F{number:02}: {test} is no test");
}
