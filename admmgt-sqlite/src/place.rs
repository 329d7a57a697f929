//! Where a database is: a file, or a connection that belongs to the caller.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use admmgt_core::{Access, Error, Result};
use rusqlite::{Connection, OpenFlags};

use crate::error::{self, Asked};

/// The longest write-ahead log, in bytes, that is read in passing.
const QUICK_LOG: u64 = 256 * 1024;

/// What a URL allows to be done to a file: `mode=ro`, `rw`, `rwc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Read,
    Write,
    Create,
}

#[derive(Debug)]
pub(crate) enum Place {
    File { path: PathBuf, mode: Mode },
    Given(Mutex<Slot>),
}

/// A connection that belongs to the caller.
#[derive(Debug)]
pub(crate) enum Slot {
    /// Here, and nobody uses it.
    Ready(Connection),
    /// A run has it.
    Lent,
    /// A run had it and did not end cleanly, or the caller took it back.
    Gone,
}

impl Place {
    /// A file by its path.
    pub(crate) fn path(path: &Path) -> Result<Self> {
        let text = path.to_string_lossy();
        match &*text {
            "" => {
                Err(usage("an empty path names a temporary database that nobody else can see; give the path of a file"))
            }
            ":memory:" => Err(usage(
                "`:memory:` belongs to one connection; use `Sqlite::memory()` or `Sqlite::connection(yours)`",
            )),
            // SQLite would take it for a URL, and the lease would be of another file.
            text if text.starts_with("file:") => {
                Err(usage("`file:` starts a URL; use `Sqlite::url`, or write `./file:…` for a file of that name"))
            }
            text if text.contains('\0') => Err(usage("the path holds a NUL byte; remove it")),
            _ => Ok(Self::File { path: path.to_owned(), mode: Mode::Create }),
        }
    }

    /// A file by its URL: `sqlite:app.db`, `sqlite:///var/lib/app.db?mode=rw`, `file:app.db`.
    pub(crate) fn url(url: &str) -> Result<Self> {
        let rest = ["sqlite://", "sqlite:", "file://", "file:"].iter().find_map(|scheme| url.strip_prefix(scheme));
        let rest = rest.ok_or_else(|| usage("a SQLite URL starts with `sqlite:` or `file:`, as in `sqlite:app.db`"))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut mode = Mode::Create;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            mode = match pair {
                "mode=ro" => Mode::Read,
                "mode=rw" => Mode::Write,
                "mode=rwc" => Mode::Create,
                "mode=memory" => return Ok(Self::given(memory()?)),
                // Only the name: the value may be a key.
                other => {
                    let name = other.split('=').next().unwrap_or_default();
                    return Err(usage(&format!(
                        "the URL's parameter `{name}` is not known; `mode=ro|rw|rwc|memory` is"
                    )));
                }
            };
        }
        if path == ":memory:" {
            return Ok(Self::given(memory()?));
        }
        let Self::File { path, .. } = Self::path(Path::new(&decoded(path)?))? else {
            return Err(usage("a SQLite URL names a file"));
        };
        Ok(Self::File { path, mode })
    }

    pub(crate) fn given(connection: Connection) -> Self {
        Self::Given(Mutex::new(Slot::Ready(connection)))
    }

    /// The place, for people.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File { path, .. } => format!("the database `{}`", path.display()),
            Self::Given(_) => "the connection that was given".to_owned(),
        }
    }

    /// Whether a look at it is done at once: nothing much is left over from a crash that SQLite would have
    /// to work through first, and nobody's busy timeout applies but the one it is opened with.
    pub(crate) fn is_quick(&self) -> bool {
        match self {
            Self::File { path, .. } => {
                let beside = |suffix: &str| {
                    let mut name = path.as_os_str().to_owned();
                    name.push(suffix);
                    match std::fs::metadata(name) {
                        Ok(found) => Some(found.len()),
                        Err(error) => (error.kind() != std::io::ErrorKind::NotFound).then_some(u64::MAX),
                    }
                };
                // SQLite follows a link, and keeps its files beside the real one.
                let is_link = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
                !is_link && beside("-journal").is_none() && beside("-wal").is_none_or(|log| log <= QUICK_LOG)
            }
            Self::Given(slot) => {
                matches!(&*lock(slot), Slot::Ready(connection) if connection.path().is_none_or(str::is_empty))
            }
        }
    }

    /// A connection that may do what `access` says.
    pub(crate) fn open(&self, access: Access, patience: Duration) -> Result<Connection> {
        match self {
            Self::File { path, mode } => {
                let connection = open_file(path, *mode, access)?;
                let asked = Asked { what: &self.name(), patience };
                connection
                    .busy_timeout(error::patience(patience))
                    .map_err(|error| asked.failed("opening the database", error))?;
                Ok(connection)
            }
            Self::Given(slot) => {
                let mut slot = lock(slot);
                match std::mem::replace(&mut *slot, Slot::Lent) {
                    Slot::Ready(connection) if !connection.is_autocommit() => {
                        *slot = Slot::Ready(connection);
                        Err(usage("the connection is in a transaction of its own; commit it or roll it back first"))
                    }
                    Slot::Ready(connection) => Ok(connection),
                    Slot::Lent => Err(usage("the connection is in use by another run of this migrator")),
                    Slot::Gone => {
                        *slot = Slot::Gone;
                        Err(usage(
                            "the connection is gone: it was taken back, or a run did not end cleanly and it was \
                             closed. Make a new `Sqlite` from a new connection",
                        ))
                    }
                }
            }
        }
    }

    /// The end of a run: a caller's connection is kept for the caller if the run ended cleanly.
    pub(crate) fn give_back(&self, connection: Option<Connection>) {
        if let Self::Given(slot) = self {
            *lock(slot) = connection.map_or(Slot::Gone, Slot::Ready);
        }
    }

    /// The caller's connection, if it is here.
    pub(crate) fn take(&self) -> Option<Connection> {
        let Self::Given(slot) = self else { return None };
        let mut slot = lock(slot);
        match std::mem::replace(&mut *slot, Slot::Gone) {
            Slot::Ready(connection) => Some(connection),
            other => {
                *slot = other;
                None
            }
        }
    }

    /// The file of the lease: beside the database's real file, so that two names of one database
    /// share it. `None` for what no other process can open.
    pub(crate) fn lease_file(&self, connection: &Connection) -> Option<PathBuf> {
        let path = match self {
            // Not what the connection says: a path that is not UTF-8 is none to it.
            Self::File { path, .. } => path.as_path(),
            Self::Given(_) => Path::new(connection.path().filter(|path| !path.is_empty())?),
        };
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let mut name = real.into_os_string();
        name.push("-admmgt.lock");
        Some(PathBuf::from(name))
    }
}

