//! A folder that is removed at the end, with a database in it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use admmgt::prelude::*;
use admmgt::rusqlite::Connection;

use crate::{Ground, Left, Orders, Sets};

/// A folder that is removed at the end, with a database in it that does not exist yet.
#[derive(Debug)]
pub struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    /// A new one.
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// The database's file.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The driver of the database.
    pub fn sqlite(&self) -> Sqlite {
        Sqlite::open(self.path()).expect("a path")
    }

    /// Another connection to the database, as the application has one.
    pub fn connection(&self) -> Connection {
        Connection::open(self.path()).expect("the database opens")
    }

    /// A migrator of the database with these migrations.
    pub fn migrator(&self, migrations: impl Into<Migrations>) -> Migrator {
        Migrator::new(self.sqlite()).migrations(migrations)
    }

    /// Runs statements as the application would.
    pub fn run(&self, sql: &str) {
        self.connection().execute_batch(sql).expect("the statements run");
    }

    /// One number from the database.
    pub fn number(&self, sql: &str) -> i64 {
        self.connection().query_row(sql, [], |row| row.get(0)).expect("a number")
    }

    /// One column of texts from the database.
    pub fn texts(&self, sql: &str) -> Vec<String> {
        let db = self.connection();
        let mut statement = db.prepare(sql).expect("the query is one");
        let texts = statement.query_map([], |row| row.get(0)).expect("the query runs");
        texts.map(|text| text.expect("a text")).collect()
    }

    /// The names of the application's own tables, in order.
    pub fn tables(&self) -> Vec<String> {
        self.texts(
            "select name from sqlite_schema where type = 'table' and name not like '\\_admmgt%' escape '\\' \
             and name not like 'sqlite%' order by 1",
        )
    }

    /// The kinds of the records of one migration, in the order they were written.
    pub fn records(&self, id: &str) -> Vec<String> {
        self.texts(&format!("select kind from _admmgt_history where namespace || '/' || id = '{id}' order by seq"))
    }

    /// Every file beside the database.
    pub fn files(&self) -> Vec<String> {
        self.contents().into_keys().collect()
    }

    /// Every file beside the database, with its bytes.
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(self.folder()).expect("the folder can be read");
        let files = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
        let named = files.map(|path| (path.file_name().expect("a name").to_string_lossy().into_owned(), path));
        named.map(|(name, path)| (name, std::fs::read(path).expect("a file that can be read"))).collect()
    }

    /// Writes a file beside the database and says where.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder().join(name);
        std::fs::write(&path, bytes).expect("the file can be written");
        path
    }

    /// A copy of the database as a dead process left it, so that looking at it does not recover it.
    pub fn copy(&self) -> Self {
        let copy = Self::new();
        for (name, bytes) in self.contents().into_iter().filter(|(name, _)| !name.ends_with("-shm")) {
            copy.write(&name, bytes);
        }
        copy
    }

    /// A message in which the folder's name, which differs each time, is `$`.
    pub fn neutral(&self, message: &impl ToString) -> String {
        message.to_string().replace(&self.folder().display().to_string(), "$")
    }

    /// Whether this process still has the database open.
    pub fn is_open_here(&self) -> bool {
        let open = std::fs::read_dir("/proc/self/fd").expect("linux");
        let open = open.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        let folder = std::fs::canonicalize(self.folder()).expect("the folder is there");
        open.into_iter().any(|path| path.starts_with(&folder))
    }
}

impl Ground for Scratch {
    fn new() -> Self {
        Self::new()
    }

    /// Looks at a copy: the next run gets the files as they are.
    fn left(&self, orders: &Orders) -> Left {
        let copy = self.copy();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let status = runtime.block_on(copy.migrator(Sets::migrations(orders)).status());
        let status = status.expect("the history can be read");
        if !copy.path().exists() {
            return Left { tables: Vec::new(), log: Vec::new(), status };
        }
        assert_eq!(copy.texts("pragma integrity_check"), ["ok"]);
        let mut tables = copy.tables();
        let log =
            if tables.contains(&"log".to_owned()) { copy.texts("select * from log order by 1") } else { Vec::new() };
        tables.retain(|table| table != "log");
        Left { tables, log, status }
    }

    fn repair(&self, sql: &str) {
        self.run(sql);
    }

    /// In a copy, as [`Ground::left`].
    fn with_value(&self, value: i64) -> usize {
        let sql = format!("select count(*) from big where value = {value}");
        usize::try_from(self.copy().number(&sql)).expect("a count")
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits until something is so; panics with its name if that takes longer than half a minute.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let clock = Instant::now();
    while !is_so() {
        assert!(clock.elapsed() < Duration::from_secs(30), "{what}: not within half a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether the full tier was asked for.
pub fn is_full() -> bool {
    std::env::var("ADMMGT_TEST_FULL").is_ok_and(|value| value == "1")
}

/// Prints a line that is seen when the test passes, too: counts are part of what is shown.
pub fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "    {line}");
}

/// A message without what differs from run to run: instants, hexadecimal runs and checksums.
pub fn snapshot(message: &str) -> String {
    let mut out = String::new();
    for word in message.split_inclusive(|c: char| c.is_whitespace() || "()`,".contains(c)) {
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let hash = bare.strip_prefix("v1:sha256:");
        if hash.is_some_and(|hash| hash.len() == 64) {
            out.push_str(&word.replace(bare, "v1:sha256:…"));
        } else if bare.len() == 20 && bare.ends_with('Z') && bare.as_bytes()[10] == b'T' {
            out.push_str(&word.replace(bare, "<time>"));
        } else {
            out.push_str(word);
        }
    }
    out
}
