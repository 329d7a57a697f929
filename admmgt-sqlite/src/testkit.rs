//! Databases for tests: files in a folder, each copied from one that is migrated once.

mod look;

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use admmgt_core::{Driver, Error, Result, async_trait};
use admmgt_testkit::{Data, Schema, TestDatabase, TestDatabases, TestServer};
use rusqlite::Connection;

use crate::error::Asked;
use crate::{Sqlite, host};

/// The folder's name.
const FOLDER: &str = "admmgt-test-databases";
/// The name of each database, in a folder of its own.
const FILE: &str = "test.db";
/// What the names of test databases' folders start with, and those of templates; then come 16 hexadecimal digits.
const TEST: &str = "admmgt_test_";
const TEMPLATE: &str = "admmgt_template_";
/// What is older than this and still there was left by a test that was killed.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);
/// A template that nobody has copied for so long is of a set that is gone.
const UNUSED: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long another process may take to make a template.
const PATIENCE: Duration = Duration::from_secs(600);

impl Sqlite {
    /// A fresh, migrated file for each test, with every registered migration. The files are in a folder beside the test
    /// program, under `target/`.
    ///
    /// ```
    /// use admmgt_core::{Migrations, SqlMigration};
    /// use admmgt_sqlite::Sqlite;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let notes = SqlMigration::new("app", "0001_notes", "create table notes(text)")?;
    /// let database = Sqlite::tests().migrations(Migrations::new([notes])).fresh().await?;
    /// database.connection()?.execute("insert into notes values ('hello')", [])?;
    /// # Ok(()) }                                                              // it is removed here
    /// ```
    pub fn tests() -> TestDatabases<SqliteFolder> {
        TestDatabases::of(SqliteFolder::default())
    }
}

/// A folder of databases for tests.
#[derive(Debug, Clone)]
pub struct SqliteFolder {
    path: PathBuf,
}

impl SqliteFolder {
    /// This folder; it is made where it is not there. What is in it under names that start with `admmgt_test_` and
    /// `admmgt_template_` is ours to remove.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn template(&self, name: &str, ending: &str) -> Result<PathBuf> {
        if !is_hexadecimal(name) {
            return Err(Error::Usage { problem: format!("`{name}` names no template") });
        }
        Ok(self.path.join(format!("{TEMPLATE}{name}.{ending}")))
    }

    /// A new folder for one database.
    fn make(&self) -> Result<SqliteTest> {
        static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
        if SWEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(self.path.clone()) {
            self.sweep();
        }
        let folder = self.path.join(format!("{TEST}{:016x}", fastrand::u64(..)));
        fs::create_dir_all(&folder).map_err(|error| self.failed(error))?;
        let driver = Sqlite::open(folder.join(FILE))?;
        Ok(SqliteTest { folder, driver })
    }

    /// Removes what killed tests have left, a day later, and templates that nobody has used for a week. That it fails is no
    /// failure of a test.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let changed = entry.metadata().and_then(|found| found.modified());
            let age =
                changed.ok().and_then(|changed| SystemTime::now().duration_since(changed).ok()).unwrap_or_default();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let template = name.strip_prefix(TEMPLATE).and_then(|rest| rest.split_once('.'));
            if name.strip_prefix(TEST).is_some_and(is_hexadecimal) && age > FORGOTTEN {
                let _ = fs::remove_dir_all(entry.path());
            } else if template.is_some_and(|(name, ending)| is_hexadecimal(name) && ["db", "lock"].contains(&ending))
                && age > UNUSED
            {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::Unreachable {
            what: self.path.display().to_string(),
            problem: format!("no test database can be made there: {error}"),
        }
    }
}

/// Whether a name is one of ours, behind what it starts with.
fn is_hexadecimal(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Default for SqliteFolder {
    /// Beside the program that runs: under `target/`, of a test.
    fn default() -> Self {
        let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join(FOLDER)));
        // Elsewhere under a name that nobody else can have made before.
        Self::at(beside.unwrap_or_else(|| std::env::temp_dir().join(format!("{FOLDER}-{:016x}", fastrand::u64(..)))))
    }
}

#[async_trait]
impl TestServer for SqliteFolder {
    type Database = SqliteTest;

    async fn empty(&self) -> Result<SqliteTest> {
        self.make()
    }

