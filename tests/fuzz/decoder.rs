//! Rows of a history: a record, or an error that names the column. What was read is written the same.

use admmgt::stored::{self, COLUMNS, Row};
use admmgt::{ArchivedBody, Error, Record};

use crate::fuzz::{Target, shape};

/// Between the columns; each begins with a letter for what it holds.
const NEXT: char = '\u{1f}';

#[rustfmt::skip]
const WORDS: &[&str] = &[
    "\u{1f}", "\u{1f}n", "\u{1f}i0", "\u{1f}i-1", "\u{1f}i4294967296", "\u{1f}i9223372036854775807", "\u{1f}t", "\u{1f}b", "\u{1f}w",
    "n", "i", "t", "b", "w", "app", "0001", "applied", "started", "step_done", "up", "down", "sql", "code", "plain", "deflate",
    "manual:a", "v1:sha256:", "é", "\0", " ", "/", "'",
];

/// A row as a text: NULL, a number, a text, bytes, or something that a column cannot be.
struct Line<'a>(Vec<&'a str>);

impl<'a> Line<'a> {
    fn of(text: &'a str) -> Self {
        Self(text.split(NEXT).collect())
    }

    fn value(&self, at: usize, kind: char) -> Result<Option<&'a str>, String> {
        let column = self.0.get(at).copied().unwrap_or("n");
        match column.chars().next() {
            None | Some('n') => Ok(None),
            Some(found) if found == kind => Ok(Some(&column[1..])),
            Some(_) => Err("is something else".to_owned()),
        }
    }
}

impl Row for Line<'_> {
    fn text(&self, at: usize) -> Result<Option<String>, String> {
        Ok(self.value(at, 't')?.map(str::to_owned))
    }

    fn number(&self, at: usize) -> Result<Option<i64>, String> {
        self.value(at, 'i')?.map(|text| text.parse().map_err(|_| "is no number".to_owned())).transpose()
    }

    fn bytes(&self, at: usize) -> Result<Option<Vec<u8>>, String> {
        Ok(self.value(at, 'b')?.map(|text| text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(0xff)).collect()))
    }
}

#[test]
fn the_decoder_of_records_keeps_its_promises() {
    let row = |parts: [&str; 18]| parts.join(&NEXT.to_string());
    let seeds = vec![
        row([
            "i1",
            "tapp",
            "t0001",
            "tapplied",
            "tup",
            "i0",
            "trun",
            "tmanual:a",
            "tsql",
            "n",
            "n",
            "i5",
            "tme",
            "there",
            "t0.1",
            "n",
            "bselect 1",
            "tplain",
        ]),
        row([
            "i2",
            "tapp",
            "t0002",
            "tstep_done",
            "tdown",
            "i7",
            "trun",
            "tmanual:a",
            "tcode",
            "i1",
            "i3",
            "n",
            "tme",
            "there",
            "t0.1",
            "thash",
            "n",
            "n",
        ]),
        row([
            "i3",
            "tapp",
            "t0003",
            "tfailed",
            "tup",
            "i-1",
            "trun",
            "tmanual:a",
            "tsql",
            "n",
            "n",
            "n",
            "tme",
            "there",
            "t0.1",
            "twhy",
            "b\u{4b}\u{4c}\u{4}\0",
            "tdeflate",
        ]),
    ];
    Target { name: "records", words: WORDS, seeds, check }.run();
}

fn check(text: &str) -> u64 {
    match stored::record(&Line::of(text)) {
        Ok(record) => {
            let again = stored::record(&Line::of(&written(&record))).expect("what was read can be read again");
            assert_eq!(again, record);
            // Whatever the bytes are: a text of a bounded length, or none.
            let unpacked = record.body.as_ref().map(ArchivedBody::unpack);
            shape((record.kind.as_str(), record.step.is_some(), unpacked.map(|text| text.is_some())))
        }
        Err(error @ Error::CorruptState { .. }) => {
            let words = error.to_string();
            assert!(COLUMNS.iter().any(|column| words.contains(&format!("`{column}`"))), "{words}");
            shape(words.split(" of ").next().map(str::to_owned))
        }
        Err(error) => panic!("{error}"),
    }
}

/// The row of a record.
fn written(record: &Record) -> String {
    let number = |value: Option<u64>| value.map_or("n".to_owned(), |value| format!("i{value}"));
    let (body, codec) = stored::body(record).unzip();
    let bytes = body.map(|bytes| bytes.iter().map(|byte| char::from(*byte)).collect::<String>());
    let columns = [
        format!("i{}", record.seq),
        format!("t{}", record.migration.namespace()),
        format!("t{}", record.migration.id()),
        format!("t{}", record.kind),
        format!("t{}", stored::direction(record.direction)),
        format!("i{}", record.at.0),
        format!("t{}", record.run),
        format!("t{}", record.checksum.as_str()),
        format!("t{}", stored::origin(record.origin)),
        number(record.step.map(u64::from)),
        number(record.steps.map(u64::from)),
        number(record.duration_us),
        format!("t{}", &*record.by),
        format!("t{}", &*record.host),
        format!("t{}", &*record.library),
        record.detail.as_ref().map_or("n".to_owned(), |text| format!("t{text}")),
        bytes.map_or("n".to_owned(), |bytes| format!("b{bytes}")),
        codec.map_or("n".to_owned(), |codec| format!("t{codec}")),
    ];
    columns.join(&NEXT.to_string())
}

#[test]
fn the_heads_of_a_history_keep_their_promises() {
    const WORDS: &[&str] = &[
        "app ",
        "billing ",
        "\n",
        " ",
        "0",
        "1",
        "18446744073709551615",
        "9223372036854775808",
        "-1",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "ffff",
        "é",
        "\0",
        "\t",
        "\r",
    ];
    let seeds = vec![
        format!("app {} 3 7", "0".repeat(64)),
        format!("app {} 3 7\nbilling {} 1 9", "0".repeat(64), "f".repeat(64)),
    ];
    Target { name: "heads", words: WORDS, seeds, check: heads }.run();
}

fn heads(text: &str) -> u64 {
    match stored::heads(Some(text)) {
        Ok(heads) => {
            let written = stored::heads_text(&heads);
            assert_eq!(stored::heads(Some(&written)).expect("it was just read"), heads, "{written:?}");
            let small = heads.iter().map(|(_, head)| (head.count.min(9), head.seq.min(9)));
            shape((heads.len(), small.collect::<Vec<_>>()))
        }
        Err(Error::CorruptState { .. }) => {
            let words = text.lines().map(|line| line.split(' ').map(|word| word.len().min(9)).collect::<Vec<_>>());
            shape(words.collect::<Vec<_>>())
        }
        Err(error) => panic!("{error}"),
    }
}
