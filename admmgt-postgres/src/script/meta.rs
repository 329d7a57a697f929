//! Meta-commands of psql: lines for the client, which no server understands.

use std::borrow::Cow;

use admmgt_core::split::Found;

/// What to do about a meta-command that starts at a byte; `within` a statement or between two.
pub(super) fn command(text: &str, start: usize, within: bool) -> (Found, usize) {
    let at = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
    let line = text[start..at].trim_end();
    let name = line.split_whitespace().next().unwrap_or("\\").trim_end_matches(';');
    if !within && does_nothing(name, line) {
        let end = start + line.len();
        return (Found::Statement { start, end, before: end, terminated: at < text.len() }, at);
    }
    if text[start + 1..].starts_with([';', ':']) {
        let words = "psql takes this `\\` away before it sends the statement; delete it".into();
        return (Found::Problem { start, words, broken: false }, start + 2);
    }
    let words = format!("`{name}` is a meta-command of psql, not SQL; {}", instead(name));
    (Found::Problem { start, words: Cow::Owned(words), broken: false }, at)
}

/// Whether a line changes nothing in a database, and nothing of what psql sends to it.
fn does_nothing(name: &str, line: &str) -> bool {
    const QUIET: [&str; 6] = ["ON_ERROR_STOP", "QUIET", "ECHO", "VERBOSITY", "ECHO_HIDDEN", "SHOW_CONTEXT"];
    const SHOWS: [&str; 17] = [
        "\\restrict",
        "\\unrestrict",
        "\\echo",
        "\\qecho",
        "\\warn",
        "\\timing",
        "\\pset",
        "\\x",
        "\\t",
        "\\a",
        "\\f",
        "\\H",
        "\\C",
        "\\T",
        "\\conninfo",
        "\\errverbose",
        "\\?",
    ];
    match name {
        "\\set" | "\\unset" => line.split_whitespace().nth(1).is_some_and(|name| QUIET.contains(&name)),
        "\\encoding" => line.split_whitespace().nth(1).is_some_and(|name| {
            ["utf8", "utf-8", "unicode"].iter().any(|utf8| utf8.eq_ignore_ascii_case(name.trim_matches('\'')))
        }),
        _ => SHOWS.contains(&name) || name.starts_with("\\d") || name.starts_with("\\l") && !name.starts_with("\\lo"),
    }
}

fn instead(name: &str) -> &'static str {
    match name {
        "\\i" | "\\ir" | "\\include" | "\\include_relative" => {
            "put the SQL of that file here, or make it a migration of its own"
        }
        "\\c" | "\\connect" => "a migration runs in the database it was asked for; delete this line",
        "\\copy" => "write `copy … from stdin;` with the data behind it, or `insert` statements",
        "\\set" | "\\gset" | "\\prompt" | "\\getenv" => "write the value itself where it is used",
        "\\if" | "\\elif" | "\\else" | "\\endif" => "write a `do` block that asks, or a migration in Rust",
        "\\g" | "\\gx" | "\\gdesc" | "\\crosstabview" => "end the statement with `;`",
        "\\gexec" => "write a `do` block with `execute`",
        "\\q" => "delete this line and what follows it",
        "\\." => "it ends the data of a `copy … from stdin;`, and there is none before it; delete this line",
        _ => "delete this line",
    }
}

#[cfg(test)]
mod tests {
    use super::does_nothing;

    #[test]
    fn an_encoding_that_is_ours_anyway_does_nothing() {
        for (line, nothing) in [
            ("\\encoding utf8", true),
            ("\\encoding 'UTF-8'", true),
            ("\\encoding latin1", false),
            ("\\encoding", false),
        ] {
            assert_eq!(does_nothing("\\encoding", line), nothing, "{line}");
        }
    }
}