    async fn copy(&self, template: &str) -> Result<Option<SqliteTest>> {
        let database = self.make()?;
        let template = self.template(template, "db")?;
        match fs::copy(&template, database.path()) {
            Ok(_) => {
                // It is in use. Where that cannot be noted, it is made again some day.
                let _ =
                    File::options().append(true).open(&template).and_then(|file| file.set_modified(SystemTime::now()));
                Ok(Some(database))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn keep(&self, template: &str, database: SqliteTest) -> Result<()> {
        let template = self.template(template, "db")?;
        if template.exists() {
            return Ok(());
        }
        // What is in the write-ahead log would not be copied.
        let busy = |db: &Connection| db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        if database.sql("wrapping the template up", busy)? {
            let problem = "somebody still uses the database that was to become a template".to_owned();
            return Err(Error::Usage { problem });
        }
        fs::rename(database.path(), template).map_err(|error| self.failed(error))
    }

    async fn forget(&self, template: &str) -> Result<()> {
        match fs::remove_file(self.template(template, "db")?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed(error)),
            _ => Ok(()),
        }
    }

    async fn turn(&self, template: &str) -> Result<Box<dyn Send>> {
        let (folder, path) = (self.clone(), self.template(template, "lock")?);
        let locked = host::briefly(move || {
            let file = File::create(&path).map_err(|error| folder.failed(error))?;
            let clock = Instant::now();
            loop {
                match file.try_lock() {
                    Ok(()) => return Ok(file),
                    Err(TryLockError::WouldBlock) if clock.elapsed() < PATIENCE => {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    Err(TryLockError::WouldBlock) => {
                        let problem = format!("another process has been making `{}` for {PATIENCE:?}", path.display());
                        return Err(Error::Usage { problem });
                    }
                    Err(TryLockError::Error(error)) => return Err(folder.failed(error)),
                }
            }
        });
        Ok(Box::new(locked.await?))
    }
}

/// A SQLite file for one test, removed with this value.
#[derive(Debug)]
pub struct SqliteTest {
    folder: PathBuf,
    driver: Sqlite,
}

impl SqliteTest {
    /// The file.
    pub fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Its folder, which is removed too: for what else the test writes.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A connection to it.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn connection(&self) -> rusqlite::Result<Connection> {
        Connection::open(self.path())
    }

    fn sql<T>(&self, action: &str, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let path = self.path();
        let asked = Asked { what: &path.to_string_lossy(), patience: Duration::ZERO };
        let done = self.connection().and_then(|connection| work(&connection));
        done.map_err(|error| asked.failed(action, error))
    }
}

impl Drop for SqliteTest {
    fn drop(&mut self) {
        // What stays is removed by a later test.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[async_trait]
impl TestDatabase for SqliteTest {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(self.driver.clone())
    }

    async fn run(&self, text: &str) -> Result<()> {
        self.sql("running a text", |db| db.execute_batch(text))
    }

    async fn schema(&self) -> Result<Schema> {
        self.sql("reading the schema", look::schema)
    }

    async fn data(&self) -> Result<Data> {
        self.sql("reading the data", look::data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_killed_tests_and_old_sets_have_left_goes() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str, age: Duration| {
            let path = place.path().join(name);
            if name.contains('.') {
                fs::write(&path, "").unwrap()
            } else {
                fs::create_dir(&path).unwrap()
            }
            File::open(&path).unwrap().set_modified(SystemTime::now() - age).unwrap();
            path
        };
        let day = Duration::from_secs(24 * 3600);
        let (one, other) = ("0123456789abcdef", "fedcba9876543210");
        let gone = [
            at(&format!("admmgt_test_{one}"), 2 * day),
            at(&format!("admmgt_template_{one}.db"), 8 * day),
            at(&format!("admmgt_template_{one}.lock"), 8 * day),
        ];
        let stays = [
            at(&format!("admmgt_test_{other}"), day / 2),
            at(&format!("admmgt_template_{other}.db"), 6 * day),
            // What is not ours.
            at("mine", 100 * day),
            at("admmgt_test_data", 100 * day),
            at("admmgt_template_invoice.db", 100 * day),
            at(&format!("admmgt_template_{one}.html.db"), 100 * day),
        ];
        SqliteFolder::at(place.path()).sweep();
        assert!(gone.iter().all(|path| !path.exists()) && stays.iter().all(|path| path.exists()));
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_one_is_told() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        let error = SqliteFolder::at(&file).empty().await.unwrap_err();
        assert!(error.to_string().contains("no test database can be made there"), "{error}");
        let error = SqliteFolder::at(place.path()).copy("../file").await.unwrap_err();
        assert!(error.to_string().contains("names no template"), "{error}");
        let database = SqliteFolder::at(place.path()).empty().await.unwrap();
        assert_eq!(database.path().parent(), Some(database.folder()));
    }
}
