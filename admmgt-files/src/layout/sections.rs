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
}

/// [`Sections`] of a file that is not held in memory.
#[derive(Debug)]
pub(super) struct LargeSections {
    pub(super) up: Slice,
    pub(super) down: Option<Slice>,
    pub(super) outside: bool,
    pub(super) down_outside: bool,
}

enum Mark {
    Up {
        outside: bool,
    },
    Down {
        outside: bool,
    },
    /// Both ways.
    Outside,
    /// What our splitter sees by itself: where a statement begins and ends.
    Nothing,
    Unsupported(&'static str),
}

pub(super) fn split(text: &str) -> Result<Sections, Misplaced> {
    let first = first_line_says_so(text);
    let mut sections = Sections { up: String::new(), down: None, outside: first, down_outside: first };
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
        let fate = if is_whole { reader.line(text, line) } else { Ok(Fate::Kept) };
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
    let (outside, down_outside) = (reader.outside, reader.down_outside);
    Ok(Ok(LargeSections { up: done(up), down: down.map(done), outside, down_outside }))
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
    goes_down: bool,
    outside: bool,
    down_outside: bool,
}

impl Reader {
    fn new(outside: bool) -> Self {
        Self { marked: false, goes_down: false, outside, down_outside: outside }
    }

    fn line(&mut self, line: &str, number: usize) -> Result<Fate, Misplaced> {
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
            Some(Mark::Unsupported(problem)) => Err((number, problem)),
            Some(Mark::Outside) => {
                (self.outside, self.down_outside) = (true, true);
                Ok(Fate::Kept)
            }
            Some(Mark::Nothing) | None => Ok(Fate::Kept),
        }
    }
}

/// How a line ends.
fn end_of(line: &str) -> &str {
    let end = if line.ends_with("\r\n") { 2 } else { usize::from(line.ends_with('\n')) };
    &line[line.len() - end..]
}

/// Marks for the two ways, of tools that are not read.
const OTHERS: [&str; 6] = ["up migration", "down migration", "!ups", "!downs", "@up", "@down"];

fn mark(line: &str) -> Option<Mark> {
    let comment = line.trim_start_matches('\u{feff}').trim().strip_prefix("--")?.trim();
    let lower = comment.to_ascii_lowercase();
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
    if let Some(rest) = lower.strip_prefix("+migrate") {
        let words: Vec<&str> = rest.split_whitespace().collect();
        let outside = words.contains(&"notransaction");
        return Some(match words.first() {
            Some(&"up") => Mark::Up { outside },
            Some(&"down") => Mark::Down { outside },
            _ => Mark::Nothing,
        });
    }
    // To run both ways one after the other would undo the first.
    if OTHERS.contains(&&*lower) || (lower.contains("create above") && lower.contains("drop below")) {
        return Some(Mark::Unsupported(
            "a mark of another tool for the two ways; write `-- migrate:up` and `-- migrate:down` instead",
        ));
    }
    let outside = lower.split_whitespace().any(|word| word == "transaction:false");
    match lower.split_whitespace().next() {
        Some("migrate:up") => Some(Mark::Up { outside }),
        Some("migrate:down") => Some(Mark::Down { outside }),
        _ => None,
    }
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
            Sections { up: text.to_owned(), down: None, outside: false, down_outside: false }
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
    fn what_cannot_be_meant_is_refused_by_line() {
        assert_eq!(split("-- +goose Down\n-- +goose Up\n").unwrap_err().0, 2);
        assert_eq!(split("-- migrate:up\n-- migrate:down\n-- migrate:down\n").unwrap_err().0, 3);
        assert_eq!(split("-- +goose ENVSUB ON\n").unwrap_err().0, 1);
        assert_eq!(split("-- +goose Up\n-- +goose Dwon\n").unwrap_err().0, 2);
        assert_eq!(split("create table a(x);\n---- create above / drop below ----\n").unwrap_err().0, 2);
        assert_eq!(split("-- Up Migration\n").unwrap_err().0, 1);
        assert!(split("-- +migrate Up notransaction\nup;\n-- +migrate Down\ndown;\n").unwrap().down.is_some());
    }
}
