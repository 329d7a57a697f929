//! The splitter against `sqlite3_complete`, which the sqlite3 shell asks where a statement ends.
//!
//! Both must agree on every text made of the alphabet below, and on every beginning of it:
//! `sqlite3_complete(";" + text + "\n")` holds exactly if our splitter finds nothing that never ends
//! and its last statement, if there is one, had its `;`. The `;` before it stands for the statement
//! before, because a text without any token counts as incomplete; the line end after it closes a
//! last `--` comment, on which versions of SQLite differ.
//!
//! Left out of the alphabet are the four things where we follow SQLite's tokenizer, which prepares
//! the statements, rather than `sqlite3_complete`: byte-order marks and vertical tabs are space, a
//! NUL byte is refused, and so is a command of the shell (`.read`).

#![allow(missing_docs, clippy::expect_used)]

use std::ffi::CString;

use admmgt::ScriptProblem;
use admmgt_sqlite::script::{Pieces, Split, Statements};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rusqlite::ffi;

/// What SQLite says.
fn is_complete(text: &str) -> bool {
    let text = CString::new(format!(";{text}\n")).expect("the alphabet has no NUL");
    // SAFETY: the pointer is to a string that ends with NUL and outlives the call, which only reads it.
    unsafe { ffi::sqlite3_complete(text.as_ptr()) != 0 }
}

/// What we say.
fn is_ended(text: &str) -> bool {
    Statements::new(text).try_fold(true, |_, split| split.map(|split| split.terminated)).unwrap_or(false)
}

/// The pieces between the places where SQLite says that a statement is complete.
fn cut_where_complete(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices(';') {
        // In a `--` comment even a word after the `;` would leave the text complete.
        let piece = &text[from..=at];
        if is_complete(piece) && !is_complete(&format!("{piece}x")) {
            pieces.push(piece);
            from = at + 1;
        }
    }
    pieces.push(&text[from..]);
    pieces
}

fn texts(text: &str) -> Vec<&str> {
    Statements::new(text).map_while(|split| split.ok().map(|split| split.text)).collect()
}

fn check(text: &str) {
    for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
        assert_eq!(is_ended(&text[..end]), is_complete(&text[..end]), "{:?}", &text[..end]);
    }
    let pieces: Vec<_> = cut_where_complete(text).into_iter().flat_map(texts).collect();
    assert_eq!(texts(text), pieces, "{text:?}");
    for bytes in [1, 3] {
        assert_eq!(in_pieces(text, bytes), Statements::new(text).collect::<Vec<_>>(), "{text:?} in pieces of {bytes}");
    }
}

/// As [`Statements`], of a text that is read in pieces.
fn in_pieces(text: &str, bytes: usize) -> Vec<Result<Split<'_>, ScriptProblem>> {
    let mut pieces = Pieces::new(text.as_bytes(), 1).bytes(bytes);
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(split) = pieces.next().expect("text is UTF-8") {
        found.push(split.map(|split: Split<'_>| {
            // The same place in the whole text: statements come in order.
            from += text[from..].find(split.whole).expect("it is a part of the text");
            let whole = &text[from..from + split.whole.len()];
            from += whole.len();
            Split { text: &whole[..split.text.len()], whole, ..split }
        }));
    }
    found
}

/// Everything that either of the two looks at, and a little that neither does.
#[rustfmt::skip]
const ALPHABET: &[&str] = &[
    "'", "''", "\"", "`", "[", "]", "]]", "--", "/*", "*/", "/", "-", "*", ";", ";", ";", " ", " ", "\n", "\r", "\t", "\u{c}",
    "create", "CREATE", "Create", "creates", "temp", "TEMPORARY", "trigger", "Trigger", "table", "begin", "BEGIN", "end",
    "END", "ends", "1end", "case", "when", "explain", "EXPLAIN", "query plan", "x'", "1", "$", ":", "@", "#", "(", ")", ",",
    "=", "_", "é", "漢", "🦀",
];

/// A trigger and what may follow it, so that its states are reached more often than by chance.
const PIECES: &[&str] = &[
    "create trigger ",
    "create temp trigger ",
    "explain create/**/trigger\n",
    "begin select 1; ",
    "; end;",
    ";END",
    "; end x;",
    "; 'end';",
    "; /* ; */ end -- ;\n;",
    "case 1 when 1 then ';' end",
    "-- end;\n",
    "create table trigger(end);",
];

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![3 => prop::sample::select(ALPHABET), 1 => prop::sample::select(PIECES)];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

/// The same cases in every run; `PROPTEST_CASES` and `PROPTEST_RNG_SEED` change them.
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    let rng_seed = match config.rng_seed {
        RngSeed::Random => RngSeed::Fixed(0x00ad_3397),
        chosen => chosen,
    };
    ProptestConfig { rng_seed, failure_persistence: None, ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn statements_end_where_sqlite_says_they_are_complete(text in text()) {
        check(&text);
    }
}

#[test]
fn the_texts_that_splitters_get_wrong_end_where_sqlite_says() {
    for text in [
        "",
        " ",
        ";",
        "select 1",
        "select 1;",
        "select 1; -- done",
        "select 1; /* done */",
        "select 1; /* never",
        "select ';",
        "select 'it''s;';",
        "select [a;",
        "select [a]];",
        "-- a\r; b",
        "/*/;",
        "create trigger t begin select 1; end;",
        "create trigger t begin select 1; end",
        "create trigger t begin select 1; end /* a */ -- b\n; select 1",
        "create trigger t begin select case when 1 then 2 end; end; x;",
        "create trigger t begin select 1; end; end;",
        "create trigger t begin ;; end;;",
        "create temp temporary trigger t begin x; end; y;",
        "explain query plan create trigger t begin x; end; y;",
        "explain explain create trigger t begin x; end; y;",
        "explain end create trigger t begin x; end; y;",
        "explain $create trigger t begin x; end; y;",
        "create create trigger t begin x; end; y;",
        "create table trigger(a); create trigger(b;end;",
        "begin; end; create trigger",
    ] {
        check(text);
    }
}
