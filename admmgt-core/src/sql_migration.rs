//! [`SqlMigration`]: SQL that is known at run time.

use std::borrow::Cow;
use std::path::Path;

use admmgt_files::large::{self, LargeProblem};
use admmgt_files::text::{self, TextProblem};
use async_trait::async_trait;

use crate::migration::{BoxError, Migration, ProbeBody, Probed};
use crate::refusal::Refusal;
use crate::script::SqlSource;
use crate::{Checksum, Context, Direction, InvalidName, Location, Meta, MigrationId, OnInterrupt, Origin};

/// A SQL migration whose text is known at run time.
///
/// ```
/// use admmgt_core::{Migrations, SqlMigration};
///
/// let users = SqlMigration::new("app", "0001_users", "create table users(id integer primary key)")?
///     .down("drop table users");
/// let set = Migrations::new([users]);
/// # let _ = set;
/// # Ok::<(), admmgt_core::InvalidName>(())
/// ```
#[derive(Debug, Clone)]
pub struct SqlMigration {
    meta: Meta,
    up: SqlSource,
    down: Option<SqlSource>,
    probe: Option<ProbeBody>,
    problems: Vec<Refusal>,
}

impl SqlMigration {
    /// A migration from a string; errors name the place this was called from.
    ///
    /// # Errors
    /// [`InvalidName`] where the namespace or the id cannot be one.
    #[track_caller]
    pub fn new(
        namespace: impl Into<String>,
        id: impl Into<String>,
        sql: impl Into<Cow<'static, str>>,
    ) -> Result<Self, InvalidName> {
        let id = MigrationId::new(namespace, id)?;
        let sql = sql.into();
        let mut meta = Meta::new(id, Checksum::of_sql(&sql));
        meta.origin = Origin::Sql;
        let up = SqlSource::new(format!("{} (inline SQL)", meta.location), sql);
        let mut migration = Self { meta, up, down: None, probe: None, problems: Vec::new() };
        let text = migration.up.text().unwrap_or_default();
        if let Err(problem) = text::decode(text.as_bytes()) {
            migration.refuse(problem.line(), problem.to_string());
        }
        Ok(migration)
    }

    /// A migration from a file, read now. A file that cannot be read or decoded is a
    /// [`Refusal`] of the whole set, so that all of them are reported together.
    ///
    /// # Errors
    /// [`InvalidName`] where the namespace or the id cannot be one.
    pub fn from_file(
        namespace: impl Into<String>,
        id: impl Into<String>,
        path: impl AsRef<Path>,
    ) -> Result<Self, InvalidName> {
        let file = path.as_ref().display().to_string();
        let mut migration = Self::new(namespace, id, "")?;
        migration.meta.location = Location { file: Cow::Owned(file.clone()), line: 1 };
        match read(path.as_ref()) {
            Ok(source) => {
                migration.meta.checksum = source.checksum();
                migration.up = source;
            }
            Err((line, problem)) => migration.refuse(line, problem),
        }
        Ok(migration)
    }

    /// SQL that takes it back.
    pub fn down(mut self, sql: impl Into<Cow<'static, str>>) -> Self {
        let down = SqlSource::new(self.up.file.clone(), sql);
        if let Err(problem) = text::decode(down.text().unwrap_or_default().as_bytes()) {
            self.refuse(problem.line(), format!("its way back: {problem}"));
        }
        self.down = Some(down);
        self.meta.reversible = true;
        self
    }

    /// A function that looks how far it came, where it was interrupted.
    ///
    /// ```
    /// use admmgt_core::{Probed, SqlMigration, TransactionMode};
    ///
    /// let vacuum = SqlMigration::new("app", "0009_vacuum", "vacuum")?
    ///     .with(|meta| meta.transaction(TransactionMode::None))
    ///     .probe(|_| Box::pin(async { Ok(Probed::NotDone) })); // to do it once more does no harm
    /// # let _ = vacuum;
    /// # Ok::<(), admmgt_core::InvalidName>(())
    /// ```
    pub fn probe(mut self, probe: ProbeBody) -> Self {
        self.probe = Some(probe);
        self.meta.on_interrupt = OnInterrupt::Probe;
        self
    }

    /// A file with the SQL that takes it back, read now.
    pub fn down_file(mut self, path: impl AsRef<Path>) -> Self {
        match read(path.as_ref()) {
            Ok(source) => {
                self.down = Some(source);
                self.meta.reversible = true;
            }
            Err((line, problem)) => self.problems.push(Refusal::Unreadable {
                id: self.meta.id.clone(),
                file: path.as_ref().display().to_string(),
                line,
                problem,
            }),
        }
        self
    }

    /// A file whose text was read by somebody else.
    pub(crate) fn of_file(namespace: &str, id: String, source: SqlSource) -> Result<Self, InvalidName> {
        let mut migration = Self::new(namespace, id, "")?;
        migration.meta.location = Location { file: source.file.clone(), line: 1 };
        migration.meta.checksum = source.checksum();
        migration.up = source;
        Ok(migration)
    }

    pub(crate) fn down_of(mut self, source: SqlSource) -> Self {
        self.down = Some(source);
        self.meta.reversible = true;
        self
    }

    /// It is refused, with everything else that is wrong.
    pub(crate) fn unreadable(mut self, line: usize, problem: String) -> Self {
        self.refuse(line, problem);
        self
    }

    /// Changes what the migration says of itself: description, dependencies, tags, transaction.
    pub fn with(mut self, change: impl FnOnce(Meta) -> Meta) -> Self {
        self.meta = change(self.meta);
        self
    }

    fn refuse(&mut self, line: usize, problem: String) {
        self.problems.push(Refusal::Unreadable {
            id: self.meta.id.clone(),
            file: self.meta.location.file.to_string(),
            line,
            problem,
        });
    }
}

#[async_trait]
impl Migration for SqlMigration {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    async fn up(&self, cx: &mut Context) -> Result<(), BoxError> {
        Ok(cx.execute_script(&self.up.read()?).await?)
    }

    async fn down(&self, cx: &mut Context) -> Result<(), BoxError> {
        match &self.down {
            Some(source) => Ok(cx.execute_script(&source.read()?).await?),
            None => Err(format!("`{}` has no way back", self.meta.id).into()),
        }
    }

    async fn probe(&self, cx: &mut Context) -> Result<Probed, BoxError> {
        match self.probe {
            Some(probe) => probe(cx).await,
            None => Ok(Probed::Unknown),
        }
    }

    fn sql(&self, direction: Direction) -> Option<&SqlSource> {
        match direction {
            Direction::Up => Some(&self.up),
            Direction::Down => self.down.as_ref(),
        }
    }

    fn problems(&self) -> Vec<Refusal> {
        self.problems.clone()
    }
}

/// The text of a file, or the line and the words of what is wrong with it.
fn read(path: &Path) -> Result<SqlSource, (usize, String)> {
    let unreadable = |error| (1, format!("cannot be read: {error}"));
    let unusable = |problem: TextProblem| (problem.line(), problem.to_string());
    let file = path.display().to_string();
    if std::fs::metadata(path).map_err(unreadable)?.len() > large::LARGE {
        return match large::whole(path) {
            Ok(slice) => Ok(SqlSource::in_file(file, slice)),
            Err(LargeProblem::Io(error)) => Err(unreadable(error)),
            Err(LargeProblem::Text(problem)) => Err(unusable(problem)),
        };
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    text::decode(&bytes).map(|text| SqlSource::new(file, text.to_owned())).map_err(unusable)
}
