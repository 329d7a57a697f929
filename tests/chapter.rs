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

/// The names in backticks in the first column of the table that begins so.
fn first_column(chapter: &str, header: &str) -> Vec<String> {
    let table = chapter.split_once(header).expect("the table").1;
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.split('|').nth(1).expect("a cell").to_owned());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The tables have a row for each class that a driver may answer with, and for each capability.
#[test]
fn the_chapter_names_each_class_of_errors_and_each_capability() {
    let chapter = read("../admmgt-testkit/DRIVERS.md");
    let mut rows = first_column(&chapter, "| class | when |");
    rows.extend(first_column(&chapter, "| | set where | then the engine |"));
    for name in [
        "Script",
        "Usage",
        "Unsupported",
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
        assert!(rows.iter().any(|row| row == name), "{name}: {rows:?}");
    }
}
