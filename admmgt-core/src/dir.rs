//! Folders of SQL files as lists of migrations.

use std::path::{Path, PathBuf};

use admmgt_files::layout::{self, Found, Ignored, Layout, LayoutProblem, Source, Text};

use crate::{InvalidName, MigrationId, Migrations, SqlMigration, SqlSource, TransactionMode};

/// A folder of SQL files, read.
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
    /// Reads a folder in any layout that [`admmgt_files::layout`] knows: those of Flyway, refinery, sqlx,
    /// golang-migrate, goose, dbmate and diesel. `backend` is `sqlite`, `postgres` …, for files that are
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
        meta.depends_on = after.into_iter().collect();
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
