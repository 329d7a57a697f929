//! The command line of admmgt.
//!
//! As the program `admmgt` it runs folders of SQL files (`--url`, `--dir`). Embedded in one's own program it
//! runs what that program registers:
//!
//! ```no_run
//! use admmgt::prelude::*;
//!
//! fn main() -> std::process::ExitCode {
//!     let database = Sqlite::open("app.db").expect("a path");
//!     admmgt_cli::run(Migrator::new(database))
//! }
//! ```
//!
//! `args` says what can be written, `source` makes a migrator of it, `commands` calls the library, `output`
//! prints, and `exit` turns an outcome into a code. Nothing is decided here that the library could decide.

mod args;
mod commands;
mod exit;
mod output;
mod signal;
mod source;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use admmgt::Migrator;
use clap::Parser;

use crate::args::{Alone, Embedded};

/// Runs the command line of this process on a migrator of one's own, and says how to exit.
pub fn run(migrator: Migrator) -> ExitCode {
    embedded(migrator, std::env::args_os())
}

/// As [`run`], with other words than those of this process; the first is the name of the program.
pub fn embedded(migrator: Migrator, words: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    let mut words = words.into_iter().map(Into::<OsString>::into).peekable();
    let program = words.peek().map_or_else(String::new, |path| output::program(path));
    match Embedded::try_parse_from(words) {
        Ok(Embedded { mut shared, command }) => {
            shared.program = program;
            commands::run(migrator, None, &shared, command)
        }
        Err(error) => exit::of_words(&error),
    }
}

/// The program `admmgt`: a folder of SQL files and a database by its URL.
pub fn alone(words: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    let Alone { source, mut shared, command } = match Alone::try_parse_from(words) {
        Ok(alone) => alone,
        Err(error) => return exit::of_words(&error),
    };
    "admmgt".clone_into(&mut shared.program);
    match source::migrator(&source) {
        Ok(migrator) => commands::run(migrator, Some(&source), &shared, command),
        Err(problem) => output::problem(&shared, &problem, exit::USAGE),
    }
}
