//! Where statements end. That this is where psql ends them is shown by `tests/psql.rs`, against psql.

use admmgt_core::ScriptProblem;
use proptest::prelude::*;

use super::*;

fn texts(sql: &str) -> Vec<String> {
    Statements::new(sql).map(|split| split.map_or_else(|it| format!("!{it}"), |it| it.text.to_owned())).collect()
}

#[test]
fn statements_end_at_semicolons_that_are_not_hidden() {
    for (sql, expected) in [
        ("", &[][..]),
        (" ; ;; -- nothing\n/* at all; */", &[]),
        ("select 1; select 2", &["select 1", "select 2"]),
        ("select ';', E'\\';', \";\" ; x", &["select ';', E'\\';', \";\"", "x"]),
        ("select '\\'; x", &["select '\\'", "x"]),
        ("select $$;$$, $a$;$$;$a$; x", &["select $$;$$, $a$;$$;$a$", "x"]),
        ("select a$b$; x", &["select a$b$", "x"]),
        ("select (1; 2); x", &["select (1; 2)", "x"]),
        ("/* ; /* ; */ ; */ x; y", &["x", "y"]),
        (
            "create function f() returns int begin atomic; select 1; end; x",
            &["create function f() returns int begin atomic; select 1; end", "x"],
        ),
        ("begin; end; x", &["begin", "end", "x"]),
        ("copy t from stdin;\na;b\n\\.\nx;", &["copy t from stdin;\na;b\n", "x"]),
        ("\u{feff}select 1", &["select 1"]),
    ] {
        assert_eq!(texts(sql), expected, "{sql}");
    }
}

#[test]
fn what_never_ends_is_named_where_it_begins() {
    for (sql, at, words) in [
        ("x;\nselect 'a", "2:8", "string"),
        ("x;\nselect \"a", "2:8", "quoted name"),
        ("x;\n  /* a /* b */", "2:3", "comment"),
        ("x;\nselect $a$ $$", "2:8", "dollar-quoted"),
        ("x;\nselect (1;", "2:8", "`(`"),
        ("create function f() begin atomic select 1;", "1:21", "begin"),
        ("copy t from stdin;\n1\n", "1:1", "data"),
        ("copy t from stdin; 1\n\\.\n", "1:19", "next one"),
        ("select 1\0;", "1:9", "NUL"),
        ("select $a$ \0 $a$;", "1:12", "NUL"),
    ] {
        let problem = Statements::new(sql).find_map(Result::err).unwrap_or_else(|| panic!("{sql}: no problem"));
        assert_eq!(format!("{}:{}", problem.line, problem.column), at, "{sql}: {problem}");
        assert!(problem.message.contains(words), "{sql}: {problem}");
    }
}

#[test]
fn a_setting_of_the_text_itself_changes_what_a_backslash_is() {
    let sql =
        "set standard_conforming_strings = off; select 'a\\';'; set standard_conforming_strings to on; select '\\'; x";
    assert_eq!(texts(sql)[1], "select 'a\\';'");
    assert_eq!(texts(sql)[3..], ["select '\\'", "x"]);
    // What is no such setting changes nothing.
    for sets in ["set standard_conforming_strings", "set standard_conforming_strings off", "set session work_mem = 1"] {
        assert_eq!(texts(&format!("{sets}; select '\\'; x"))[1..], ["select '\\'", "x"], "{sets}");
    }
}

#[test]
fn a_copy_and_its_data_are_told_apart() {
    assert_eq!(copy_and_data("copy t from stdin;\n1\t2\n"), Some(("copy t from stdin", "1\t2\n")));
    assert_eq!(
        copy_and_data("copy \"a;b\" from stdin with (format csv);\n1;2\n"),
        Some(("copy \"a;b\" from stdin with (format csv)", "1;2\n"))
    );
    assert_eq!(copy_and_data("copy t from '/file'"), None);
    assert_eq!(copy_and_data("select 1;\n2"), None);
    assert!(copies_from_stdin("COPY (t) FROM STDIN") && !copies_from_stdin("copy (select * from stdin) to stdout"));
    assert!(copies("copy (select 1) to stdout", "to", "stdout"));
}

/// As [`Statements`], of a text that is read in pieces.
fn in_pieces(sql: &str, bytes: usize) -> Vec<Result<String, ScriptProblem>> {
    let mut pieces = Pieces::new(sql.as_bytes(), 1).bytes(bytes);
    let mut found = Vec::new();
    while let Some(split) = pieces.next().unwrap() {
        found.push(split.map(|split| split.text.to_owned()));
    }
    found
}

proptest! {
    /// Nothing is lost, nothing is made up, and reading it piece by piece changes nothing.
    #[test]
    fn any_text_is_split_the_same_in_pieces(
        words in prop::collection::vec(
            prop::sample::select(vec![
                ";", ";", " ", "\n", "'", "''", "E'", "\\'", "\"", "$$", "$a$", "--", "/*", "*/", "(", ")", "create ", "function ",
                "begin ", "atomic ", "end", "case ", "x", "1", "copy t from stdin;\n", "\\.\n", "\\i x\n", "é", "\u{feff}",
                "set standard_conforming_strings = off;",
            ]),
            0..30,
        ),
        bytes in 1_usize..9,
    ) {
        let sql = words.concat();
        let whole: Vec<_> = Statements::new(&sql).map(|split| split.map(|split| split.text.to_owned())).collect();
        prop_assert_eq!(in_pieces(&sql, bytes), whole.clone());
        let mut from = 0;
        for text in whole.into_iter().flatten() {
            let at = sql[from..].find(&text);
            prop_assert!(at.is_some());
            from += at.unwrap_or_default() + text.len();
        }
    }
}
