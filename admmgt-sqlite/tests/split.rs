//! The splitter against SQLite itself: what `sqlite3_prepare` takes as one statement is one.
//!
//! `rusqlite::Batch` walks a text by the tail that SQLite hands back. Valid texts, generated here or
//! found in `$ADMMGT_CORPORA`, must give the same statements and leave the same schema both ways.
//! (`sqlite3_complete`, which needs `unsafe`, is asked in `tests/splitter.rs` of the workspace.)

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

use admmgt_core::{Dialect, TransactionMode};
use admmgt_sqlite::SqliteDialect;
use admmgt_sqlite::script::Statements;
#[allow(unused_imports)] // in rusqlite 0.32 `Batch::next` is a method of its own
use fallible_iterator::FallibleIterator;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rusqlite::{Batch, Connection, ErrorCode};

/// The same cases in every run; `PROPTEST_CASES` and `PROPTEST_RNG_SEED` change them.
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    let rng_seed = match config.rng_seed {
        RngSeed::Random => RngSeed::Fixed(0x00ad_3397),
        chosen => chosen,
    };
    ProptestConfig { rng_seed, failure_persistence: None, ..config }
}

/// What a text did to an empty database.
#[derive(Debug, PartialEq, Eq, Default)]
struct Effect {
    /// Each statement that was tried, and the error it ended with.
    statements: Vec<(String, Option<ErrorCode>)>,
    schema: Vec<String>,
    changes: u64,
}

/// Statement by statement, as SQLite finds them.
fn as_sqlite_does(setup: &str, sql: &str) -> Effect {
    let db = database(setup);
    let mut effect = Effect::default();
    let mut batch = Batch::new(&db, sql);
    loop {
        match batch.next() {
            Ok(Some(statement)) => {
                let text = statement.expanded_sql().unwrap();
                effect.statements.push((text, run(statement)));
            }
            Ok(None) => break,
            Err(error) => {
                effect.statements.push((String::new(), error.sqlite_error_code()));
                break;
            }
        }
    }
    effect.finish(&db)
}

/// Statement by statement, as we find them.
fn as_we_do(setup: &str, sql: &str) -> Effect {
    let db = database(setup);
    let mut effect = Effect::default();
    for split in Statements::new(sql) {
        let text = split.unwrap().text;
        match db.prepare(text) {
            Ok(statement) => effect.statements.push((text.to_owned(), run(statement))),
            Err(error) => {
                effect.statements.push((String::new(), error.sqlite_error_code()));
                break;
            }
        }
    }
    effect.finish(&db)
}

fn database(setup: &str) -> Connection {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch(setup).unwrap();
    db
}

fn run(mut statement: rusqlite::Statement<'_>) -> Option<ErrorCode> {
    let mut rows = statement.raw_query();
    loop {
        match rows.next() {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(error) => return error.sqlite_error_code(),
        }
    }
}

impl Effect {
    fn finish(mut self, db: &Connection) -> Self {
        let mut statement = db
            .prepare(
                "select type, name, tbl_name, sql from sqlite_schema \
                 union all select type, name, tbl_name, sql from sqlite_temp_schema order by 2",
            )
            .unwrap();
        let rows = statement.query_map([], |row| {
            let sql: Option<String> = row.get(3)?;
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, bare(&sql.unwrap_or_default()).to_owned()].join(" "))
        });
        self.schema = rows.unwrap().collect::<Result<_, _>>().unwrap();
        self.changes = db.total_changes();
        self
    }
}

/// SQLite keeps the comments between a view or an index and its `;`, we drop them.
fn bare(sql: &str) -> &str {
    Statements::new(sql).next().map_or("", |split| split.unwrap().text)
}

fn check_same(setup: &str, sql: &str) {
    let (theirs, ours) = (as_sqlite_does(setup, sql), as_we_do(setup, sql));
    let stripped = theirs.statements.iter().map(|(text, error)| (bare(text).to_owned(), *error)).collect();
    assert_eq!(ours, Effect { statements: stripped, ..theirs }, "{sql}");
}

