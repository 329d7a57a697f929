//! What the conformance suite cannot know: damaged files, names, problems of a text.

use std::fs;
use std::path::PathBuf;

use admmgt::{
    Acquired, Author, Batch, Checksum, Dialect, Direction, Error, MigrationId, Namespace, NamespaceHead, Origin,
    Record, RecordKind, RunId, TransactionMode,
};
use serde_json::json;

use super::books::Books;
use super::command::Commands;
use super::files::Files;
use super::folder::Folder;
use super::lease;

/// A folder that is gone with the test.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("admmgt-{}", RunId::new()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn files(&self) -> Files {
        Files::new(self.0.clone())
    }

    /// With two records, each in a file of its own.
    fn prepared() -> Self {
        let it = Self::new();
        Books(&it.files()).prepare().unwrap();
        Books(&it.files()).append(&batch(1, 1)).unwrap();
        Books(&it.files()).append(&batch(2, 1)).unwrap();
        it
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn batch(first: u64, count: u64) -> Batch {
    let record = |seq| {
        let (kind, direction) = (RecordKind::Applied, Direction::Up);
        let id = MigrationId::new("app", format!("000{seq}_it")).unwrap();
        Record::new(seq, id, kind, direction, Checksum::of_sql(""), Origin::Sql, &Author::of_this_process())
    };
    let mut batch = Batch::default();
    batch.records = (first..first + count).map(record).collect();
    batch.heads = vec![(app(), NamespaceHead { seq: first + count - 1, ..NamespaceHead::default() })];
    batch
}

fn app() -> Namespace {
    Namespace::new("app").unwrap()
}

fn problems(text: &str) -> Vec<String> {
    let problems = Commands.parse(text, TransactionMode::Auto).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn all_problems_of_a_text_are_told_with_their_places() {
    let found = problems(
        "{\"create\": \"a\", \"document\": {}} {\"delete\": \"b\",}\n{\"crate\": \"c\"}\n  {\"merge\": \"ä\",\n   \"document\": \"secret\"}\n\
         {\"create\": \"d\"}\n{\"delete\": \"../x\"}\n7\n{\"delete\": \"e\"",
    );
    let expected = [
        "1:48: this is no JSON: key must be a string; write one object behind the other",
        "2:8: unknown field `crate`, expected one of `create`, `replace`, `merge`, `delete`, `rename`, `document`, `to`",
        "4:23: this is something else; write a map",
        "5:1: this is no command; write `create`, `replace` or `merge` with a `document`, `delete` alone, or `rename` with `to`",
        "6:18: `../x` cannot be the name of a document; write up to 200 letters, digits, `_`, `-` and `.`, which is not the first",
        "7:1: this is something else; write a command: `{\"create\": NAME, \"document\": {…}}` or the like",
        "8:1: this command never ends; close what is open in it, a text or a bracket",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_mark_at_the_beginning_and_ends_of_lines_are_no_edit() {
    let text = "{\"create\": \"a\",\n \"document\": {}}\n{\"delete\": \"a\"}";
    let plain = Commands.parse(text, TransactionMode::Auto).unwrap();
    let edited = Commands.parse(&format!("\u{feff}{}", text.replace('\n', "\r\n")), TransactionMode::Auto).unwrap();
    assert_eq!(plain, edited);
    assert_eq!(plain.statements[1].line, 3);
}

#[test]
fn a_statement_is_shown_without_its_values() {
    let script = Commands.parse(r#"{"merge": "a", "document": {"it": "secret"}}"#, TransactionMode::Auto).unwrap();
    assert_eq!(Commands.redacted(&script.statements[0]), "merge a");
}

#[test]
fn no_name_leads_out_of_the_folder() {
    let it = Temporary::new();
    let mut folder = Folder::new(it.files());
    for name in ["", ".", "..", "../x", "/x", "a/b", "a\\b", ".admmgt", "a\0", "c:x", &"x".repeat(201)] {
        assert!(matches!(folder.create(name, &json!({})), Err(Error::Usage { .. })), "{name}");
    }
    assert!(folder.names().unwrap().is_empty());
    assert_eq!(fs::read_dir(&it.0).unwrap().count(), 0);
}

#[test]
fn nothing_is_overwritten_by_a_name_that_is_taken() {
    let it = Temporary::new();
    let mut folder = Folder::new(it.files());
    folder.create("a", &json!({"a": 1})).unwrap();
    folder.create("b", &json!({"b": 1})).unwrap();
    for refused in
        [folder.create("a", &json!({})), folder.rename("a", "b"), folder.rename("c", "d"), folder.delete("c")]
    {
        assert!(matches!(refused, Err(Error::Database { .. })), "{refused:?}");
    }
    assert_eq!(folder.read("b").unwrap(), Some(json!({"b": 1})));
    folder.rename("a", "c").unwrap();
    assert_eq!(folder.names().unwrap(), ["b", "c"]);
}

#[test]
fn a_document_that_does_not_fit_is_told_without_its_values() {
    let it = Temporary::new();
    fs::write(it.0.join("a.json"), "{\"it\": \"secret\"}").unwrap();
    let error = Folder::new(it.files()).read::<Vec<u32>>("a").unwrap_err().to_string();
    assert!(error.contains("a.json`: it holds something else than it should, in line 1"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn a_number_is_taken_once_whoever_races() {
    let it = Temporary::prepared();
    let taken = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8)
            .map(|count| {
                scope.spawn({
                    let files = it.files();
                    move || Books(&files).append(&batch(3, 1 + count % 3))
                })
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).filter(Result::is_ok).count()
    });
    assert_eq!(taken, 1);
    let history = Books(&it.files()).history().unwrap();
    let last = history.records.len() as u64;
    assert_eq!(history.head.namespaces[&app()].seq, last);
    for first in [0, 1, 3, last, last + 2] {
        let refused = Books(&it.files()).append(&batch(first, 1));
        assert!(matches!(refused, Err(Error::HistoryMoved { .. })), "{first}: {refused:?}");
    }
}

/// Damages one file, and reads.
fn damaged(damage: impl FnOnce(&Files)) -> String {
    let it = Temporary::prepared();
    damage(&it.files());
    let error = Books(&it.files()).history().unwrap_err();
    assert!(Books(&it.files()).append(&batch(3, 1)).is_err() || matches!(error, Error::CorruptState { .. }));
    error.to_string().replace(it.0.to_str().unwrap(), "…")
}

#[test]
fn a_damaged_file_is_named() {
    let cases = [
        (
            damaged(|files| fs::write(files.ours("history/00000001.json"), "{").unwrap()),
            "00000001.json`: it ends too early",
        ),
        (
            damaged(|files| fs::write(files.ours("history/00000002.json"), "{}").unwrap()),
            "00000002.json`: it holds something",
        ),
        (
            damaged(|files| fs::remove_file(files.ours("history/00000001.json")).unwrap()),
            "00000001.json`: it is not there",
        ),
        (damaged(|files| fs::write(files.ours("history/x.json"), "").unwrap()), "x.json`: its name is no number"),
        (damaged(|files| fs::remove_file(files.ours("format")).unwrap()), "format`: it is not there"),
        (damaged(|files| fs::write(files.ours("format"), "0").unwrap()), "format`: 0 is no format"),
        (damaged(|files| fs::write(files.ours("format"), "7").unwrap()), "the history is of format 7"),
    ];
    for (error, expected) in cases {
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_history_that_was_emptied_is_not_an_empty_one() {
    let error = damaged(|files| {
        fs::remove_dir_all(files.ours("history")).unwrap();
        fs::create_dir(files.ours("history")).unwrap();
    });
    assert!(error.contains("history`: it is empty, and there were records"), "{error}");
}

#[test]
fn a_record_that_was_moved_by_hand_is_found() {
    let error = damaged(|files| {
        _ = fs::copy(files.ours("history/00000001.json"), files.ours("history/00000002.json")).unwrap();
    });
    assert!(error.contains("00000002.json`: its records are not those from 2 on"), "{error}");
}

#[test]
fn two_files_with_one_record_are_found() {
    let other = Temporary::new();
    Books(&other.files()).prepare().unwrap();
    Books(&other.files()).append(&batch(1, 2)).unwrap();
    let error = damaged(|files| {
        _ = fs::copy(other.files().ours("history/00000001.json"), files.ours("history/00000001.json")).unwrap();
    });
    assert!(error.contains("00000002.json`: its records are in the file before it, too"), "{error}");
}

#[test]
fn one_has_the_lease_and_the_others_are_told_who() {
    let (it, author) = (Temporary::new(), Author::of_this_process().by("deploy-bot"));
    let first = lease::acquire(&it.files(), &author).unwrap();
    assert!(matches!(first, Acquired::Yes(_)));
    match lease::acquire(&it.files(), &author).unwrap() {
        Acquired::No(holder) => assert_eq!(holder.by.as_deref(), Some("deploy-bot")),
        Acquired::Yes(_) => panic!("two have it"),
    }
    drop(first);
    assert!(matches!(lease::acquire(&it.files(), &author).unwrap(), Acquired::Yes(_)));
}
