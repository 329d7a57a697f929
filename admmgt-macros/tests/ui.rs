//! Every rejection, with its words: each says what to write instead.
//!
//! `TRYBUILD=overwrite cargo test -p admmgt-macros --test ui` writes the words again; read them
//! before you commit them.

use std::fs;
use std::path::Path;

/// Files that `tests/ui/sql_*.rs` name.
const FILES: [(&str, &[u8]); 3] = [
    ("latin1.sql", b"select 1;\n-- caf\xe9\n"),
    ("utf16.sql", b"\xff\xfes\0e\0l\0e\0c\0t\0"),
    ("nul.sql", b"select 1;\nselect 2;\0\n"),
];

#[test]
fn rejections_say_what_to_write_instead() {
    // Where trybuild compiles the tests: paths of SQL files start there.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tests/trybuild/admmgt-macros/sql");
    fs::create_dir_all(&folder).unwrap();
    for (name, content) in FILES {
        fs::write(folder.join(name), content).unwrap();
    }
    let tests = trybuild::TestCases::new();
    tests.compile_fail("tests/ui/*.rs");
    // Where the words are the compiler's, and change with it.
    tests.compile_fail("tests/ui/rustc/*.rs");
}
