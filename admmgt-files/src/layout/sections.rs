//! The two ways in one file, and what its comments ask for.

use std::path::Path;

use crate::checksum::SqlHasher;
use crate::large::{LargeProblem, Piece, Pieces, Slice};

/// What is in a file. Each way keeps the lines of the file, so that errors name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sections {
    pub(super) up: String,
    pub(super) down: Option<String>,
    /// The way up is outside of a transaction.
    pub(super) outside: bool,
    /// So is the way down.
    pub(super) down_outside: bool,
    /// The marks are those of dbmate.
    pub(super) of_dbmate: bool,
}

/// [`Sections`] of a file that is not held in memory.
#[derive(Debug)]
pub(super) struct LargeSections {
    pub(super) up: Slice,
    pub(super) down: Option<Slice>,
    pub(super) outside: bool,
    pub(super) down_outside: bool,
    pub(super) of_dbmate: bool,
}

enum Mark {
    Up {
        outside: bool,
    },
    Down {
        outside: bool,
    },
    /// A word that is a mark where nothing stands before it, and else may be for people.
    PlainUp,
    PlainDown,
    /// Both ways.
    Outside,
    /// What our splitter sees by itself: where a statement begins and ends.
    Nothing,
    Unsupported(&'static str),
}

pub(super) fn split(text: &str) -> Result<Sections, Misplaced> {
    let first = first_line_says_so(text);
    let mut sections =
        Sections { up: String::new(), down: None, outside: first, down_outside: first, of_dbmate: false };
    let mut reader = Reader::new(first);
    let mut lines_so_far = String::new();
    for (line, number) in text.split_inclusive('\n').zip(1..) {
        let end = end_of(line);
        match reader.line(line, number)? {
            Fate::BeginsUp => sections.up = format!("{lines_so_far}{end}"),
            Fate::BeginsDown => sections.down = Some(format!("{lines_so_far}{end}")),
            Fate::Kept => sections.down.as_mut().unwrap_or(&mut sections.up).push_str(line),
        }
        lines_so_far.push_str(end);
    }
    (sections.outside, sections.down_outside) = (reader.outside, reader.down_outside);
    sections.of_dbmate = reader.of_dbmate;
    Ok(sections)
}

/// As [`split`], of a file that is not held in memory.
pub(super) fn split_large(path: &Path) -> Result<Result<LargeSections, Misplaced>, LargeProblem> {
    let mut pieces = Pieces::open(path)?;
    let slice = |start, line| Slice { file: path.to_owned(), start, end: 0, line, checksum: String::new() };
    let mut reader = Reader::new(false);
    let (mut up, mut down) = ((slice(0, 1), SqlHasher::default()), None);
    // Of the line ends so far: each section has an empty line for each line before it.
    let mut ends = SqlHasher::default();
    let mut at = 0;
    while let Some(Piece { text, line, is_whole }) = pieces.next()? {
        let begins = at;
        at += text.len() as u64;
        if line == 1 && begins == 0 && first_line_says_so(text) {
            (reader.outside, reader.down_outside) = (true, true);
        }
        ends.update(end_of(text));
        // A mark fits into one piece.
        let fate = if is_whole { reader.line(text, line) } else { reader.statement() };
        let next = u32::try_from(line + 1).unwrap_or(u32::MAX);
        match fate {
            Err(problem) => return Ok(Err(problem)),
            Ok(Fate::BeginsUp) => up = (slice(at, next), ends.clone()),
            Ok(Fate::BeginsDown) => {
                up.0.end = begins;
                down = Some((slice(at, next), ends.clone()));
            }
            Ok(Fate::Kept) => down.as_mut().unwrap_or(&mut up).1.update(text),
        }
    }
    down.as_mut().unwrap_or(&mut up).0.end = at;
    let done = |(slice, hash): (Slice, SqlHasher)| Slice { checksum: hash.finish(), ..slice };
    let Reader { outside, down_outside, of_dbmate, .. } = reader;
    Ok(Ok(LargeSections { up: done(up), down: down.map(done), outside, down_outside, of_dbmate }))
}

/// The line, and what is wrong with it.
pub(super) type Misplaced = (usize, &'static str);

/// What becomes of a line.
enum Fate {
    /// It is of the way that is being read.
    Kept,
    /// The way up begins behind it; what stands above is for people.
    BeginsUp,
    /// The way down begins behind it.
    BeginsDown,
}

/// Reads line by line.
struct Reader {
    marked: bool,
    /// By a plain word.
    plainly: bool,
    /// Something stands in it that is no comment.
    begun: bool,
    /// A line that looks like the mark of the way down, where no way up was marked.
    suspect: Option<usize>,
    goes_down: bool,
    outside: bool,
    down_outside: bool,
    of_dbmate: bool,
}

impl Reader {
    fn new(outside: bool) -> Self {
        Self {
            marked: false,
            plainly: false,
            begun: false,
            suspect: None,
            goes_down: false,
            outside,
            down_outside: outside,
            of_dbmate: false,
        }
    }

    /// A line of a statement, or a part of one.
    fn statement(&mut self) -> Result<Fate, Misplaced> {
        self.begun = true;
        // To run both ways one after the other would undo the first.
        match self.suspect {
            Some(number) if !self.marked && !self.goes_down => Err((number, NO_WAY_UP)),
            _ => Ok(Fate::Kept),
        }
    }

    fn line(&mut self, line: &str, number: usize) -> Result<Fate, Misplaced> {
        self.of_dbmate |= comment(line).is_some_and(|comment| {
            let word = comment.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
            word == "migrate:up" || word == "migrate:down"
        });
        match mark(line) {
            Some(Mark::Up { .. }) if self.goes_down => {
                Err((number, "a second way up behind the way down; keep one of each in a file"))
            }
            Some(Mark::Up { outside }) => {
                self.outside |= outside;
                // Said once more, it is a comment.
                Ok(if std::mem::replace(&mut self.marked, true) { Fate::Kept } else { Fate::BeginsUp })
            }
            Some(Mark::Down { .. }) if self.goes_down => Err((number, "a second way down; keep one of each in a file")),
            Some(Mark::Down { outside }) => {
                self.down_outside |= outside;
                self.goes_down = true;
                Ok(Fate::BeginsDown)
            }
            Some(Mark::PlainUp) if !self.marked && !self.begun && !self.goes_down => {
                (self.marked, self.plainly) = (true, true);
                Ok(Fate::BeginsUp)
            }
            Some(Mark::PlainDown) if self.plainly && !self.goes_down => {
                self.goes_down = true;
                Ok(Fate::BeginsDown)
            }
            Some(Mark::PlainDown) if !self.marked && !self.goes_down => {
                // What follows may all be comments: then it is for people.
                self.suspect.get_or_insert(number);
                Ok(Fate::Kept)
            }
            Some(Mark::Unsupported(problem)) => Err((number, problem)),
            Some(Mark::Outside) => {
                (self.outside, self.down_outside) = (true, true);
                Ok(Fate::Kept)
            }
            Some(Mark::Nothing | Mark::PlainUp | Mark::PlainDown) => Ok(Fate::Kept),
            None if comment(line).is_some() || line.trim().is_empty() => Ok(Fate::Kept),
            None => self.statement(),
        }
    }
}

/// How a line ends.
fn end_of(line: &str) -> &str {
    let end = if line.ends_with("\r\n") { 2 } else { usize::from(line.ends_with('\n')) };
    &line[line.len() - end..]
}

const NO_WAY_UP: &str =
    "this looks like the mark of the way down, and no way up is marked; write `-- migrate:up` and `-- migrate:down`";

fn mark(line: &str) -> Option<Mark> {
    let comment = comment(line)?;
    let lower = comment.to_ascii_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    if let Some(rest) = lower.strip_prefix("+goose") {
        let words: Vec<&str> = rest.split_whitespace().collect();
        return Some(match &*words {
            ["up"] => Mark::Up { outside: false },
            ["down"] => Mark::Down { outside: false },
            ["no", "transaction"] => Mark::Outside,
            ["envsub", "on"] => Mark::Unsupported("`+goose ENVSUB` is not supported; write the values themselves"),
            ["statementbegin" | "statementend"] | ["envsub", "off"] => Mark::Nothing,
            _ => Mark::Unsupported(
                "this is no mark of goose; `+goose Up`, `Down`, `StatementBegin`, `StatementEnd` and `NO TRANSACTION` are",
            ),
        });
    }
    let outside = words.contains(&"notransaction") || words.contains(&"transaction:false");
    match &*words {
        // sql-migrate, and what was made after it: micrate, gorp. rambler says it without a sign.
        [tool, "up", ..] if tool.starts_with('+') => return Some(Mark::Up { outside }),
        [tool, "down", ..] if tool.starts_with('+') => return Some(Mark::Down { outside }),
        ["rambler", "up"] | ["migrate:up", ..] => return Some(Mark::Up { outside }),
        // MyBatis marks nothing but the way down.
        ["rambler", "down"] | ["migrate:down", ..] | ["//@undo" | "@undo"] => return Some(Mark::Down { outside }),
        ["liquibase", "formatted", "sql"] => {
            return Some(Mark::Unsupported("a changelog of Liquibase; give each change a file of its own"));
        }
        _ => {}
    }
    let bare: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    match &*bare {
        ["up" | "ups"] => Some(Mark::PlainUp),
        ["down" | "downs" | "undo" | "rollback"] => Some(Mark::PlainDown),
        ["up", around] | [around, "up"] if AROUND.contains(around) => Some(Mark::PlainUp),
        ["down" | "undo" | "rollback", around] | [around, "down" | "undo" | "rollback"] if AROUND.contains(around) => {
            Some(Mark::PlainDown)
        }
        // tern
        ["create", "above", "drop", "below"] => Some(Mark::Down { outside: false }),
        _ => None,
    }
}

/// Words beside `up` and `down` that make a mark of a comment.
const AROUND: [&str; 8] = ["migrate", "migration", "migrations", "script", "section", "begin", "start", "sql"];

/// What stands behind `--`, or between the signs of a comment of one line.
fn comment(line: &str) -> Option<&str> {
    let line = line.trim_start_matches('\u{feff}').trim();
    let block = || line.strip_prefix("/*")?.strip_suffix("*/");
    line.strip_prefix("--").or_else(block).map(str::trim)
}

/// sqlx looks at the first line only.
pub(super) fn first_line_says_so(text: &str) -> bool {
    let first = text.trim_start_matches('\u{feff}').lines().next().unwrap_or_default();
    first.trim_start().strip_prefix("--").is_some_and(|comment| comment.trim_start().starts_with("no-transaction"))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::checksum::of_sql;

    #[test]
    fn a_file_without_marks_is_one_way() {
        let text = "create table a(x);\n-- up, down\n";
        assert_eq!(
            split(text).unwrap(),
            Sections { up: text.to_owned(), down: None, outside: false, down_outside: false, of_dbmate: false }
        );
        assert!(split("-- no-transaction\nvacuum;").unwrap().outside);
        assert!(!split("vacuum;\n-- no-transaction\n").unwrap().outside);
    }

    #[test]
    fn both_ways_keep_their_lines() {
        let goose = "-- for people;\r\n-- +goose Up\r\n-- +goose StatementBegin\r\nup;\r\n-- +goose StatementEnd\r\n-- +goose Down\r\ndown;";
        let sections = split(goose).unwrap();
        assert_eq!(sections.up.lines().nth(3), Some("up;"));
        assert_eq!(sections.down.unwrap().lines().nth(6), Some("down;"));
        assert!(!sections.up.contains("for people"));
        let dbmate = split("-- migrate:up transaction:false\nup;\n\n-- migrate:down\ndown;\n").unwrap();
        assert_eq!(
            (dbmate.up.trim(), dbmate.down.as_deref().map(str::trim), dbmate.outside),
            ("up;", Some("down;"), true)
        );
        assert!(!dbmate.down_outside);
        let down = split("-- migrate:up\nup;\n-- migrate:down transaction:false\ndown;\n").unwrap();
        assert_eq!((down.outside, down.down_outside), (false, true));
        assert!(split("-- +goose NO TRANSACTION\n-- +goose Up\nup;\n").unwrap().outside);
    }

    #[test]
    fn a_large_file_has_the_sections_of_its_text() {
        let long = "x".repeat(200_000);
        let path = std::env::temp_dir().join(format!("admmgt-sections-{}", std::process::id()));
        for text in [
            "\u{feff}up;\r\nup;",
            "-- no-transaction\nvacuum;\n",
            "-- for people;\r\n-- +goose Up\r\n-- +goose StatementBegin\r\nup;\r\n-- +goose Down\r\ndown;",
            "-- migrate:up\n-- migrate:up transaction:false\nup;\n\n-- migrate:down\ndown;\n",
            &format!("-- {long}\r\n-- +goose Up\nselect '{long}';\n-- +goose Down\n-- {long}-- +goose Down\n"),
        ] {
            std::fs::write(&path, text).unwrap();
            let (small, large) = (split(text).unwrap(), split_large(&path).unwrap().unwrap());
            assert_eq!((small.outside, small.down_outside), (large.outside, large.down_outside), "{text}");
            for (small, large) in [(Some(small.up), Some(large.up)), (small.down, large.down)] {
                assert_eq!(small.as_deref().map(of_sql), large.as_ref().map(|slice| slice.checksum.clone()), "{text}");
                let Some(large) = large else { continue };
                let mut read = String::new();
                large.open().unwrap().read_to_string(&mut read).unwrap();
                let mut hash = large.hasher();
                hash.update(&read);
                assert_eq!(hash.finish(), large.checksum, "{text}");
            }
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn marks_of_many_tools_are_read() {
        for (up, down) in [
            ("-- Up", "-- Down"),
            ("--up", "--down"),
            ("-- ==== UP ====", "-- ==== DOWN ===="),
            ("/* up */", "/* down */"),
            ("-- +micrate Up", "-- +micrate Down"),
            ("-- rambler up", "-- rambler down"),
            ("-- created by somebody", "-- //@UNDO"),
            ("-- Up Migration", "-- Down Migration"),
            ("", "---- create above / drop below ----"),
            ("-- +goose Up", "-- +goose Down\n-- down\n-- migrate down"),
            ("-- migrate:up", "-- migrate:down\n-- up"),
            ("", "-- +goose Down"),
        ] {
            let text = format!("\u{feff}-- for people\n{up}\nup;\n{down}\ndown;\n");
            let sections = split(&text).unwrap_or_else(|problem| panic!("{up} {down} {problem:?}"));
            assert!(sections.up.contains("up;") && !sections.up.contains("down;"), "{text}");
            assert!(sections.down.unwrap().contains("down;"), "{text}");
        }
        let kept = split("create table ups(x);\n-- up to here\n-- goes down well\n").unwrap();
        assert_eq!(kept.down, None);
        let for_people = split("create table a(x);\n-- Rollback:\n-- drop table a;\n").unwrap();
        assert_eq!(for_people.down, None);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_line() {
        assert_eq!(split("-- +goose Down\n-- +goose Up\n").unwrap_err().0, 2);
        assert_eq!(split("-- migrate:up\n-- migrate:down\n-- migrate:down\n").unwrap_err().0, 3);
        assert_eq!(split("-- +goose ENVSUB ON\n").unwrap_err().0, 1);
        assert_eq!(split("-- +goose Up\n-- +goose Dwon\n").unwrap_err().0, 2);
        assert_eq!(split("create table a(x);\n-- down\ndrop table a;\n").unwrap_err().0, 2);
        assert_eq!(split("create table a(x);\n-- up\nselect 1;\n-- ==== DOWN ====\ndrop table a;\n").unwrap_err().0, 4);
        assert_eq!(split("--liquibase formatted sql\n").unwrap_err().0, 1);
        assert!(split("-- +migrate Up notransaction\nup;\n-- +migrate Down\ndown;\n").unwrap().down.is_some());
    }
}
