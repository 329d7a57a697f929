//! What an application's tests can claim of its migrations.

mod idempotent;
mod preserved;
mod reversible;

use admmgt_core::{MigrationId, MigrationSet};

pub use idempotent::{Repeated, assert_idempotent, assert_idempotent_of};
pub use preserved::{Preserved, assert_data_preserved};
pub use reversible::{assert_reversible, assert_reversible_except};

/// Panics with everything that was found, in the words of the test's author.
fn nothing_found(claim: &str, found: Result<Vec<String>, String>) {
    match found {
        Ok(found) if found.is_empty() => {}
        Ok(found) => panic!("{claim}:\n{}", found.join("\n")),
        Err(error) => panic!("{claim} could not be tried: {error}"),
    }
}

/// The ids, each of which must be in the set.
fn known(set: &MigrationSet, ids: &[&str]) -> Result<Vec<MigrationId>, String> {
    let known = |id: &&str| {
        let parsed = id.parse::<MigrationId>().map_err(|error| error.to_string())?;
        match set.get(&parsed) {
            Some(_) => Ok(parsed),
            None => Err(format!("there is no migration `{id}`")),
        }
    };
    ids.iter().map(known).collect()
}

/// Lines below the name of a migration.
fn below(id: &MigrationId, what: &str, lines: &[String]) -> String {
    let lines: String = lines.iter().map(|line| format!("\n      {line}")).collect();
    format!("  {id}: {what}{lines}")
}
