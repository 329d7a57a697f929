//! Why a folder is no list of migrations.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::Layout;

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