/// Space and comments, with everything in them that a splitter could stumble over.
fn gap() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        " ",
        "\n",
        "\r\n",
        "\t",
        "\u{c}",
        " \u{b}",
        "-- it's; \"end\n",
        "--\n",
        "/* ; ' */",
        "/**/",
        "/*/ end; */",
        "/* é漢 -- */",
        "-- create trigger [\n",
    ]);
    prop::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat())
}

/// A literal with everything in it that a splitter could stumble over.
fn literal() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        ";", "'", "\"", "`", "[", "]", "--", "/*", "*/", "\n", "end;", "begin", "é", "🦀", "\\", "a",
    ]);
    let text =
        prop::collection::vec(piece, 0..6).prop_map(|pieces| format!("'{}'", pieces.concat().replace('\'', "''")));
    prop_oneof![
        6 => text,
        1 => Just("x'3b27'".to_owned()),
        1 => Just("-1.5e-3".to_owned()),
        1 => Just("null".to_owned()),
        1 => Just("\"a\"\"; b\"".to_owned()),
    ]
}

/// Valid statements; `~` stands for a gap, `@` for a literal, `#` for a number of their own.
const TEMPLATES: &[&str] = &[
    "create~table~t#(a~integer~primary~key,~b~text~default~@,~[c;d]~blob)",
    "create~table~\"t;#\"(a~text~check(a~<>~@),~trigger~text,~`end;`~text)",
    "create~temp~table~tt#(a)",
    "create~index~i#~on~base(a,~b)",
    "create~view~v#~as~select~a,~case~b~when~@~then~@~else~@~end~as~b~from~base",
    "create~trigger~r#~after~insert~on~base~begin~insert~into~log~values(case~new.a~when~@~then~@~end);~end",
    "create~trigger~if~not~exists~[r;#]~before~delete~on~base~when~old.a~<>~@~begin~\
     select~case~when~1~then~@~end;~update~log~set~a~=~@;~delete~from~log;~end",
    "create~temporary~trigger~r#~instead~of~update~of~a~on~seen~begin~select~@;~end",
    "explain~create~trigger~r#~after~update~on~base~begin~select~@;~select~2;~END",
    "EXPLAIN~QUERY~PLAN~select~@",
    "insert~into~base(a,~b)~values(@,~@),~(@,~@)",
    "INSERT~INTO~base~SELECT~@,~CASE~WHEN~1~THEN~@~END",
    "update~base~set~a~=~@~-~-1,~b~=~a~||~@",
    "select~@,~1/2,~\"trigger\"~from~(select~1~as~\"trigger\")",
    "with~x(a)~as~(values(@))~insert~into~log~select~a~from~x",
    "pragma~user_version~=~#",
    "savepoint~s#",
    "begin",
    "end",
    "alter~table~log~rename~to~log#",
];

/// One statement, with a gap at every `~`.
fn statement() -> impl Strategy<Value = String> {
    let gaps = prop::collection::vec(gap(), 64);
    let literals = prop::collection::vec(literal(), 4);
    (prop::sample::select(TEMPLATES), gaps, literals).prop_map(|(template, gaps, literals)| {
        let (mut gaps, mut literals) = (gaps.into_iter().cycle(), literals.into_iter().cycle());
        template.chars().fold(String::new(), |text, character| match character {
            '~' => text + &gaps.next().unwrap(),
            '@' => text + &literals.next().unwrap(),
            other => text + other.encode_utf8(&mut [0; 4]),
        })
    })
}

/// A valid text: statements with gaps and empty statements around them, the last one open or not.
fn script() -> impl Strategy<Value = String> {
    let separator =
        (prop::option::of(gap()), prop::option::weighted(0.2, gap()), gap()).prop_map(|(before, empty, after)| {
            let empty = empty.map_or(String::new(), |gap| format!("{gap};"));
            format!("{};{empty}{after}", before.unwrap_or_default())
        });
    let parts = prop::collection::vec((statement(), separator), 0..8);
    (prop::option::of(gap()), parts, prop::option::of(statement()), any::<bool>()).prop_map(
        |(before, parts, open, mark)| {
            let mut text = if mark { "\u{feff}".to_owned() } else { String::new() };
            text += &before.unwrap_or_default();
            for (number, (statement, separator)) in parts.iter().enumerate() {
                text += &statement.replace('#', &number.to_string());
                text += separator;
            }
            text + &open.unwrap_or_default().replace('#', "99")
        },
    )
}

