//! Folders of SQL files, as people have them.
//!
//! Which layouts there are, in which order each runs, and which marks are read, is written down for users at
//! `admmgt_core::MigrationsDir`.
//!
//! [`read`] reads a folder; everything that is not a migration is listed with the reason.

mod name;
mod problem;
mod sections;
mod ways;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use self::name::{Named, Role};
pub use self::problem::LayoutProblem;
use self::ways::{Ways, source, ways};
use crate::large::Slice;
use crate::order::natural;
use crate::text::TextProblem;

/// Which kind of folder it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `V1__users.sql`.
    Flyway,
    /// `0001_users.sql`, `0001_users.up.sql`.
    Numbered,
    /// `0001_users/up.sql`.
    Diesel,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flyway => "Flyway (`V1__name.sql`)",
            Self::Numbered => "numbered (`0001_name.sql`)",
            Self::Diesel => "diesel (`0001_name/up.sql`)",
        })
    }
}

/// What a folder holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folder {
    /// Its layout; `None` where it holds no migration.
    pub layout: Option<Layout>,
    /// Its migrations, in no particular order: whoever runs them orders them by id.
    pub migrations: Vec<Found>,
    /// What is in it besides, and why that is no migration.
    pub ignored: Vec<Ignored>,
}

/// One migration of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its id: the name of its file or folder without endings, in characters that ids may have.
    pub id: String,
    /// What it does.
    pub up: Source,
    /// What takes it back.
    pub down: Option<Source>,
    /// It runs again each time it changes.
    pub repeatable: bool,
    /// The id of the one that comes before it, where the layout orders names as texts and that is another order
    /// than that of the ids.
    pub after: Option<String>,
}

/// The text of one way, and where it stands. Lines are those of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// Its text, or why it has none.
    pub text: Result<Text, TextProblem>,
    /// It says of itself that it runs outside of a transaction.
    pub outside: bool,
}

/// The text of one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// All of it, with the lines that are not of this way emptied.
    Whole(String),
    /// It is too large to be held: where it stands.
    Large(Slice),
}

/// Something that is no migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub reason: &'static str,
}

/// Reads a folder. `dialect` is the backend's name (`sqlite`, `postgres`), for files that are for one only.
///
/// # Errors
/// Everything that makes the folder no list of migrations.
pub fn read(folder: &Path, dialect: &str) -> Result<Folder, Vec<LayoutProblem>> {
    let mut reading = Reading {
        dialect,
        found: BTreeMap::new(),
        words: Vec::new(),
        takes_back: Vec::new(),
        programs: Vec::new(),
        counted: false,
        folder: Folder::default(),
        first: None,
        problems: Vec::new(),
    };
    match entries(folder) {
        Ok(entries) => entries.into_iter().for_each(|path| reading.entry(path)),
        Err(problem) => reading.problems.push(problem),
    }
    reading.finish()
}

/// The entries of a folder, sorted, so that the same folder is always read the same way.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, LayoutProblem> {
    let unreadable = |error| LayoutProblem::Unreadable { path: folder.to_owned(), error };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        paths.push(entry.map_err(unreadable)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// The files of one version, as far as they have been seen.
#[derive(Debug, Default)]
struct Version {
    id: String,
    up: Option<(PathBuf, bool)>,
    down: Option<(PathBuf, bool)>,
    /// `metadata.toml` of diesel.
    outside: bool,
    repeatable: bool,
    /// The name without endings.
    stem: String,
}

struct Reading<'a> {
    dialect: &'a str,
    /// By version.
    found: BTreeMap<String, Version>,
    /// Names that are migrations only where no plainer ones are.
    words: Vec<(PathBuf, Named)>,
    /// Names that take something back where that is there.
    takes_back: Vec<(PathBuf, Named)>,
    programs: Vec<PathBuf>,
    /// A folder's name starts with a number and no version of diesel.
    counted: bool,
    folder: Folder,
    first: Option<(Layout, PathBuf)>,
    problems: Vec<LayoutProblem>,
}

