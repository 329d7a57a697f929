//! How do I migrate something that is no database at all?
//!
//! A driver for settings in one JSON file. Its statements are `set KEY VALUE` and `remove KEY`; a commit is a new file
//! that takes the old one's name, so that the change and its record are there together or not at all; the lease is a
//! lock on a file beside it, which the operating system frees when the process dies.
//!
//! `cargo run --example custom_driver`, twice.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use admmgt::prelude::*;
use admmgt::{
    Access, Acquired, Atomicity, Backend, Batch, Capabilities, Dialect, Driver, FromContext, Head, History, Holder,
    Lease, LeaseRequest, Namespace, NamespaceHead, Origin, Outcome, Record, Result, Script, ScriptProblem, Session,
    SessionOptions, StateStore, Statement, TransactionMode, async_trait,
};
use serde::{Deserialize, Serialize};

const BACKEND: Backend = Backend::new("settings");

/// Which file.
#[derive(Debug, Clone)]
struct Settings(PathBuf);

/// Everything in it: the settings, and what was done to them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Contents {
    settings: BTreeMap<String, String>,
    records: Vec<Record>,
    heads: BTreeMap<Namespace, NamespaceHead>,
}

impl Settings {
    fn read(&self) -> Result<Contents> {
        let unreadable = |problem: String| Error::Unreachable { what: self.0.display().to_string(), problem };
        match std::fs::read_to_string(&self.0) {
            Ok(text) => {
                serde_json::from_str(&text).map_err(|error| unreadable(format!("it holds no settings: {error}")))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Contents::default()),
            Err(error) => Err(unreadable(error.to_string())),
        }
    }

    /// All of it or nothing: a reader sees the old file or the new one.
    fn write(&self, contents: &Contents) -> Result<()> {
        let failed = |error: std::io::Error| Error::database("writing the settings", None, error);
        let new = self.0.with_extension("new");
        std::fs::write(&new, serde_json::to_string_pretty(contents).unwrap_or_default()).map_err(failed)?;
        File::open(&new).and_then(|file| file.sync_all()).map_err(failed)?;
        std::fs::rename(&new, &self.0).map_err(failed)
    }
}

#[async_trait]
impl Driver for Settings {
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
        if options.access != Access::Create && !self.0.exists() {
            return Err(Error::NotFound { what: self.0.display().to_string() });
        }
        let capabilities = Capabilities::new("settings in JSON").transactions();
        let editor = Editor { file: self.clone(), now: self.read()?, in_transaction: false };
        Ok(Box::new(Open { capabilities, editor }))
    }
}

/// A statement a line.
#[derive(Debug)]
struct Commands;

impl Dialect for Commands {
    fn parse(&self, text: &str, mode: TransactionMode) -> std::result::Result<Script, Vec<ScriptProblem>> {
        let (mut statements, mut problems) = (Vec::new(), Vec::new());
        for (line, number) in text.lines().map(str::trim).zip(1..).filter(|(line, _)| !line.is_empty()) {
            match line.split(' ').next() {
                Some("set" | "remove") => statements.push(Statement { line: number, ..Statement::new(line) }),
                _ => problems.push(ScriptProblem::new(
                    number,
                    1,
                    "this is no command; write `set KEY VALUE` or `remove KEY`",
                )),
            }
        }
        if problems.is_empty() { Ok(Script::new(statements, mode != TransactionMode::None)) } else { Err(problems) }
    }
}

/// What migrations written in Rust get: the settings as they are in the transaction.
#[derive(Debug)]
struct Editor {
    file: Settings,
    now: Contents,
    in_transaction: bool,
}

impl Editor {
    fn run(&mut self, command: &str) -> Result<()> {
        let mut words = command.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("set"), Some(key), Some(value)) => drop(self.now.settings.insert(key.to_owned(), value.to_owned())),
            (Some("remove"), Some(key), None) if self.now.settings.remove(key).is_some() => {}
            _ => return Err(Error::database("running a command", None, "there is no such setting")),
        }
        if self.in_transaction { Ok(()) } else { self.file.write(&self.now) }
    }
}

impl FromContext<Settings> for Editor {
    const BACKEND: Option<Backend> = Some(BACKEND);

    fn from_context(cx: &mut Context) -> Result<&mut Self> {
        cx.connection().downcast_mut().ok_or_else(|| Error::wrong_backend("Editor"))
    }
}

