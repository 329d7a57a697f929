//! The lease: a lock of the operating system on a file beside the database. The system frees it when
//! the process dies, however it dies; and it covers what no transaction can, such as `VACUUM`.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use admmgt_core::{Acquired, Error, Holder, Lease, LeaseRequest, Result, Session, Timestamp, async_trait};

use crate::session::SqliteSession;

/// How often the path of the lease file is followed again.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Asks for the lease, once.
pub(crate) fn acquire(session: &SqliteSession, request: &LeaseRequest) -> Result<Acquired> {
    let Some(path) = session.place().lease_file(session.db()?) else {
        // No other process can open this database, and no other session of this one has it.
        return Ok(Acquired::Yes(Box::new(SqliteLease { held: None })));
    };
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = file.map_err(|error| unusable(&path, &error))?;
    share(&file, session);
    match file.try_lock() {
        Ok(()) => {
            let found = file.metadata().map_err(|error| unusable(&path, &error))?;
            let (identity, names) = (identity(&found), names(&found));
            let mut held = Held { file, path, identity, names, looked: Instant::now() };
            // The lock is on the file we opened; make sure that it is still the one that others open.
            if !held.is_in_place() {
                return Ok(Acquired::No(Holder::default()));
            }
            // The name is for people who wait; the lock holds without it.
            let _ = sign(&mut held.file, request);
            Ok(Acquired::Yes(Box::new(SqliteLease { held: Some(held) })))
        }
        Err(TryLockError::WouldBlock) => Ok(Acquired::No(holder(&mut file, &path))),
        Err(TryLockError::Error(error)) => Err(unusable(&path, &error)),
    }
}

/// Whoever may write the database may take its lease, as SQLite has it for the files beside it. That this cannot be
/// arranged, because the file is somebody else's, is found when they try.
fn share(file: &File, session: &SqliteSession) {
    let database = session.db().ok().and_then(|db| db.path().map(PathBuf::from));
    let wanted = database.and_then(|path| std::fs::metadata(path).ok());
    let (Some(wanted), Ok(has)) = (wanted, file.metadata()) else { return };
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        if (wanted.uid(), wanted.gid()) != (has.uid(), has.gid()) {
            let _ = fchown(file, Some(wanted.uid()), Some(wanted.gid()));
        }
    }
    if wanted.permissions() != has.permissions() && !wanted.permissions().readonly() {
        let _ = file.set_permissions(wanted.permissions());
    }
}

#[derive(Debug)]
struct SqliteLease {
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    file: File,
    path: PathBuf,
    identity: Option<(u64, u64)>,
    /// How many names the file had; some file systems never count them.
    names: u64,
    /// When the path was followed last.
    looked: Instant,
}

impl Held {
    /// Whether the path still names the file that is locked.
    fn is_in_place(&mut self) -> bool {
        self.looked = Instant::now();
        std::fs::metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity)
    }

    /// The same before each step, where following a long path would cost as much as the rest of the check:
    /// a file that was deleted or replaced has no name left, and one that was moved away is noticed soon.
    fn is_still_in_place(&mut self) -> bool {
        let is_named = self.file.metadata().is_ok_and(|found| names(&found) == self.names);
        if is_named && self.looked.elapsed() <= LOOK_EVERY { true } else { self.is_in_place() }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // An empty file says that nobody has it; the file stays, because deleting it would race.
        let _ = self.file.set_len(0);
    }
}

#[async_trait]
impl Lease for SqliteLease {
    async fn verify(&mut self, _: &mut dyn Session) -> Result<()> {
        let Some(held) = &mut self.held else { return Ok(()) };
        if held.is_still_in_place() {
            return Ok(());
        }
        let problem = format!("the file `{}` was deleted or replaced", held.path.display());
        Err(Error::LeaseLost { problem })
    }

    /// Dropping it is all.
    async fn release(self: Box<Self>, _: &mut dyn Session) -> Result<()> {
        Ok(())
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> Error {
    let what = format!("the lease file `{}`", path.display());
    match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => crate::error::read_only(what),
        _ => Error::Unreachable { what, problem: format!("{error}") },
    }
}

/// What tells two files apart; nothing where an open file cannot be replaced.
#[cfg(unix)]
fn identity(found: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((found.dev(), found.ino()))
}

#[cfg(unix)]
fn names(found: &Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    found.nlink()
}

#[cfg(not(unix))]
fn names(_: &Metadata) -> u64 {
    1
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Option<(u64, u64)> {
    None
}

fn sign(file: &mut File, request: &LeaseRequest) -> std::io::Result<()> {
    let one_line = |text: &str| text.replace(['\n', '\r'], " ");
    let text = format!(
        "pid={}\nby={}\nhost={}\nsince={}\n",
        std::process::id(),
        one_line(&request.author.by),
        one_line(&request.author.host),
        Timestamp::now().0
    );
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}

/// Who signed the file; whatever cannot be read is unknown.
fn holder(file: &mut File, path: &Path) -> Holder {
    let mut text = String::new();
    let _ = file.take(4096).read_to_string(&mut text);
    let mut holder = Holder::default();
    holder.place = Some(format!("`{}`", path.display()));
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        match key {
            "pid" => holder.pid = value.parse().ok(),
            "by" => holder.by = Some(value.to_owned()),
            "host" => holder.host = Some(value.to_owned()),
            "since" => holder.since = value.parse().ok().map(Timestamp),
            _ => {}
        }
    }
    holder
}
