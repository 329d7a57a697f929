//! SQL without what may be a secret, for messages.

/// The text with `…` for whatever stands in quotes, without comments. Lines stay lines. Names in double
/// quotes go too: SQLite takes them for text where there is no such column.
pub(crate) fn redacted(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' => quoted(rest, '\'', is_escaping(&out)),
            '"' => quoted(rest, '"', false),
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '$' => dollar_quoted(rest).unwrap_or(0),
            _ => 0,
        };
        let (hidden, after) = rest.split_at(length);
        match first {
            _ if length == 0 => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
            '\'' | '"' | '$' => out.extend([first, '…']),
            _ => {}
        }
        out.extend(hidden.chars().filter(|c| *c == '\n'));
        if matches!(first, '\'' | '"' | '$') {
            out.push(first);
        }
        rest = after;
    }
    out
}

/// How long a quoted text is, with its quotes; to the end where it never ends.
fn quoted(text: &str, quote: char, escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    text.len()
}

/// `E'…'`: a backslash escapes in it.
fn is_escaping(before: &str) -> bool {
    let mut last = before.chars().rev();
    matches!(last.next(), Some('e' | 'E')) && !last.next().is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// How long a `$tag$…$tag$` is; `None` for a parameter.
fn dollar_quoted(text: &str) -> Option<usize> {
    let tag = 2 + text[1..].find('$')?;
    let tag = text.get(..tag).filter(|tag| tag[1..tag.len() - 1].chars().all(|c| c.is_alphanumeric() || c == '_'))?;
    Some(text[tag.len()..].find(tag).map_or(text.len(), |end| tag.len() + end + tag.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_quotes_is_shown() {
        for (sql, shown) in [
            ("insert into t values ('a', 'it''s', x'00')", "insert into t values ('…', '…', x'…')"),
            ("insert -- don't\n values ('secret')", "insert \n values ('…')"),
            ("a /* it's */ b 'c", "a  b '…'"),
            ("select \"secret\" from t", "select \"…\" from t"),
            ("select E'\\'secret', 1", "select E'…', 1"),
            ("do $x$ secret's $y$ $x$; $1", "do $…$; $1"),
            ("select 'a\nb' as c", "select '…\n' as c"),
        ] {
            assert_eq!(redacted(sql), shown, "{sql}");
        }
    }

    proptest::proptest! {
        #[test]
        fn lines_stay_lines(sql in "['\"$a\\n/*-]{0,12}") {
            let lines = |text: &str| text.matches('\n').count();
            proptest::prop_assert_eq!(lines(&redacted(&sql)), lines(&sql));
        }
    }
}
