//! The chapter on drivers shows the code of a driver that is compiled, and passes the suite: word for word.

use std::path::Path;

/// The lines of a text that say something.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a file of the project")
}

#[test]
fn what_the_chapter_shows_is_what_is_compiled() {
    let chapter = read("../admmgt-testkit/DRIVERS.md");
    let code = [read("../examples/drivers/src/settings.rs"), read("conformance.rs")];
    let compiled: Vec<Vec<&str>> = code.iter().map(|text| lines(text)).collect();
    let mut blocks = 0;
    for block in chapter.split("```rust,ignore\n").skip(1) {
        let shown = lines(block.split("```").next().expect("an end"));
        let is_there = compiled.iter().any(|lines| lines.windows(shown.len()).any(|window| window == shown));
        assert!(is_there, "not in the compiled code:\n{}", shown.join("\n"));
        blocks += 1;
    }
    assert!(blocks > 5, "{blocks}");
}

/// The table of errors has a row for each class that a driver may answer with.
#[test]
fn the_chapter_names_each_class_of_errors_and_each_capability() {
    let chapter = read("../admmgt-testkit/DRIVERS.md");
    for name in [
        "NotFound",
        "Unreachable",
        "Rejected",
        "Crowded",
        "ConnectionLost",
        "Busy",
        "NotAllowed",
        "ReadOnly",
        "LeaseLost",
        "HistoryMoved",
        "NewerFormat",
        "CorruptState",
        "Database",
        ".transactions()",
        ".fencing()",
        ".only_in_transactions(why)",
    ] {
        assert!(chapter.contains(&format!("`{name}`")), "{name}");
    }
}
