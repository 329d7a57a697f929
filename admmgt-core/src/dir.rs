//! Folders of SQL files as lists of migrations.

use std::path::{Path, PathBuf};

use admmgt_files::layout::{self, Found, Ignored, Layout, LayoutProblem, Source, Text};

use crate::{InvalidName, MigrationId, Migrations, SqlMigration, SqlSource, TransactionMode};

/// A folder of SQL files, read, in the layout of whatever tool it was made for.
///
/// | layout | files | order | way back |
/// |---|---|---|---|
/// | Flyway, refinery | `V1__users.sql`, `V2.1__plans.sql`, `V2_1__plans.sql`; also in folders in the folder | by version, number by number | `U1__users.sql`, `V1__users_down.sql` |
/// | repeatable, beside them | `R__views.sql`: runs last, and again each time it changes | by name | `R__views.down.sql`; else what it was before is put back |
/// | sqlx, golang-migrate, sql-migrate, goose, tern, node-sqlite, postgrator | `0001_users.sql`, `1-users.up.sql`, `20240101_users.sql`, `V1_users.sql`, `001.do.users.sql`; 1 to 46 characters, then `_`, `__`, `-` or `.` | by number, padded or not | `….down.sql`, `….undo.sql`, `0001_users_down.sql`, or a section of the file |
/// | dbmate | as these, with `-- migrate:up` | by the name of the file, as a text | `-- migrate:down` |
/// | diesel | `2024-01-01-000000_users/up.sql` | by version without dashes, as a text | `down.sql` beside it |
/// | rusqlite_migration | `01-users/up.sql` | by number | `down.sql` beside it |
/// | Prisma | `20240101000000_users/migration.sql` | by the name of the folder, as a text | none |
///
/// *Ids* are the names without endings: `V2.1__plans`, `0001_users`; a letter `V` before a plain number is left
/// out, as are the dashes in a date of diesel. Where the order as texts is another one than that of the ids, each
/// migration depends on the one before.
///
/// *Marks* in a file split it into both ways: `-- +goose Up` and `Down`, `-- +migrate Up` and `Down`, `-- migrate:up`
/// and `-- migrate:down`, `-- rambler up`, plain `-- Up` and `-- Down` where nothing stands above them, and
/// `---- create above / drop below ----` or `-- //@UNDO` for the way back alone. `StatementBegin` and `StatementEnd`
/// are not needed: statements are found by the rules of the database.
///
/// *Without a transaction*: `-- no-transaction` in the first line, `-- +goose NO TRANSACTION`, `-- +migrate Up
/// notransaction`, `-- migrate:up transaction:false`, `run_in_transaction = false` in diesel's `metadata.toml`,
/// `….autocommit.up.sql`.
///
/// *MongoDB* has commands in JSON: the same layouts, with `.json` for `.sql`: `0001_users.up.json`, `0001_users/up.json`.
///
/// *Dialects*: `0001_users.sqlite.sql`, `0001_users.up.postgres.sql`, `0001.sql.sqlite` are for one kind of database
/// only, and win over a file without such a word.
///
/// A folder is refused, with every reason, for two layouts in it, one version twice, a way back without its way
/// there, a numbered migration that is a program (`0002_fill.go`), and marks that cannot be meant. What is no
/// migration is [listed](MigrationsDir::ignored).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MigrationsDir {
    /// Its migrations.
    pub migrations: Migrations,
    /// Its layout; `None` where it holds no migration.
    pub layout: Option<Layout>,
    /// What is in it besides, and why that is no migration.
    pub ignored: Vec<Ignored>,
}

/// Why a folder cannot be read as migrations.
#[derive(Debug, thiserror::Error)]
#[error("the folder {} cannot be read as migrations:{}", folder.display(), lines(problems))]
#[non_exhaustive]
pub struct DirError {
    /// The folder.
    pub folder: PathBuf,
    /// Everything that is wrong with it.
    pub problems: Vec<String>,
}

fn lines(problems: &[String]) -> String {
    problems.iter().map(|problem| format!("\n  - {problem}")).collect()
}

impl MigrationsDir {
    /// Refuses a folder with files that are no migrations.
    ///
    /// # Errors
    /// Every such file, and why it is none.
    pub fn strict(self, folder: impl AsRef<Path>) -> Result<Self, DirError> {
        if self.ignored.is_empty() {
            return Ok(self);
        }
        let problems = self.ignored.iter().map(|file| format!("{}: {}", file.path.display(), file.reason)).collect();
        Err(DirError { folder: folder.as_ref().to_owned(), problems })
    }

    /// Reads a folder in any of these layouts. `backend` is `sqlite`, `postgres` …, for files that are
    /// for one of them only.
    ///
    /// # Errors
    /// Everything that makes the folder no list of migrations. What is wrong *in* a file is found with
    /// everything else, when the migrations run.
    ///
    /// ```no_run
    /// use admmgt_core::MigrationsDir;
    ///
    /// let folder = MigrationsDir::read("app", "migrations", "sqlite")?;
    /// for file in &folder.ignored {
    ///     eprintln!("{}: {}", file.path.display(), file.reason);
    /// }
    /// # Ok::<(), admmgt_core::DirError>(())
    /// ```
    pub fn read(namespace: &str, folder: impl AsRef<Path>, backend: &str) -> Result<Self, DirError> {
        let folder = folder.as_ref();
        let wrong = |problems: Vec<String>| DirError { folder: folder.to_owned(), problems };
        let read = layout::read(folder, backend)
            .map_err(|problems| wrong(problems.iter().map(LayoutProblem::to_string).collect()))?;
        let mut migrations = Vec::with_capacity(read.migrations.len());
        let mut problems = Vec::new();
        for found in read.migrations {
            match migration(namespace, found) {
                Ok(migration) => migrations.push(migration),
                Err(problem) => problems.push(problem.to_string()),
            }
        }
        if problems.is_empty() {
            Ok(Self { migrations: Migrations::new(migrations), layout: read.layout, ignored: read.ignored })
        } else {
            Err(wrong(problems))
        }
    }
}

fn migration(namespace: &str, found: Found) -> Result<SqlMigration, InvalidName> {
    let Found { id, up, down, repeatable, after } = found;
    let after = after.map(|after| MigrationId::new(namespace, after)).transpose()?;
    let mode = |outside: bool| if outside { TransactionMode::None } else { TransactionMode::Auto };
    let file = up.file.display().to_string();
    let migration = match up.text {
        Ok(text) => SqlMigration::of_file(namespace, id, source(file, text))?,
        Err(problem) => {
            let empty = SqlSource::new(file, "");
            SqlMigration::of_file(namespace, id, empty)?.unreadable(problem.line(), problem.to_string())
        }
    };
    let migration = migration.with(|mut meta| {
        meta.repeatable = repeatable;
        meta.after = after;
        meta.transaction(mode(up.outside))
    });
    Ok(match down {
        Some(Source { file, text: Ok(text), outside }) => {
            migration.down_of(source(file.display().to_string(), text).transaction(mode(outside)))
        }
        Some(Source { text: Err(problem), .. }) => {
            migration.unreadable(problem.line(), format!("its way back: {problem}"))
        }
        None => migration,
    })
}

fn source(file: String, text: Text) -> SqlSource {
    match text {
        Text::Whole(text) => SqlSource::new(file, text),
        Text::Large(slice) => SqlSource::in_file(file, slice),
    }
}
