//! What the black-box tests share.

use std::path::{Path, PathBuf};

use admmgt::prelude::*;
use admmgt::rusqlite::Connection;

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

    /// One number from the database.
    pub fn number(&self, sql: &str) -> i64 {
        self.connection().query_row(sql, [], |row| row.get(0)).expect("a number")
    }

    /// The names of the application's own tables, in order.
    pub fn tables(&self) -> Vec<String> {
        let db = self.connection();
        let sql = "select name from sqlite_schema where type = 'table' and name not like '\\_admmgt%' escape '\\' and name not like 'sqlite%' order by 1";
        let mut statement = db.prepare(sql).expect("the schema is there");
        let names = statement.query_map([], |row| row.get(0)).expect("the schema can be read");
        names.map(|name| name.expect("a name")).collect()
    }

    /// Every file beside the database.
    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder()).expect("the folder can be read");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// SQL migrations of the namespace `app`: id and text.
pub fn sql(migrations: &[(&str, &str)]) -> Migrations {
    Migrations::new(
        migrations.iter().map(|(id, text)| SqlMigration::new("app", *id, (*text).to_owned()).expect("a name")),
    )
}
