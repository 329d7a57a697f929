//! What ends a statement and what does not.

use super::*;

/// The statements of a text in one line; `~` marks one without its `;`.
fn split(sql: &str) -> String {
    let show = |split: Split<'_>| {
        let mark = if split.terminated { "" } else { "~" };
        format!("{}:{} {}{mark}", split.line, split.column, split.text)
    };
    let parts = Statements::new(sql).map(|split| split.map_or_else(|problem| problem.to_string(), show));
    let whole = parts.collect::<Vec<_>>().join(" | ");
    for bytes in [1, 2, 3, 7, 1000] {
        let mut pieces = Pieces::new(sql.as_bytes(), 1).bytes(bytes);
        let mut found = Vec::new();
        while let Some(split) = pieces.next().unwrap() {
            found.push(split.map_or_else(|problem| problem.to_string(), show));
        }
        assert_eq!(found.join(" | "), whole, "{sql:?} in pieces of {bytes}");
    }
    whole
}

#[test]
fn what_stands_before_the_semicolon_is_kept_apart() {
    let whole = |sql: &'static str| Statements::new(sql).map(|split| split.unwrap().whole).collect::<Vec<_>>();
    assert_eq!(whole(" create index i on t(a) /* c */ ; b -- d\n"), ["create index i on t(a) /* c */ ", "b -- d\n"]);
}

fn check(cases: &[(&str, &str)]) {
    for (sql, expected) in cases {
        assert_eq!(split(sql), *expected, "{sql:?}");
    }
}

#[test]
fn a_statement_ends_at_its_semicolon_or_with_the_text() {
    check(&[
        ("", ""),
        (" \n\t", ""),
        (";;;", ""),
        ("select 1", "1:1 select 1~"),
        ("select 1;", "1:1 select 1"),
        ("select 1;select 2", "1:1 select 1 | 1:10 select 2~"),
        ("\n  select 1 ; ;\n select 2\n;\n", "2:3 select 1 | 3:2 select 2"),
        ("select 1\r\n;\r\nselect 2", "1:1 select 1 | 3:1 select 2~"),
    ]);
}

#[test]
fn a_semicolon_in_quotes_ends_nothing() {
    check(&[
        ("select ';', 1;", "1:1 select ';', 1"),
        ("select 'it''s;';x", "1:1 select 'it''s;' | 1:17 x~"),
        ("select '';x", "1:1 select '' | 1:11 x~"),
        ("select '''';x", "1:1 select '''' | 1:13 x~"),
        ("select '\\';x", "1:1 select '\\' | 1:12 x~"),
        ("select \"a;\"\"b\";x", "1:1 select \"a;\"\"b\" | 1:16 x~"),
        ("select `a;``b`;x", "1:1 select `a;``b` | 1:16 x~"),
        ("select [a;'b];x", "1:1 select [a;'b] | 1:15 x~"),
        ("select [a]];x", "1:1 select [a]] | 1:13 x~"),
        ("select [a[b];x", "1:1 select [a[b] | 1:14 x~"),
        ("select x';';y", "1:1 select x';' | 1:13 y~"),
        ("select '--', '/*';x", "1:1 select '--', '/*' | 1:19 x~"),
        ("select 'a\n;\n';x", "1:1 select 'a\n;\n' | 3:3 x~"),
    ]);
}

#[test]
fn comments_stand_between_statements_and_stay_inside_them() {
    check(&[
        ("-- a; b", ""),
        ("/* a; */ -- b", ""),
        ("-- a\nselect 1; -- b\n/* c */ select 2 -- d", "2:1 select 1 | 3:9 select 2~"),
        ("select /* ; */ 1 /* x */ ; y", "1:1 select /* ; */ 1 | 1:28 y~"),
        ("select 1 -- ;\n, 2;", "1:1 select 1 -- ;\n, 2"),
        ("select 1 - -1; select 1/2*3", "1:1 select 1 - -1 | 1:16 select 1/2*3~"),
        ("/* no /* nesting */ x; */", "1:21 x | 1:24 */~"),
        ("/*/ ; */ x", "1:10 x~"),
        ("/**/x;/***/y", "1:5 x | 1:12 y~"),
        ("-- a\r; b\nx", "2:1 x~"),
        ("-- it's\nselect 1", "2:1 select 1~"),
    ]);
}

#[test]
fn a_trigger_is_one_statement() {
    check(&[
        (
            "create trigger t after insert on a begin select 1; end; select 2;",
            "1:1 create trigger t after insert on a begin select 1; end | 1:57 select 2",
        ),
        ("create trigger t begin x; END", "1:1 create trigger t begin x; END~"),
        (
            "CREATE /* a */ TEMP -- b\nTRIGGER t BEGIN x; y; END ; z",
            "1:1 CREATE /* a */ TEMP -- b\nTRIGGER t BEGIN x; y; END | 2:29 z~",
        ),
        ("create temporary trigger t begin x; end; y", "1:1 create temporary trigger t begin x; end | 1:42 y~"),
        (
            "create trigger t begin select case a when 1 then 2 end; select case b when 1 then 2 end; end; y",
            "1:1 create trigger t begin select case a when 1 then 2 end; select case b when 1 then 2 end; end | 1:95 y~",
        ),
        ("create trigger t begin x; end y; end; z", "1:1 create trigger t begin x; end y; end | 1:39 z~"),
        ("create trigger t begin x; ; end; z", "1:1 create trigger t begin x; ; end | 1:34 z~"),
        ("create trigger t begin x; /* c */ end /* d */; z", "1:1 create trigger t begin x; /* c */ end | 1:48 z~"),
        ("create trigger t begin x; \"end\"; end; z", "1:1 create trigger t begin x; \"end\"; end | 1:39 z~"),
        ("explain create trigger t begin x; end; y", "1:1 explain create trigger t begin x; end | 1:40 y~"),
        (
            "explain query plan create trigger t begin x; end; y",
            "1:1 explain query plan create trigger t begin x; end | 1:51 y~",
        ),
    ]);
}