/// Any text at all that is made of the pieces a splitter looks at.
fn nasty() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(NASTY), 0..24).prop_map(|pieces| pieces.concat())
}

#[rustfmt::skip]
const NASTY: &[&str] = &[
    "'", "''", "\"", "`", "[", "]", "--", "/*", "*/", "/", "-", "*", ";", ";", ";", " ", " ", "\n", "\r\n", "\t", "\u{b}",
    "create", "CREATE", "temp", "temporary", "trigger", "Trigger", "table", "begin", "end", "END", "case", "explain",
    "query plan", "commit", "rollback", "to", "savepoint", "release", "s", "admmgt", "vacuum", "pragma", "foreign_keys",
    "=", "(", ")", ".", ".read", "x'", "1", "$", ":", "@", "é", "🦀", "\u{feff}", "\0",
];

/// The statements of a text that can be split; `None` where something in it never ends.
fn texts(sql: &str) -> Option<Vec<&str>> {
    Statements::new(sql).map(|split| split.ok().map(|split| split.text)).collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn valid_texts_are_split_as_sqlite_splits_them(sql in script()) {
        check_same("create table base(a, b); create table log(a); create view seen as select a from base;", &sql);
    }

    #[test]
    fn joined_statements_are_split_again_into_the_same(sqls in prop::collection::vec(nasty(), 0..4)) {
        let parts: Vec<&str> = sqls.iter().filter_map(|sql| texts(sql)).flatten().collect();
        let joined = parts.join(";\n");
        prop_assert_eq!(texts(&joined), Some(parts));
    }

    #[test]
    fn every_statement_stands_where_it_is_said_to(sql in nasty()) {
        let mut from = sql.strip_prefix('\u{feff}').unwrap_or(&sql);
        let (mut line, mut column) = (1, 1);
        for split in Statements::new(&sql).filter_map(Result::ok) {
            let skipped = split.text.as_ptr() as usize - from.as_ptr() as usize;
            for character in from[..skipped].chars() {
                (line, column) = if character == '\n' { (line + 1, 1) } else { (line, column + 1) };
            }
            prop_assert_eq!((split.line, split.column), (line, column));
            prop_assert_eq!(split.text.trim(), split.text);
            from = &from[skipped..];
        }
    }

    #[test]
    fn any_text_is_judged_with_ordered_problems(sql in nasty()) {
        for mode in [TransactionMode::Auto, TransactionMode::Required, TransactionMode::None] {
            match SqliteDialect.parse(&sql, mode) {
                Ok(script) => prop_assert!(script.statements.is_sorted_by_key(|statement| statement.line)),
                Err(problems) => {
                    prop_assert!(!problems.is_empty());
                    prop_assert!(problems.is_sorted_by_key(|problem| (problem.line, problem.column)));
                }
            }
        }
    }
}

#[test]
fn the_texts_of_other_projects_are_split_as_sqlite_splits_them() {
    let Some(folder) = std::env::var_os("ADMMGT_CORPORA") else {
        println!(
            "skipped: set ADMMGT_CORPORA to a folder with sqlite_portable.json and sqldef_sqlite3def.json \
             to compare their SQL as well"
        );
        return;
    };
    let mut compared = 0;
    for file in ["sqlite_portable.json", "sqldef_sqlite3def.json"] {
        let path = Path::new(&folder).join(file);
        let json = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        for case in json["cases"].as_array().unwrap() {
            let sql = |key: &str| case[key].as_str().unwrap_or_default();
            // Some `current_sql` does not load; whatever depends on it then fails alike on both sides.
            let current = if Connection::open_in_memory().unwrap().execute_batch(sql("current_sql")).is_ok() {
                sql("current_sql")
            } else {
                ""
            };
            for (setup, key) in [
                ("", "current_sql"),
                ("", "desired_sql"),
                (current, "expected_up"),
                (current, "expected_down"),
                (current, "seed_sql"),
            ] {
                check_same(setup, sql(key));
                compared += usize::from(!sql(key).is_empty());
            }
        }
    }
    println!("{compared} texts compared");
}
