//! What a database looks like and what it holds.

use admmgt_testkit::{Data, Rows, Schema};
use rusqlite::Connection;

use crate::quote;

/// Everything but SQLite's own, and the history.
const THINGS: &str = "SELECT type, name, sql FROM main.sqlite_schema WHERE sql IS NOT NULL \
                      AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND tbl_name NOT LIKE '\\_admmgt\\_%' ESCAPE '\\'";

pub(super) fn schema(db: &Connection) -> rusqlite::Result<Schema> {
    let mut things = db.prepare(THINGS)?;
    let things = things.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let mut lines = Vec::new();
    for thing in things {
        let (kind, name, sql): (String, String, String) = thing?;
        let parts = parts(&sql);
        if kind == "table" && parts.body.len() > 1 && !parts.is_virtual {
            lines.push(format!("table {name} {}", parts.behind).trim_end().to_owned());
            lines.extend(parts.body.iter().map(|part| format!("table {name}: {part}")));
        } else {
            lines.push(format!("{kind} {name}: {}", parts.whole));
        }
    }
    Ok(Schema::new(lines))
}

pub(super) fn data(db: &Connection) -> rusqlite::Result<Data> {
    const TABLES: &str = "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_admmgt\\_%' ESCAPE '\\' \
                          AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    let mut tables = db.prepare(TABLES)?;
    let tables: Vec<String> = tables.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut data = Data::new();
    for table in tables {
        let mut columns =
            db.prepare("SELECT name FROM pragma_table_xinfo(?, 'main') WHERE hidden <> 1 ORDER BY cid")?;
        let columns: Vec<String> = columns.query_map([&table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        let value = |name: &String| format!("iif({0} IS NULL, NULL, quote({0}))", quote::name(name));
        let values: Vec<String> = columns.iter().map(value).collect();
        let mut rows = db.prepare(&format!("SELECT {} FROM main.{}", values.join(", "), quote::name(&table)))?;
        let rows = rows.query_map([], |row| (0..columns.len()).map(|at| row.get(at)).collect())?;
        let rows: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
        data.insert(table, Rows::new(columns, rows));
    }
    Ok(data)
}

/// The text of a thing, however it was written.
#[derive(Debug, PartialEq, Eq)]
struct Parts {
    whole: String,
    /// Between its name and the parentheses stands a module.
    is_virtual: bool,
    /// What is between the outermost parentheses, cut at its commas.
    body: Vec<String>,
    /// What is behind them: `strict`, `without rowid`.
    behind: String,
}

fn parts(sql: &str) -> Parts {
    let tokens = tokens(sql);
    let (mut depth, mut body, mut behind, mut is_over) = (0, vec![Vec::new()], Vec::new(), false);
    for token in &tokens {
        match token.as_str() {
            ")" if depth == 1 => (depth, is_over) = (0, true),
            "(" if depth == 0 && !is_over => depth = 1,
            "," if depth == 1 => body.push(Vec::new()),
            other => {
                depth += i32::from(other == "(") - i32::from(other == ")");
                let into = if depth > 0 { body.last_mut() } else { is_over.then_some(&mut behind) };
                into.into_iter().for_each(|into: &mut Vec<&str>| into.push(other));
            }
        }
    }
    let body = body.iter().map(|part| part.join(" ")).filter(|part| !part.is_empty()).collect();
    let is_virtual = tokens.get(1).is_some_and(|word| word == "virtual");
    Parts { whole: tokens.join(" "), is_virtual, body, behind: behind.join(" ") }
}

/// The words of a statement without comments: names without quotes they do not need, and in lower case, as SQLite takes
/// them for the same.
fn tokens(sql: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            _ if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '\'' | '"' | '`' => quoted(rest, first),
            '[' => rest.find(']').map_or(rest.len(), |end| end + 1),
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            other => other.len_utf8(),
        };
        let (token, behind) = rest.split_at(length);
        rest = behind;
        if first.is_whitespace() || token.starts_with("--") || token.starts_with("/*") {
            continue;
        }
        tokens.push(match first {
            '"' | '`' | '[' => unquoted(token),
            '\'' => token.to_owned(),
            _ => token.to_lowercase(),
        });
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Where a text in quotes ends; a doubled one stands for itself.
fn quoted(text: &str, quote: char) -> usize {
    let mut rest = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = rest.next() {
        if c == quote && rest.next_if(|(_, next)| *next == quote).is_none() {
            return at + c.len_utf8();
        }
    }
    text.len()
}

fn unquoted(token: &str) -> String {
    let inner = &token[1..token.len().saturating_sub(1).max(1)];
    if !inner.is_empty() && inner.chars().all(is_word) { inner.to_lowercase() } else { format!("\"{inner}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_thing_written_otherwise_is_the_same() {
        let one = parts("CREATE TABLE \"users\"(id INTEGER primary key,\n  name text default 'A, (b' -- why\n) STRICT");
        let other = parts("create table users ( [id] integer PRIMARY KEY, /* , */ `name` TEXT DEFAULT 'A, (b' )strict");
        assert_eq!((&one.body, &one.behind), (&other.body, &other.behind));
        assert_eq!(one.body, ["id integer primary key", "name text default 'A, (b'"]);
        assert_eq!(one.behind, "strict");
        let checked = parts("create table t(a check (a in (1, 2)), unique(a))");
        assert_eq!(checked.body, ["a check ( a in ( 1 , 2 ) )", "unique ( a )"]);
    }
}
