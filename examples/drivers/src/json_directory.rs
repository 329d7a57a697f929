//! A driver for a folder of JSON documents: no transactions, no server.
//!
//! ```text
//! data/users.json                     a document
//! data/.admmgt/format                 of which format our files are
//! data/.admmgt/history/00000001.json  records that were written together, and the heads after them
//! data/.admmgt/began                  there was a record once
//! data/.admmgt/checkpoints.json       how far backfills have come
//! data/.admmgt/lock, holder.json      the lease, and who has it
//! data/.admmgt/new/                   what is being written
//! ```

mod books;
mod command;
mod files;
mod folder;
mod lease;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use admmgt::{
    Access, Acquired, Atomicity, Backend, Batch, Capabilities, Checkpoint, CheckpointKey, Context, Dialect, Driver,
    Error, FromContext, Head, History, LeaseRequest, Namespace, Origin, Outcome, Result, Session, SessionOptions,
    StateStore, Statement, Token, async_trait,
};

use self::books::Books;
use self::command::{Command, Commands};
use self::files::Files;
pub use self::folder::Folder;

const BACKEND: Backend = Backend::new("json_directory");

/// A folder in which each document is a file: `users` is `users.json`.
///
/// A text is JSON commands, one behind the other; each is done as a whole or not at all:
///
/// ```json
/// {"create": "users", "document": {"names": []}}
/// {"merge": "users", "document": {"names": ["ann"]}}
/// {"replace": "users", "document": {"people": ["ann"]}}
/// {"rename": "users", "to": "people"}
/// {"delete": "people"}
/// ```
///
/// `merge` sets fields and leaves the others; only `create` makes a document, and fails where there is one. Rust takes a
/// `&mut` [`Folder`]. Calls are those of the file system: each blocks for as long as the disk takes for one small file, which
/// is not worth a thread.
#[derive(Debug, Clone)]
pub struct JsonDirectory(pub PathBuf);

impl JsonDirectory {
    /// Finds the folder, or makes it where that is allowed.
    fn find(&self, access: Access) -> Result<()> {
        let what = || format!("`{}`", self.0.display());
        match fs::metadata(&self.0) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => {
                let problem = "it is a file and must be a folder; name the folder of the documents".to_owned();
                Err(Error::Unreachable { what: what(), problem })
            }
            Err(error) if error.kind() != ErrorKind::NotFound => Err(files::failed("opening", &self.0, error)),
            Err(_) if access == Access::Create => files::make_folder(&self.0),
            Err(_) => Err(Error::NotFound { what: what() }),
        }
    }
}

#[async_trait]
impl Driver for JsonDirectory {
    fn backend(&self) -> Backend {
        BACKEND
    }

    fn dialect(&self) -> Arc<dyn Dialect> {
        Arc::new(Commands)
    }

    fn store(&self) -> Arc<dyn StateStore> {
        Arc::new(Store)
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        self.find(options.access)?;
        let capabilities = Capabilities::new("a folder of JSON documents");
        Ok(Box::new(Open { capabilities, folder: Folder::new(Files::new(self.0.clone())) }))
    }
}

/// A folder has no connection: there is nothing to roll back, and nothing to close.
#[derive(Debug)]
struct Open {
    capabilities: Capabilities,
    folder: Folder,
}

fn no_transactions() -> Error {
    Error::unsupported("transactions", "leave `transaction = \"required\"` out")
}

#[async_trait]
impl Session for Open {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn begin(&mut self, _: Origin) -> Result<()> {
        Err(no_transactions())
    }

    async fn commit(&mut self, _: &Batch) -> Result<Atomicity> {
        Err(no_transactions())
    }

    async fn rollback(&mut self) -> Result<Atomicity> {
        Ok(Atomicity::Kept)
    }

    async fn execute(&mut self, statement: &Statement) -> Result<Outcome> {
        let command = Command::read(&statement.text).map_err(|problem| Error::Script { problems: vec![problem] })?;
        self.folder.run(command).map(|()| Outcome::rows(1))
    }

    fn connection(&mut self) -> &mut (dyn Any + Send) {
        &mut self.folder
    }

    async fn close(self: Box<Self>) {}
}

impl FromContext<JsonDirectory> for Folder {
    const BACKEND: Option<Backend> = Some(BACKEND);

    fn from_context(cx: &mut Context) -> Result<&mut Self> {
        cx.connection().downcast_mut().ok_or_else(no_folder)
    }
}

fn no_folder() -> Error {
    Error::wrong_backend("Folder")
}

fn folder(session: &mut dyn Session) -> Result<&Folder> {
    session.connection().downcast_ref().ok_or_else(no_folder)
}

/// The books are files beside the documents.
#[derive(Debug)]
struct Store;

#[async_trait]
impl StateStore for Store {
    async fn head(&self, session: &mut dyn Session, namespaces: &[Namespace]) -> Result<Option<Head>> {
        Books(folder(session)?.files()).head(namespaces)
    }

    async fn prepare(&self, session: &mut dyn Session) -> Result<()> {
        Books(folder(session)?.files()).prepare()
    }

    async fn history(&self, session: &mut dyn Session) -> Result<History> {
        Books(folder(session)?.files()).history()
    }

    async fn append(&self, session: &mut dyn Session, batch: &Batch) -> Result<()> {
        Books(folder(session)?.files()).append(batch)
    }

    async fn checkpoint(&self, session: &mut dyn Session, key: &CheckpointKey) -> Result<Option<Checkpoint>> {
        Books(folder(session)?.files()).checkpoint(key)
    }

    async fn save_checkpoint(
        &self,
        session: &mut dyn Session,
        key: &CheckpointKey,
        checkpoint: &Checkpoint,
        _: Option<Token>,
    ) -> Result<()> {
        Books(folder(session)?.files()).save_checkpoint(key, checkpoint)
    }

    async fn names(&self, session: &mut dyn Session) -> Result<Vec<String>> {
        folder(session)?.names()
    }

    async fn acquire(&self, session: &mut dyn Session, request: &LeaseRequest) -> Result<Acquired> {
        lease::acquire(folder(session)?.files(), &request.author)
    }
}
