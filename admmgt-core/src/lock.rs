//! The registered migrations against the lockfile: what one branch changed, before any database hears
//! of it.

use std::fmt;
use std::path::{Path, PathBuf};

use admmgt_files::lockfile::{Entry, LockfileProblem};

pub use admmgt_files::lockfile::Lockfile;

use crate::registry::{MigrationSet, not_embedded};
use crate::{Error, Meta, MigrationId, Migrations, Refusal};

/// The name of the file, beside `Cargo.toml`.
pub const LOCKFILE: &str = "admmgt.lock";

/// One way in which the registered migrations are not what the lockfile says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unlocked {
    /// Registered, and not in the file.
    New {
        /// Which.
        id: MigrationId,
    },
    /// In the file, and not registered.
    Gone {
        /// Which, as the file has it.
        name: String,
    },
    /// Another body than the file says.
    Edited {
        /// Which.
        id: MigrationId,
        /// Where it is written.
        location: crate::Location,
    },
    /// Repeatable, and another body than the file says: as it should be.
    Changed {
        /// Which.
        id: MigrationId,
    },
    /// Other dependencies than the file says.
    Rewired {
        /// Which.
        id: MigrationId,
        /// Where it is written.
        location: crate::Location,
        /// What it depended on.
        locked: Vec<String>,
    },
}

impl fmt::Display for Unlocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New { id } => write!(f, "`{id}` is new: lock it with `ADMMGT_LOCK=update cargo test`"),
            Self::Gone { name } => write!(
                f,
                "`{name}` is in the lockfile and not registered. If its crate is not linked, name it once: \
                 `admmgt::link!({});`. If it was never applied anywhere, drop it with `ADMMGT_LOCK=update cargo test`",
                name.split('/').next().unwrap_or_default().replace('-', "_")
            ),
            Self::Edited { id, location } => write!(
                f,
                "{location}: `{id}` was edited since it was locked. Restore it, and write the change as a new migration; \
                 if it was never applied anywhere, lock it again with `ADMMGT_LOCK=update cargo test`"
            ),
            Self::Changed { id } => {
                write!(f, "`{id}` is repeatable and has changed: lock it again with `ADMMGT_LOCK=update cargo test`")
            }
            Self::Rewired { id, location, locked } => {
                let locked = if locked.is_empty() { "nothing".to_owned() } else { locked.join(", ") };
                write!(
                    f,
                    "{location}: `{id}` depends on something else than when it was locked ({locked}). Lock it again with \
                     `ADMMGT_LOCK=update cargo test` if that is meant"
                )
            }
        }
    }
}

/// The lockfile of a set.
pub fn lockfile(set: &MigrationSet) -> Lockfile {
    let entry = |meta: &Meta| {
        let mut depends_on: Vec<String> = meta.depends_on.iter().map(ToString::to_string).collect();
        depends_on.sort();
        (meta.id.to_string(), Entry { checksum: meta.checksum.to_string(), depends_on })
    };
    Lockfile { entries: set.metas().map(entry).collect() }
}

/// What differs between a set and a lockfile; nothing where they agree.
///
/// ```
/// use admmgt_core::{lockfile, unlocked, MigrationSet, Migrations, SqlMigration};
///
/// let users = SqlMigration::new("app", "0001_users", "create table users(id integer)")?;
/// let set = MigrationSet::new(&Migrations::new([users])).unwrap();
/// assert!(unlocked(&set, &lockfile(&set)).is_empty());
/// assert_eq!(unlocked(&set, &Default::default()).len(), 1);
/// # Ok::<(), admmgt_core::InvalidName>(())
/// ```
pub fn unlocked(set: &MigrationSet, locked: &Lockfile) -> Vec<Unlocked> {
    let now = lockfile(set);
    let mut found = Vec::new();
    for meta in set.metas() {
        let name = meta.id.to_string();
        let (id, location) = (meta.id.clone(), meta.location.clone());
        match (locked.entries.get(&name), now.entries.get(&name)) {
            (None, _) => found.push(Unlocked::New { id }),
            (Some(old), Some(new)) if old.checksum != new.checksum && meta.repeatable => {
                found.push(Unlocked::Changed { id });
            }
            (Some(old), Some(new)) if old.checksum != new.checksum => found.push(Unlocked::Edited { id, location }),
            (Some(old), Some(new)) if old.depends_on != new.depends_on => {
                found.push(Unlocked::Rewired { id, location, locked: old.depends_on.clone() });
            }
            _ => {}
        }
    }
    let gone = locked.entries.keys().filter(|name| !now.entries.contains_key(*name));
    found.extend(gone.map(|name| Unlocked::Gone { name: name.clone() }));
    found
}

/// Why [`check`] says no.
#[derive(Debug)]
#[non_exhaustive]
pub enum CheckError {
    /// The migrations themselves are wrong.
    Set(Vec<Refusal>),
    /// The file cannot be read or written.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// They are not what the file says.
    Unlocked {
        /// The file.
        path: PathBuf,
        /// In which ways.
        differences: Vec<Unlocked>,
    },
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(refusals) => write!(f, "{}", Error::Refused { refusals: refusals.clone() }),
            Self::File { path, problem } => write!(f, "{}: {problem}", path.display()),
            Self::Unlocked { path, differences } => {
                write!(f, "{} does not agree with the migrations:", path.display())?;
                differences.iter().try_for_each(|difference| write!(f, "\n  - {difference}"))
            }
        }
    }
}

impl std::error::Error for CheckError {}

/// Holds migrations against a lockfile, or writes it where `update` says so. No database is asked.
///
/// # Errors
/// Everything that is wrong with the migrations, or every way in which the file says something else.
pub fn check(migrations: &Migrations, path: &Path, update: bool) -> std::result::Result<(), CheckError> {
    let set = MigrationSet::new(migrations).map_err(CheckError::Set)?;
    let new = not_embedded();
    if !new.is_empty() {
        return Err(CheckError::Set(new));
    }
    let file = |problem: String| CheckError::File { path: path.to_owned(), problem };
    if update {
        let text = lockfile(&set).to_string();
        let before = std::fs::read_to_string(path).unwrap_or_default();
        // Written only where it changes: a build may watch it.
        if before == text {
            return Ok(());
        }
        // One that holds the marks of a merge is still one.
        if !before.trim().is_empty() && !Lockfile::is_one(&before) {
            return Err(file("there is a file of that name, and it is no lockfile; it was left as it is".to_owned()));
        }
        return std::fs::write(path, text).map_err(|error| file(format!("cannot be written: {error}")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            file("there is no lockfile yet; make it with `ADMMGT_LOCK=update cargo test` or `admmgt lock --update`, and commit it".to_owned())
        }
        _ => file(format!("cannot be read: {error}")),
    })?;
    let locked =
        Lockfile::parse(&text).map_err(|LockfileProblem { line, problem }| file(format!("line {line}: {problem}")))?;
    let differences = unlocked(&set, &locked);
    if differences.is_empty() { Ok(()) } else { Err(CheckError::Unlocked { path: path.to_owned(), differences }) }
}
