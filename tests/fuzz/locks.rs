//! The lockfile: what is read is written the same, and read again the same.

use admmgt_files::lockfile::Lockfile;

use crate::fuzz::{Target, shape};

const WORDS: &[&str] = &[
    "admmgt lockfile, format ",
    "1",
    "2",
    "\n",
    "\r\n",
    "app/1",
    "app/2",
    "/",
    "  ",
    " ",
    "\t",
    "manual:a",
    "v1:sha256:",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "<<<<<<<",
    "=======",
    ">>>>>>>",
    "|||||||",
    "\u{feff}",
    "é",
    "\u{a0}",
    "\u{2028}",
    "\u{85}",
    "billing/0001_plans",
];

#[test]
fn the_lockfile_keeps_its_promises() {
    let seeds = [
        "admmgt lockfile, format 1\napp/1  manual:a\napp/2  manual:b  app/1 billing/9\n",
        "admmgt lockfile, format 1\r\napp/1 v1:sha256:0000000000000000000000000000000000000000000000000000000000000000\r\n",
        "\u{feff}admmgt lockfile, format 2\n",
        "admmgt lockfile, format 1\n<<<<<<< ours\napp/1  manual:a\n=======\napp/1  manual:b\n>>>>>>> theirs\n",
    ];
    let seeds = seeds.map(str::to_owned).to_vec();
    Target { name: "lockfile", words: WORDS, seeds, check }.run();
}

fn check(text: &str) -> u64 {
    let _ = Lockfile::is_one(text);
    match Lockfile::parse(text) {
        Ok(lockfile) => {
            let written = lockfile.to_string();
            assert!(Lockfile::is_one(&written));
            assert_eq!(Lockfile::parse(&written).as_ref(), Ok(&lockfile), "{written:?}");
            assert_eq!(Lockfile::parse(&written).expect("it was just read").to_string(), written);
            let depends = lockfile.entries.values().map(|entry| entry.depends_on.len()).sum::<usize>();
            shape((lockfile.entries.len(), depends))
        }
        Err(problem) => {
            assert!((1..=text.lines().count().max(1)).contains(&problem.line), "{problem}");
            shape((problem.line, problem.problem.chars().filter(|c| !c.is_ascii_digit()).take(30).collect::<String>()))
        }
    }
}
