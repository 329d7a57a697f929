//! Each refusal in words that end with what to do.

use std::fmt;

use super::{LineDifference, Refusal};
use crate::{Direction, Location, MigrationId};

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingRegistered => f.write_str(
                "no migration is registered. A crate that only Cargo.toml names is not linked: write \
                 `admmgt::link!(the_crate);` or `use the_crate as _;` once in this program, or pass \
                 `Migrator::migrations` an explicit list",
            ),
            Self::Unreadable { id, file, line, problem } => write!(f, "{file}:{line}: `{id}`: {problem}"),
            Self::Script { id, file, problem } => write!(f, "{file}:{problem} (in `{id}`)"),
            Self::Empty { id, file } => write!(
                f,
                "{file}:1: `{id}` has no statement. Write one, delete the migration, or allow it with `Policy::empty`"
            ),
            Self::Foreign { tool, versions } => write!(
                f,
                "{tool} has migrated this database ({versions} on record), and nothing is on record here. Count in what it applied, \
                 with `Migrator::foreign` and `Migrator::adopt`, or say with `Policy::foreign` that these are other migrations"
            ),
            Self::AlreadyThere { id, file, line, name } => write!(
                f,
                "{file}:{line}: `{id}` would make `{name}`, which is there, and nothing is on record. If the database has the \
                 change already, count it in with `Migrator::baseline`; if the history was lost, restore it from a backup"
            ),
            Self::NotEmbedded { file, folder } => write!(
                f,
                "{file} is new and not in this program: rustc does not hear of new files. Touch the file with \
                 `migrations_dir!(\"{folder}\")` and build again; `println!(\"cargo::rerun-if-changed={folder}\")` in build.rs does it always"
            ),
            Self::Missing { id, applied } => write!(
                f,
                "`{id}` is in the lockfile and not registered{}. If its file or function was deleted, restore it; if its crate \
                 is not linked, name it once: `admmgt::link!({});`; if it is meant to be gone, take its line out of the lockfile",
                if *applied { ", and it is applied" } else { "" },
                id.namespace().as_str().replace('-', "_")
            ),
            Self::Duplicate { id, locations: [first, second] } => {
                write!(f, "`{id}` is written twice, at {first} and at {second}. Rename one of them")
            }
            Self::Alike { ids: [a, b], locations: [first, second] } => write!(
                f,
                "`{a}` at {first} and `{b}` at {second} differ only by case or leading zeros. Rename one of them"
            ),
            Self::UnknownDependency { id, location, dependency, nearest } => {
                write!(f, "{location}: `{id}` depends on `{dependency}`, which is not registered.")?;
                match nearest {
                    Some(nearest) => write!(f, " Is `{nearest}` meant?"),
                    None => f.write_str(" If another crate defines it, link that crate: `admmgt::link!(the_crate);`"),
                }
            }
            Self::Cycle { members } => cycle(f, members),
            Self::StillRegistered { id, location, replaced, still } => write!(
                f,
                "{location}: `{id}` replaces `{replaced}`, which is still registered at {still}. Delete that one; where only \
                 some of what is replaced is applied, run the release before this one first"
            ),
            Self::ReplacedTwice { id, by: [one, other] } => {
                write!(f, "`{id}` is replaced twice, by `{one}` and by `{other}`. Only one migration can stand for it")
            }
            Self::PartlyReplaced { id, location, applied, pending } => {
                write!(f, "{location}: `{id}` stands for {} migrations, of which", applied.len() + pending.len())?;
                named(f, applied)?;
                write!(f, " {} applied and", if applied.len() == 1 { "is" } else { "are" })?;
                named(f, pending)?;
                write!(
                    f,
                    " {} not. Bring the database up to date with the release that still has them, then run this one",
                    if pending.len() == 1 { "is" } else { "are" }
                )
            }
            Self::ReplacesOthers { id, location, unknown } => {
                write!(f, "{location}: `{id}` does not name all that it may stand for; applied is")?;
                named(f, unknown)?;
                f.write_str(
                    ", which this program does not know. If that is what it stands for, list it in `replaces`, or bring the \
                     database up to date with the release before; `Migrator::baseline` counts in what is there",
                )
            }
            Self::WrongBackend { id, location, wants, connected } => write!(
                f,
                "{location}: `{id}` is written for {wants}, and this is {connected}. Leave it out with \
                 `Migrations::filter`, or write its body for `&mut Context`"
            ),
            Self::OnlyInTransactions { id, location, reason } => {
                write!(f, "{location}: `{id}` runs without a transaction; {reason}")
            }
            Self::NoTransactions { id, location, server } => write!(
                f,
                "{location}: `{id}` asks for a transaction, and {server} has none. Write `transaction = \"auto\"` or `\"none\"`"
            ),
            Self::Ungroupable { id, location } => write!(
                f,
                "{location}: `{id}` runs outside of transactions and cannot be part of an all-or-nothing run. \
                 Run it by itself first, without `Policy::group`"
            ),
            Self::Edited { id, location, applied, registered, at, first_difference } => {
                write!(
                    f,
                    "{location}: `{id}` was applied on {at} and has been edited since ({applied} was applied, {registered} is registered)."
                )?;
                if let Some(LineDifference { line, applied, registered }) = first_difference
                    && applied == registered
                {
                    write!(f, " Line {line} differs in a comment or in what stands in quotes.")?;
                } else if let Some(LineDifference { line, applied, registered }) = first_difference {
                    let show =
                        |text: &Option<String>| text.as_ref().map_or("nothing".to_owned(), |text| format!("`{text}`"));
                    write!(f, " Line {line} was {} and is {}.", show(applied), show(registered))?;
                }
                f.write_str(" Restore it, and write the change as a new migration")
            }
            Self::OutOfOrder { id, location, applied } => write!(
                f,
                "{location}: `{id}` is pending and sorts before `{applied}`, which is applied. Rename it so that it comes last, \
                 or allow this with `Policy::out_of_order`"
            ),
            Self::DependencyPending { id, location, dependency } => write!(
                f,
                "{location}: `{id}` is applied, but `{dependency}`, on which it depends, is pending. Was the dependency added \
                 after it was applied? Remove that edge, or apply the missing part in a new migration"
            ),
            Self::Interrupted { id, location, direction, done, steps, at, by, error, probe } => {
                if let Some(location) = location {
                    write!(f, "{location}: ")?;
                }
                write!(f, "`{id}` ({direction}) was started on {at} by {by} and never ended: ")?;
                match steps {
                    Some(steps) => write!(f, "{done} of its {steps} statements had ended.")?,
                    None => f.write_str("how far it came is not known.")?,
                }
                if let Some(error) = error {
                    write!(f, " It failed with: {error}.")?;
                }
                if *probe {
                    f.write_str(" Its probe looks how far it came, at each run; what it cannot tell is for a person:")?;
                }
                write!(
                    f,
                    " Look at the database; then call `Migrator::resolve(\"{id}\", Resolution::Applied, reason)` if the "
                )?;
                match direction {
                    Direction::Up => f.write_str(
                        "whole change is there, or `Resolution::Pending` after taking away what is there of it; or let it go on \
                         behind what has ended, with `OnInterrupt::Retry`",
                    ),
                    Direction::Down => f.write_str(
                        "change is still there as a whole, or `Resolution::Pending` after taking away what is left of it",
                    ),
                }
            }
            Self::ResumeDiffers { id, location, statement } => write!(
                f,
                "{location}: `{id}` was interrupted and cannot go on: its statement {statement} had ended well and is another \
                 one now. Restore it; what is behind the interruption may be changed"
            ),
            Self::Renamed { id, location, from } => write!(
                f,
                "{location}: `{id}` is what was applied as `{from}`, which is not registered any more. Take its old name \
                 back, or call `Migrator::repair` with `Repair::Rename`"
            ),
            Self::UnknownTarget { id, nearest, neighbours } => {
                write!(f, "the target `{id}` is not registered.")?;
                match (nearest, &**neighbours) {
                    (Some(nearest), _) => write!(f, " Is `{nearest}` meant?"),
                    (None, [one]) => write!(f, " Its neighbour would be `{one}`; see `Migrator::status`"),
                    (None, [one, other, ..]) => {
                        write!(f, " It would stand between `{one}` and `{other}`; see `Migrator::status`")
                    }
                    (None, []) => f.write_str(" A migration is named `namespace/id`; see `Migrator::status`"),
                }
            }
            Self::UnknownTag { tag } => {
                write!(
                    f,
                    "no migration has the tag `{tag}`. Write it in `tags = [\"{tag}\"]`, or choose another target"
                )
            }
            Self::TargetPending { id } => write!(
                f,
                "the way back cannot end at `{id}`, which is not applied, while others behind it are. Name one that is; see \
                 `Migrator::status`"
            ),
            Self::Irreversible { id, location } => write!(
                f,
                "{location}: `{id}` has no way back. Write its `down`, or write the opposite change as a new migration"
            ),
            Self::NotRegistered { id, at } => write!(
                f,
                "`{id}` was applied on {at} and is not registered in this program, so nothing can take it back. Use the \
                 program that has it"
            ),
            Self::StillNeeded { id, by, location } => write!(
                f,
                "{location}: `{by}` is applied and depends on `{id}`, which would be taken back. Take `{by}` back first"
            ),
            Self::Ahead { ids } => {
                let (count, _) = crate::report::counted(ids.len());
                write!(f, "the history has {count} that this program does not know:")?;
                ids.iter().try_for_each(|id| write!(f, " `{id}`"))?;
                f.write_str(". Deploy the newer version, or allow this with `Policy::ahead`")
            }
        }
    }
}

/// The first few of a list.
fn named(f: &mut fmt::Formatter<'_>, ids: &[MigrationId]) -> fmt::Result {
    ids.iter().take(3).try_for_each(|id| write!(f, " `{id}`"))?;
    if ids.len() > 3 { write!(f, " and {} more", ids.len() - 3) } else { Ok(()) }
}

fn cycle(f: &mut fmt::Formatter<'_>, members: &[(MigrationId, Location)]) -> fmt::Result {
    f.write_str("migrations wait for each other: ")?;
    for (id, location) in members {
        write!(f, "`{id}` ({location}) -> ")?;
    }
    match members.first() {
        Some((first, _)) => write!(f, "`{first}`. Remove one of these dependencies"),
        None => Ok(()),
    }
}
