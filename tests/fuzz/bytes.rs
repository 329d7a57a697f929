//! Bytes that may be no text: a file that is held in memory and one that is read in pieces are judged alike.

use std::fs;

use admmgt_files::checksum::of_sql;
use admmgt_files::large::{self, LargeProblem};
use admmgt_files::text::{TextProblem, decode};

use crate::fuzz::{Target, shape};

/// Each character stands for a byte; what is none, for those of its UTF-8.
#[rustfmt::skip]
const WORDS: &[&str] = &[
    "\u{ef}\u{bb}\u{bf}", "\u{ff}\u{fe}", "\u{fe}\u{ff}", "\0", "s\0e\0", "\0s\0e", "\u{c3}", "\u{a9}", "\u{c3}\u{a9}", "\u{f0}\u{9f}\u{a6}\u{80}",
    "\u{f0}\u{9f}", "\u{ed}\u{a0}\u{80}", "\u{c0}\u{80}", "\u{ff}", "\u{80}", "\r\n", "\n", "\r", "select 1;", "-- ", "'", "漢",
];

/// As large.rs cuts a line.
const PIECE: usize = 64 << 10;

#[test]
fn bytes_keep_their_promises() {
    let seeds = [
        "select 1;\nselect 'é';\r\n",
        "\u{ef}\u{bb}\u{bf}select 1;",
        "a\u{c3}\nb",
        "s\0e\0l\0",
        "\u{f0}\u{9f}\u{a6}\u{80}\r\n\r\n",
    ];
    Target { name: "bytes", words: WORDS, seeds: seeds.map(str::to_owned).to_vec(), check }.run();
}

fn check(text: &str) -> u64 {
    let mut bytes = Vec::new();
    for character in text.chars() {
        match u8::try_from(u32::from(character)) {
            Ok(byte) => bytes.push(byte),
            Err(_) => bytes.extend(character.to_string().bytes()),
        }
    }
    let short = judged(&bytes);
    // The same around the place where a line is cut.
    let before = PIECE - 8 + text.len() % 16;
    let long = judged(&[vec![b'x'; before], bytes].concat());
    shape((short, long))
}

fn judged(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file.sql");
    fs::write(&path, bytes).expect("a file");
    match (decode(bytes), large::whole(&path)) {
        (Ok(text), Ok(slice)) => {
            assert_eq!(text.as_bytes(), bytes);
            assert_eq!(slice.checksum, of_sql(text), "in pieces it has the checksum of the whole");
            assert_eq!(slice.text().expect("it is there"), text);
            let lines: Vec<usize> = text.lines().take(6).map(|line| line.len().min(40) / 8).collect();
            format!("{lines:?} {}", text.ends_with('\r'))
        }
        (Err(one), Err(LargeProblem::Text(other))) => {
            let kind = |problem: &TextProblem| match problem {
                TextProblem::Utf16 { endian } => (*endian).to_owned(),
                // Where there is both, each names the first that it comes to.
                TextProblem::NotUtf8 { .. } | TextProblem::Nul { .. } => "bytes".to_owned(),
                other => panic!("{other:?}"),
            };
            assert_eq!(kind(&one), kind(&other), "{one:?} {other:?}");
            assert!((1..=bytes.iter().filter(|byte| **byte == b'\n').count() + 1).contains(&one.line()), "{one:?}");
            format!("{} {}", kind(&one), one.line().min(5))
        }
        (whole, pieces) => panic!("as a whole {whole:?}, in pieces {pieces:?}"),
    }
}