#[test]
fn what_only_looks_like_a_trigger_is_not_one() {
    check(&[
        ("create table trigger(a); x", "1:1 create table trigger(a) | 1:26 x~"),
        ("create \"trigger\" t; x", "1:1 create \"trigger\" t | 1:21 x~"),
        ("create triggers t; x", "1:1 create triggers t | 1:20 x~"),
        ("create $trigger; x", "1:1 create $trigger | 1:18 x~"),
        ("explain $create trigger t; x", "1:1 explain $create trigger t | 1:28 x~"),
        ("create éтrigger; x", "1:1 create éтrigger | 1:18 x~"),
        ("drop trigger t; x", "1:1 drop trigger t | 1:17 x~"),
        ("begin; select 1; end; x", "1:1 begin | 1:8 select 1 | 1:18 end | 1:23 x~"),
        ("select case 1 when 1 then 2 end; x", "1:1 select case 1 when 1 then 2 end | 1:34 x~"),
    ]);
}

#[test]
fn columns_count_characters_and_a_byte_order_mark_is_skipped() {
    check(&[
        ("\u{feff}select 1;x", "1:1 select 1 | 1:10 x~"),
        ("select 'жж漢🦀';x", "1:1 select 'жж漢🦀' | 1:15 x~"),
        ("é;\n é;x", "1:1 é | 2:2 é | 2:4 x~"),
        // Two files written behind one another: SQLite takes the second mark as space.
        ("a;\n\u{feff}create trigger t begin x; end;y", "1:1 a | 2:2 create trigger t begin x; end | 2:32 y~"),
        ("a\u{feff}b", "1:1 a\u{feff}b~"),
        (" \u{b}a", "1:3 a~"),
        ("\u{b}a\u{b}", "1:2 a~"),
    ]);
}

#[test]
fn what_never_ends_is_named_where_it_starts() {
    check(&[
        (
            "a;\n select 'x;\ny",
            "1:1 a | 2:9: this string never ends; close it with `'`, and write a `'` inside it twice: `''`",
        ),
        ("select 'x''", "1:8: this string never ends; close it with `'`, and write a `'` inside it twice: `''`"),
        ("é \"x", "1:3: this quoted name never ends; close it with `\"`"),
        ("`x", "1:1: this quoted name never ends; close it with a backtick"),
        ("a [x", "1:3: this name in brackets never ends; close it with `]`"),
        ("a; b /* x *", "1:1 a | 1:6: this comment never ends; close it with `*/`"),
        ("/*/", "1:1: this comment never ends; close it with `*/`"),
        (
            "a;\n create trigger t begin x; y;\nselect 1;",
            "1:1 a | 2:2: this `create trigger` never ends; close its body with `end;` after the `;` of its last statement",
        ),
        (
            "create trigger t",
            "1:1: this `create trigger` never ends; close its body with `end;` after the `;` of its last statement",
        ),
        (
            "create trigger t begin x; 'end;",
            "1:27: this string never ends; close it with `'`, and write a `'` inside it twice: `''`",
        ),
        ("a;\nb\0c;", "1:1 a | 2:2: a NUL byte stands here, where SQLite would stop reading; remove it"),
        ("'a\0", "1:3: a NUL byte stands here, where SQLite would stop reading; remove it"),
        ("--\0", "1:3: a NUL byte stands here, where SQLite would stop reading; remove it"),
        ("/*\0", "1:3: a NUL byte stands here, where SQLite would stop reading; remove it"),
    ]);
}

#[test]
fn commands_of_the_shell_are_named_and_the_text_goes_on() {
    check(&[
        (".shell ls", "1:1: `.shell` is a command of the sqlite3 shell, not SQL; delete this line"),
        (".mode csv", "1:1 .mode csv~"),
        ("a;\n.bail on \nb", "1:1 a | 2:1 .bail on | 3:1 b~"),
        (
            "a;\n.read it's.sql\nb;",
            "1:1 a | 2:1: `.read` is a command of the sqlite3 shell, not SQL; \
             put the SQL of that file here, or make it a migration of its own | 3:1 b",
        ),
        (".quit; x", "1:1: `.quit` is a command of the sqlite3 shell, not SQL; delete this line and what follows it"),
        ("select a\n.b;", "1:1 select a\n.b"),
        (".5;", "1:1 .5"),
    ]);
}