impl Reading<'_> {
    fn entry(&mut self, path: PathBuf) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
            return self.ignore(path, "its name is not UTF-8");
        };
        if name.starts_with('.') {
            // Of editors and version control, not of people.
        } else if path.is_dir() {
            self.subfolder(path, &name);
        } else if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            // To read a pipe would wait for ever.
            self.ignore(path, "it is no regular file");
        } else {
            match name::parse(&name, self.dialect) {
                Ok(named) if named.takes_back.is_some() => self.takes_back.push((path, named)),
                Ok(named) if named.is_word => self.words.push((path, named)),
                Ok(named) => self.file(path, named),
                Err(name::OTHER_DIALECT) => {}
                Err(name::PROGRAM) => self.programs.push(path),
                Err(reason) => self.ignore(path, reason),
            }
        }
    }

    /// `up.sql`, `down.sql` and `metadata.toml` of diesel.
    fn subfolder(&mut self, path: PathBuf, name: &str) {
        // Prisma calls it `migration.sql`.
        let ending = name::ending(self.dialect);
        let file = |stem: &str| Some(path.join(format!("{stem}.{ending}"))).filter(|file| file.is_file());
        let Some(up) = file("up").or_else(|| file("migration")) else {
            return self.nested(path);
        };
        self.layout(Layout::Diesel, &path);
        let version = self.found.entry(name::number(name)).or_default();
        // diesel orders by the version alone, without its dashes; Prisma by the whole name; rusqlite_migration, which
        // calls them `10-users`, by the number.
        let (head, rest) = name.split_once('_').unwrap_or((name, ""));
        let number = head.replace('-', "");
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
        let separator = if rest.is_empty() { "" } else { "_" };
        version.id = name::id(&if is_number { format!("{number}{separator}{rest}") } else { name.to_owned() });
        let of_diesel = is_number && up.file_stem().is_some_and(|stem| stem == "up");
        version.stem = if of_diesel { format!("{number}\0{rest}") } else { name.to_owned() };
        self.counted |= !is_number;
        if let Some((other, _)) = &version.up {
            let files = [other.clone(), up];
            return self.problems.push(LayoutProblem::Twice { version: name.to_owned(), files });
        }
        version.up = Some((up, false));
        version.down = file("down").map(|down| (down, false));
        let metadata = std::fs::read_to_string(path.join("metadata.toml")).unwrap_or_default();
        version.outside = metadata.lines().any(|line| {
            let line: String = line.split('#').next().unwrap_or_default().split_whitespace().collect();
            line == "run_in_transaction=false"
        });
    }

    /// Flyway and refinery read folders in the folder; the others do not, and their files are not to be lost.
    fn nested(&mut self, folder: PathBuf) {
        let inside = match entries(&folder) {
            Ok(inside) => inside,
            Err(problem) => return self.problems.push(problem),
        };
        let mut is_empty = true;
        for path in inside {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            match name::parse(name, self.dialect) {
                _ if path.is_dir() && !name.starts_with('.') => self.nested(path),
                Ok(named) if named.layout == Layout::Flyway => self.file(path, named),
                Ok(_) => return self.problems.push(LayoutProblem::Nested { folder }),
                Err(_) => continue,
            }
            is_empty = false;
        }
        if is_empty {
            let is_sql = name::ending(self.dialect) == "sql";
            self.ignore(folder, if is_sql { "a folder without `up.sql`" } else { "a folder without `up.json`" });
        }
    }

    fn file(&mut self, path: PathBuf, named: Named) {
        self.layout(named.layout, &path);
        let version = self.found.entry(named.version.clone()).or_default();
        version.repeatable = named.repeatable;
        version.outside |= named.outside;
        if named.role == Role::Up || version.id.is_empty() {
            version.id = named.id;
            version.stem = named.stem;
        }
        let place = if named.role == Role::Up { &mut version.up } else { &mut version.down };
        match place {
            // The one for this dialect wins over the one for all.
            Some((_, true)) if !named.for_dialect => {}
            Some((other, for_dialect)) if *for_dialect == named.for_dialect => {
                let files = [other.clone(), path];
                self.problems.push(LayoutProblem::Twice { version: named.version, files });
            }
            _ => *place = Some((path, named.for_dialect)),
        }
    }

    fn layout(&mut self, layout: Layout, path: &Path) {
        match &self.first {
            None => self.first = Some((layout, path.to_owned())),
            Some((first, _)) if *first == layout => {}
            Some(first) => {
                let mixed = |problem: &LayoutProblem| matches!(problem, LayoutProblem::Mixed { .. });
                if !self.problems.iter().any(mixed) {
                    let examples = [first.clone(), (layout, path.to_owned())];
                    self.problems.push(LayoutProblem::Mixed { examples });
                }
            }
        }
    }

    fn ignore(&mut self, path: PathBuf, reason: &'static str) {
        self.folder.ignored.push(Ignored { path, reason });
    }

    /// Names of other versions can come to one id: ids have a `_` in place of some signs, and `1_a` has it by itself.
    fn one_of_each_id(&mut self) {
        let mut ids: BTreeMap<&str, &Path> = BTreeMap::new();
        for one in &self.folder.migrations {
            if let Some(other) = ids.insert(&one.id, &one.up.file) {
                let files = [other.to_owned(), one.up.file.clone()];
                self.problems.push(LayoutProblem::Twice { version: one.id.clone(), files });
            }
        }
    }

    fn finish(mut self) -> Result<Folder, Vec<LayoutProblem>> {
        self.pair();
        let is_plain = !self.found.is_empty();
        for (path, named) in std::mem::take(&mut self.words) {
            if is_plain {
                self.ignore(path, "its name starts with no number or version");
            } else {
                self.file(path, named);
            }
        }
        self.unclear();
        let programs = std::mem::take(&mut self.programs);
        if self.found.is_empty() {
            programs.into_iter().for_each(|path| self.ignore(path, name::PROGRAM));
        } else {
            self.problems.extend(programs.into_iter().map(|file| LayoutProblem::Program { file }));
        }
        let mut as_texts = self.first.as_ref().is_some_and(|(layout, _)| *layout == Layout::Diesel) && !self.counted;
        let mut stems = Vec::new();
        for version in std::mem::take(&mut self.found).into_values() {
            let stem = version.stem.clone();
            match self.migration(version) {
                Ok((migration, of_dbmate)) => {
                    as_texts |= of_dbmate;
                    stems.push(stem);
                    self.folder.migrations.push(migration);
                }
                Err(problem) => self.problems.push(problem),
            }
        }
        self.one_of_each_id();
        if as_texts {
            chain(&mut self.folder.migrations, &stems);
        }
        self.folder.layout = self.first.map(|(layout, _)| layout);
        if self.problems.is_empty() { Ok(self.folder) } else { Err(self.problems) }
    }

    /// What says by its name that it takes something back, does so where that is there.
    fn pair(&mut self) {
        for (path, named) in std::mem::take(&mut self.takes_back) {
            let back = named.takes_back.as_deref().unwrap_or_default();
            // The version of a repeatable one is its whole name.
            let version = if named.repeatable { back } else { &named.version };
            match self.found.get_mut(version) {
                Some(version) if version.stem == back && version.down.is_none() => {
                    version.down = Some((path, named.for_dialect));
                }
                _ if named.is_word => self.words.push((path, named)),
                _ => self.file(path, named),
            }
        }
    }

    /// `v2.14.0.err.sql` beside `v2.14.0.sql`: nobody knows what that is for.
    fn unclear(&mut self) {
        let files: BTreeMap<&str, &PathBuf> =
            self.found.values().filter_map(|version| Some((&*version.stem, &version.up.as_ref()?.0))).collect();
        for (stem, file) in &files {
            let (base, word) = stem.rsplit_once('.').unwrap_or_default();
            if let Some(beside) = files.get(base).filter(|_| word.starts_with(|first: char| first.is_alphabetic())) {
                let (file, beside) = ((*file).clone(), (*beside).clone());
                self.problems.push(LayoutProblem::Unclear { file, beside });
            }
        }
    }

    fn migration(&self, version: Version) -> Result<(Found, bool), LayoutProblem> {
        let Version { id, up, down, outside, repeatable, .. } = version;
        let (up, down) = match (up, down) {
            (Some((up, _)), down) => (up, down.map(|(down, _)| down)),
            (None, Some((file, _))) => return Err(LayoutProblem::OnlyDown { file }),
            (None, None) => unreachable!("a version is made with a file"),
        };
        let down = down.map(|file| source(file, outside)).transpose()?;
        let Ways { up, down: section, of_dbmate } = ways(up, outside)?;
        Ok((Found { id, up, down: down.or(section), repeatable, after: None }, of_dbmate))
    }
}

/// Where the order of the names as texts is not that of the ids, each comes after the one before.
fn chain(migrations: &mut [Found], stems: &[String]) {
    let mut order: Vec<usize> = (0..migrations.len()).collect();
    order.sort_by(|a, b| stems[*a].cmp(&stems[*b]));
    let id = |at: &usize| migrations[*at].id.clone();
    let is_natural = order.windows(2).all(|pair| natural(&id(&pair[0]), &id(&pair[1])).is_lt());
    if is_natural {
        return;
    }
    for pair in order.windows(2) {
        migrations[pair[1]].after = Some(migrations[pair[0]].id.clone());
    }
}
