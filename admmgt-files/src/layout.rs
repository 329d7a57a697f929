//! Folders of SQL files, as people have them.
//!
//! Which layouts there are, in which order each runs, and which marks are read, is written down for users at
//! `admmgt_core::MigrationsDir`.
//!
//! [`read`] reads a folder; everything that is not a migration is listed with the reason.

mod name;
mod sections;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use self::name::{Named, Role};
use self::sections::LargeSections;
use crate::large::{self, LARGE, LargeProblem, Slice};
use crate::order::natural;
use crate::text::{TextProblem, decode};

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

/// Why a folder cannot be read as migrations.
#[derive(Debug)]
pub enum LayoutProblem {
    /// The folder or a file of it cannot be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Files of two layouts.
    Mixed {
        /// One of each.
        examples: [(Layout, PathBuf); 2],
    },
    /// Two files for one way of one version.
    Twice {
        /// The version.
        version: String,
        /// The files.
        files: [PathBuf; 2],
    },
    /// A file that takes back what no file does.
    OnlyDown {
        /// The file.
        file: PathBuf,
    },
    /// A folder in the folder with SQL files of its own.
    Nested {
        /// Which.
        folder: PathBuf,
    },
    /// A migration that is a program.
    Program {
        /// The file.
        file: PathBuf,
    },
    /// A file whose name says something more than that of another one.
    Unclear {
        /// The file.
        file: PathBuf,
        /// The other one.
        beside: PathBuf,
    },
    /// A file asks for something that is not supported.
    Unsupported {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What, and what to do.
        problem: &'static str,
    },
}

impl fmt::Display for LayoutProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => write!(f, "{} cannot be read: {error}", path.display()),
            Self::Mixed { examples: [(one, a), (two, b)] } => write!(
                f,
                "the folder holds two layouts, {one} as in {} and {two} as in {}; keep each in a folder of its own",
                a.display(),
                b.display()
            ),
            Self::Twice { version, files: [a, b] } => write!(
                f,
                "version {version} is there twice, in {} and in {}; rename one of them",
                a.display(),
                b.display()
            ),
            Self::OnlyDown { file } => {
                write!(
                    f,
                    "{} takes back what no other file does; is its counterpart missing? (A migration of refinery that \
                     runs forwards and starts with `U` is written with `V` here.)",
                    file.display()
                )
            }
            Self::Nested { folder } => write!(
                f,
                "{} holds numbered SQL files; folders in the folder are read in the layout of Flyway only. Move them up, or keep \
                 them elsewhere",
                folder.display()
            ),
            Self::Program { file } => write!(
                f,
                "{} is numbered like a migration and is no SQL; write it in SQL or as a `#[migration]` function, or keep it elsewhere",
                file.display()
            ),
            Self::Unclear { file, beside } => write!(
                f,
                "{} stands beside {}, and what more its name says is not known; rename it, or keep it elsewhere",
                file.display(),
                beside.display()
            ),
            Self::Unsupported { file, line, problem } => write!(f, "{}:{line}: {problem}", file.display()),
        }
    }
}

impl std::error::Error for LayoutProblem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { error, .. } => Some(error),
            _ => None,
        }
    }
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
        let Some(up) = ["up.sql", "migration.sql"].map(|file| path.join(file)).into_iter().find(|up| up.is_file())
        else {
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
        let of_diesel = is_number && up.ends_with("up.sql");
        version.stem = if of_diesel { format!("{number}\0{rest}") } else { name.to_owned() };
        self.counted |= !is_number;
        if let Some((other, _)) = &version.up {
            let files = [other.clone(), up];
            return self.problems.push(LayoutProblem::Twice { version: name.to_owned(), files });
        }
        version.up = Some((up, false));
        version.down = Some(path.join("down.sql")).filter(|down| down.is_file()).map(|down| (down, false));
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
            self.ignore(folder, "a folder without `up.sql`");
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

/// Both ways of a migration.
struct Ways {
    up: Source,
    down: Option<Source>,
    of_dbmate: bool,
}

/// Both ways of a file that may hold both.
fn ways(file: PathBuf, outside: bool) -> Result<Ways, LayoutProblem> {
    if is_large(&file)? {
        return match sections::split_large(&file) {
            Ok(Ok(LargeSections { up, down, outside: up_outside, down_outside, of_dbmate })) => {
                let way = |slice, says_so| Source {
                    file: file.clone(),
                    text: Ok(Text::Large(slice)),
                    outside: outside || says_so,
                };
                Ok(Ways { up: way(up, up_outside), down: down.map(|down| way(down, down_outside)), of_dbmate })
            }
            Ok(Err(misplaced)) => Err(unsupported(file, misplaced)),
            Err(LargeProblem::Io(error)) => Err(LayoutProblem::Unreadable { path: file, error }),
            Err(LargeProblem::Text(problem)) => {
                let up = Source { file, text: Err(problem), outside };
                Ok(Ways { up, down: None, of_dbmate: false })
            }
        };
    }
    let whole = source(file, outside)?;
    let Ok(Text::Whole(both)) = &whole.text else { return Ok(Ways { up: whole, down: None, of_dbmate: false }) };
    let sections = sections::split(both).map_err(|misplaced| unsupported(whole.file.clone(), misplaced))?;
    let way =
        |text, says_so| Source { file: whole.file.clone(), text: Ok(Text::Whole(text)), outside: outside || says_so };
    let down = sections.down.map(|down| way(down, sections.down_outside));
    Ok(Ways { up: way(sections.up, sections.outside), down, of_dbmate: sections.of_dbmate })
}

fn unsupported(file: PathBuf, (line, problem): sections::Misplaced) -> LayoutProblem {
    LayoutProblem::Unsupported { file, line, problem }
}

fn is_large(file: &Path) -> Result<bool, LayoutProblem> {
    let metadata = std::fs::metadata(file);
    let size = metadata.map_err(|error| LayoutProblem::Unreadable { path: file.to_owned(), error })?.len();
    Ok(size > LARGE)
}

/// A file that holds one way.
fn source(file: PathBuf, outside: bool) -> Result<Source, LayoutProblem> {
    if is_large(&file)? {
        return match large::whole(&file) {
            Ok(slice) => {
                let says_so = slice.first_line().is_ok_and(|line| sections::first_line_says_so(&line));
                Ok(Source { file, text: Ok(Text::Large(slice)), outside: outside || says_so })
            }
            Err(LargeProblem::Io(error)) => Err(LayoutProblem::Unreadable { path: file, error }),
            Err(LargeProblem::Text(problem)) => Ok(Source { file, text: Err(problem), outside }),
        };
    }
    match std::fs::read(&file) {
        Ok(bytes) => {
            let text = decode(&bytes).map(str::to_owned);
            let says_so = text.as_ref().is_ok_and(|text| sections::first_line_says_so(text));
            Ok(Source { text: text.map(Text::Whole), file, outside: outside || says_so })
        }
        Err(error) => Err(LayoutProblem::Unreadable { path: file, error }),
    }
}