pub(crate) fn memory() -> Result<Connection> {
    Connection::open_in_memory().map_err(|error| Error::database("opening a database in memory", None, error))
}

fn open_file(path: &Path, mode: Mode, access: Access) -> Result<Connection> {
    let what = format!("the database `{}`", path.display());
    if mode == Mode::Read && access == Access::Create {
        return Err(crate::error::read_only(what));
    }
    let exists = exists(path, &what)?;
    // What only reads opens for writing too, where it may: reading a database in WAL mode leaves its
    // side files behind otherwise. A session sets `query_only`; a peek runs one SELECT.
    let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    match (exists, mode, access) {
        (true, Mode::Read, _) => flags |= OpenFlags::SQLITE_OPEN_READ_ONLY,
        (true, ..) => flags |= OpenFlags::SQLITE_OPEN_READ_WRITE,
        (false, Mode::Create, Access::Create) => {
            flags |= OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        }
        (false, ..) => return Err(Error::NotFound { what }),
    }
    let asked = Asked { what: &what, patience: Duration::ZERO };
    Connection::open_with_flags(path, flags).map_err(|error| asked.failed("opening the database", error))
}

/// Whether the file is there, with the reasons why it could not even be told apart.
fn exists(path: &Path, what: &str) -> Result<bool> {
    let unreachable = |problem: String| Err(Error::Unreachable { what: what.to_owned(), problem });
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => unreachable("it is a folder; give the path of a file".to_owned()),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            match folder {
                Some(folder) if !folder.is_dir() => {
                    unreachable(format!("the folder `{}` does not exist; create it first", folder.display()))
                }
                _ => Ok(false),
            }
        }
        Err(error) => unreachable(format!("{error}")),
    }
}

fn decoded(path: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let byte = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = byte.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.ok_or_else(|| {
            usage("the URL holds a `%` that is not followed by two hexadecimal digits; write `%25` for `%`")
        })?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| usage("the URL's path is not UTF-8; use `Sqlite::open` with a path"))
}

fn lock(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    // Nothing panics while it holds the lock.
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

fn usage(problem: &str) -> Error {
    Error::Usage { problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(url: &str) -> String {
        match Place::url(url) {
            Ok(Place::File { path, mode }) => format!("{} {mode:?}", path.display()),
            Ok(Place::Given(_)) => "memory".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn urls_of_the_forms_people_write() {
        for (url, expected) in [
            ("sqlite:app.db", "app.db Create"),
            ("sqlite://app.db?mode=rw", "app.db Write"),
            ("sqlite:///var/lib/app.db?mode=ro", "/var/lib/app.db Read"),
            ("file:my%20app.db", "my app.db Create"),
            ("sqlite::memory:", "memory"),
            ("sqlite://x?mode=memory", "memory"),
            ("postgres://x", "a SQLite URL starts with `sqlite:` or `file:`, as in `sqlite:app.db`"),
            ("sqlite:x?key=secret", "the URL's parameter `key` is not known; `mode=ro|rw|rwc|memory` is"),
            ("sqlite:50%", "the URL holds a `%` that is not followed by two hexadecimal digits; write `%25` for `%`"),
        ] {
            assert_eq!(path(url), expected, "{url}");
        }
    }
}
