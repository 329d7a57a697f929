//! The two ways in one file, and what its comments ask for.

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

pub(super) fn split(text: &str) -> Result<Sections, (usize, &'static str)> {
    let first = first_line_says_so(text);
    let mut sections = Sections { up: String::new(), down: None, outside: first, down_outside: first };
    let mut marked = false;
    let mut lines_so_far = String::new();
    for (line, number) in text.split_inclusive('\n').zip(1..) {
        let end = &line[line.trim_end_matches(['\r', '\n']).len()..];
        match mark(line) {
            Some(Mark::Up { outside }) => {
                if sections.down.is_some() {
                    return Err((number, "a second way up behind the way down; keep one of each in a file"));
                }
                // What stands above it is for people.
                if !marked {
                    sections.up.clone_from(&lines_so_far);
                }
                marked = true;
                sections.outside |= outside;
                sections.up.push_str(end);
            }
            Some(Mark::Down { outside }) => {
                sections.down_outside |= outside;
                if sections.down.is_some() {
                    return Err((number, "a second way down; keep one of each in a file"));
                }
                sections.down = Some(format!("{lines_so_far}{end}"));
            }
            Some(Mark::Unsupported(problem)) => return Err((number, problem)),
            other => {
                if let Some(Mark::Outside) = other {
                    (sections.outside, sections.down_outside) = (true, true);
                }
                match &mut sections.down {
                    Some(down) => down.push_str(line),
                    None => sections.up.push_str(line),
                }
            }
        }
        lines_so_far.push_str(end);
    }
    Ok(sections)
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
    use super::*;

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
