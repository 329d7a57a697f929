//! The lease: a lock on a file, which the operating system frees when the process dies.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use admmgt::{Acquired, Author, Error, Holder, Lease, Result, RunId, Session, Timestamp, async_trait};
use serde::{Deserialize, Serialize};

use super::files::{self, Files};

/// Who has it. In a file of its own: one that is locked cannot be read everywhere.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// Of this attempt alone.
    word: RunId,
    holder: Holder,
}

pub(super) fn acquire(files: &Files, author: &Author) -> Result<Acquired> {
    let path = files.ours("lock");
    files::make_folder(&files.ours(""))?;
    let failed = |error| files::failed("locking", &path, error);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Acquired::Yes(Box::new(Locked::new(file, files, author)?))),
        Err(TryLockError::WouldBlock) => {
            let mut holder = read(&files.ours(HOLDER)).map(|entry| entry.holder).unwrap_or_default();
            holder.place = Some(path.display().to_string());
            Ok(Acquired::No(holder))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

const HOLDER: &str = "holder.json";

/// Who has it, where that can be read: it is for people.
fn read(path: &Path) -> Option<Entry> {
    files::read(path, |problem| Error::Usage { problem }).ok().flatten()
}

#[derive(Debug)]
struct Locked {
    file: File,
    word: RunId,
    holder: PathBuf,
}

impl Locked {
    fn new(file: File, files: &Files, author: &Author) -> Result<Self> {
        files.sweep();
        let mut holder = Holder::default();
        holder.by = Some(author.by.to_string());
        holder.host = Some(author.host.to_string());
        holder.pid = Some(std::process::id());
        holder.since = Some(Timestamp::now());
        let word = RunId::new();
        files.replace(&files.ours(HOLDER), &Entry { word: word.clone(), holder })?;
        Ok(Self { file, word, holder: files.ours(HOLDER) })
    }

    /// A lock cannot be taken away, but its file can: then another one has its own.
    fn is_ours(&self) -> bool {
        read(&self.holder).is_some_and(|entry| entry.word == self.word)
    }
}

#[async_trait]
impl Lease for Locked {
    async fn verify(&mut self, _: &mut dyn Session) -> Result<()> {
        let problem = || format!("`{}` does not name this run any more", self.holder.display());
        if self.is_ours() { Ok(()) } else { Err(Error::LeaseLost { problem: problem() }) }
    }

    async fn release(self: Box<Self>, _: &mut dyn Session) -> Result<()> {
        if self.is_ours() {
            files::remove(&self.holder)?;
        }
        self.file.unlock().map_err(|error| files::failed("unlocking", &self.holder, error))
    }
}
