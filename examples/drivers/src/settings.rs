//! Settings in one JSON file: the driver that the chapter on drivers is about.
//!
//! Its statements are `add KEY VALUE`, `set KEY VALUE` and `remove KEY`; a commit is a new file that takes the old one's
//! name, so that the change and its record are there together or not at all; the lease is a lock on a file beside it, which
//! the operating system frees when the process dies.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use admmgt::{
    Access, Acquired, Atomicity, Backend, Batch, Capabilities, Context, Dialect, Driver, Error, FORMAT, FromContext,
    Head, History, Holder, Lease, LeaseRequest, Namespace, NamespaceHead, Origin, Outcome, Record, Result, Script,
    ScriptProblem, Session, SessionOptions, StateStore, Statement, TransactionMode, async_trait, stored,
};
use serde::{Deserialize, Serialize};

const BACKEND: Backend = Backend::new("settings");

/// The settings in one file.
#[derive(Debug, Clone)]
pub struct Settings(pub PathBuf);

/// Everything in it: the settings, and what was done to them.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Contents {
    format: u32,
    settings: BTreeMap<String, String>,
    records: Vec<Record>,
    heads: BTreeMap<Namespace, NamespaceHead>,
}

impl Settings {
    fn read(&self) -> Result<Contents> {
        let text = match std::fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let (settings, heads) = (BTreeMap::new(), BTreeMap::new());
                return Ok(Contents { format: FORMAT, settings, records: Vec::new(), heads });
            }
            Err(error) => {
                return Err(Error::Unreachable { what: self.0.display().to_string(), problem: error.to_string() });
            }
        };
        let damaged =
            |error| Error::corrupt(self.0.display().to_string(), format!("{error}; restore it from a backup"));
        let contents: serde_json::Value = serde_json::from_str(&text).map_err(damaged)?;
        // What a newer version has written may look otherwise.
        stored::check_format(self.0.display().to_string(), contents["format"].as_i64().unwrap_or_default())?;
        serde_json::from_value(contents).map_err(damaged)
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
        // What an editor may put before the first letter.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (line, number) in text.lines().map(str::trim).zip(1..).filter(|(line, _)| !line.is_empty()) {
            match line.split(' ').next() {
                Some("add" | "set" | "remove") => statements.push(Statement { line: number, ..Statement::new(line) }),
                _ => problems.push(ScriptProblem::new(
                    number,
                    1,
                    "this is no command; write `add KEY VALUE`, `set KEY VALUE` or `remove KEY`",
                )),
            }
        }
        if problems.is_empty() { Ok(Script::new(statements, mode != TransactionMode::None)) } else { Err(problems) }
    }
}

/// What migrations written in Rust get: the settings as they are in the transaction.
#[derive(Debug)]
pub struct Editor {
    file: Settings,
    now: Contents,
    in_transaction: bool,
}

impl Editor {
    /// A setting.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.now.settings.get(key).map(String::as_str)
    }

    /// Runs a command: `set KEY VALUE`.
    ///
    /// # Errors
    /// What it says that cannot be done.
    pub fn run(&mut self, command: &str) -> Result<()> {
        let failed = |words: String| Err(Error::database("running a command", None, words));
        let mut words = command.splitn(3, ' ');
        let (verb, key, value) = (words.next(), words.next().unwrap_or_default(), words.next());
        let is_there = self.now.settings.contains_key(key);
        match (verb, value) {
            (Some("add"), Some(_)) if is_there => return failed(format!("there is a setting `{key}` already")),
            (Some("remove"), None) if !is_there => return failed(format!("there is no setting `{key}`")),
            (Some("add" | "set"), Some(value)) => drop(self.now.settings.insert(key.to_owned(), value.to_owned())),
            (Some("remove"), None) => drop(self.now.settings.remove(key)),
            _ => return failed("a setting has a name and a value".to_owned()),
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
        if let Err(error) = add(&mut self.editor, batch) {
            self.editor.now = self.editor.file.read()?;
            return Err(error);
        }
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
    // Without holes, and from behind the last one that is there: else somebody else has written.
    if batch.records.iter().zip(last + 1..).any(|(record, next)| record.seq != next) {
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
        if editor.now.records.is_empty() && !editor.now.heads.is_empty() {
            let problem = "there were records, and there are none; restore it from a backup";
            return Err(Error::corrupt(editor.file.0.display().to_string(), problem));
        }
        let mut history = History::default();
        history.records.clone_from(&editor.now.records);
        history.head.namespaces.clone_from(&editor.now.heads);
        Ok(history)
    }

    async fn append(&self, session: &mut dyn Session, batch: &Batch) -> Result<()> {
        add(editor(session)?, batch)
    }

    async fn names(&self, session: &mut dyn Session) -> Result<Vec<String>> {
        Ok(editor(session)?.now.settings.keys().cloned().collect())
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
    /// The lock is held for as long as the file is open. Nothing of ours deletes it.
    async fn verify(&mut self, _: &mut dyn Session) -> Result<()> {
        Ok(())
    }

    async fn release(self: Box<Self>, _: &mut dyn Session) -> Result<()> {
        self.file.unlock().map_err(|error| Error::database("handing back the lease", None, error))
    }
}