#[derive(Debug)]
struct Open {
    capabilities: Capabilities,
    editor: Editor,
}

#[async_trait]
impl Session for Open {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn begin(&mut self, _: Origin) -> Result<()> {
        self.editor.in_transaction = true;
        Ok(())
    }

    async fn commit(&mut self, batch: &Batch) -> Result<Atomicity> {
        self.editor.in_transaction = false;
        add(&mut self.editor, batch)?;
        Ok(Atomicity::Kept)
    }

    async fn rollback(&mut self) -> Result<Atomicity> {
        self.editor.in_transaction = false;
        self.editor.now = self.editor.file.read()?;
        Ok(Atomicity::Kept)
    }

    async fn execute(&mut self, statement: &Statement) -> Result<Outcome> {
        self.editor.run(&statement.text).map(|()| Outcome::rows(1))
    }

    fn connection(&mut self) -> &mut (dyn Any + Send) {
        &mut self.editor
    }

    async fn close(self: Box<Self>) {}
}

/// The records and heads, with whatever else has changed.
fn add(editor: &mut Editor, batch: &Batch) -> Result<()> {
    let last = editor.file.read()?.records.last().map_or(0, |record| record.seq);
    if batch.after().is_some_and(|after| after != last) {
        return Err(Error::HistoryMoved { problem: format!("record {last} is there already") });
    }
    editor.now.records.extend(batch.records.iter().cloned());
    editor.now.heads.extend(batch.heads.iter().cloned());
    editor.file.write(&editor.now)
}

fn editor(session: &mut dyn Session) -> Result<&mut Editor> {
    session.connection().downcast_mut().ok_or_else(|| Error::wrong_backend("Editor"))
}

#[derive(Debug)]
struct Store;

#[async_trait]
impl StateStore for Store {
    async fn head(&self, session: &mut dyn Session, _: &[Namespace]) -> Result<Option<Head>> {
        let mut head = Head::default();
        head.namespaces = editor(session)?.now.heads.clone();
        Ok((!head.namespaces.is_empty()).then_some(head))
    }

    async fn prepare(&self, _: &mut dyn Session) -> Result<()> {
        Ok(())
    }

    async fn history(&self, session: &mut dyn Session) -> Result<History> {
        let editor = editor(session)?;
        // Read again: the lease may have been had only now.
        editor.now = editor.file.read()?;
        let mut history = History::default();
        history.records.clone_from(&editor.now.records);
        history.head.namespaces.clone_from(&editor.now.heads);
        Ok(history)
    }

    async fn append(&self, session: &mut dyn Session, batch: &Batch) -> Result<()> {
        add(editor(session)?, batch)
    }

    async fn acquire(&self, session: &mut dyn Session, _: &LeaseRequest) -> Result<Acquired> {
        let path = editor(session)?.file.0.with_extension("lock");
        let failed = |error: std::io::Error| Error::database("taking the lease", None, error);
        let file = File::create(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Acquired::Yes(Box::new(Locked { file }))),
            Err(TryLockError::WouldBlock) => {
                let mut holder = Holder::default();
                holder.place = Some(path.display().to_string());
                Ok(Acquired::No(holder))
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

#[derive(Debug)]
struct Locked {
    file: File,
}

#[async_trait]
impl Lease for Locked {
    async fn verify(&mut self, _: &mut dyn Session) -> Result<()> {
        Ok(())
    }

    async fn release(self: Box<Self>, _: &mut dyn Session) -> Result<()> {
        self.file.unlock().map_err(|error| Error::database("handing back the lease", None, error))
    }
}

/// Darker, for those who work at night.
#[migration(id = "0002_theme")]
async fn theme(settings: &mut Editor) -> Result<(), BoxError> {
    let night = settings.now.settings.get("shift").is_some_and(|shift| shift == "night");
    settings.run(if night { "set theme dark" } else { "set theme light" })?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "settings.json".to_owned());
    let shift = SqlMigration::new(env!("CARGO_PKG_NAME"), "0001_shift", "set shift night\nset language en")?
        .down("remove shift\nremove language");
    let all = Migrations::from(migrations![theme]).and(shift);
    println!("{}", Migrator::new(Settings(PathBuf::from(&path))).migrations(all).up().await?);
    println!("{}", std::fs::read_to_string(Path::new(&path))?.lines().take(6).collect::<Vec<_>>().join("\n"));
    Ok(())
}
