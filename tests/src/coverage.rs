//! Reads what tarpaulin found, and holds it against the list of lines that no test reaches, each with its reason.
//!
//! `coverage REPORT LIST` prints the share of lines of each crate, fails where one is below its floor, and names every
//! line that no test reaches and that is not in the list, and every entry of the list that is not needed any more; where
//! the moment decides, a reason begins with `at times: `.
//! `coverage REPORT LIST --write` adds what is missing, with `?` for its reason, and takes away what is not needed.

#![allow(clippy::expect_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;

/// The crates, of each of which tests reach this share of lines at least, in percent; what they do not is listed.
const FLOOR: f64 = 95.0;
const LISTED: [&str; 6] =
    ["admmgt-core", "admmgt-files", "admmgt-macros", "admmgt-sqlite", "admmgt-postgres", "admmgt-mongo"];
/// Its share is only told: what no test of ours reaches in the kit is what it says where a driver breaks a promise.
const TOLD: &str = "admmgt-testkit";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [report, list, rest @ ..] = &arguments[..] else {
        eprintln!("coverage REPORT LIST [--write]");
        return ExitCode::from(2);
    };
    let report = std::fs::read_to_string(report).expect("a report of tarpaulin");
    let report: Value = serde_json::from_str(&report).expect("a report of tarpaulin");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned();
    let lines = Lines::of(&report, &root);
    let listed = Listed::read(Path::new(list));
    if rest.iter().any(|word| word == "--write") {
        std::fs::write(list, listed.updated(&lines).to_string()).expect("the list is written");
    }
    if lines.print(&listed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Lines by crate and file: how many, and the texts of those that no test reaches.
#[derive(Default)]
struct Lines {
    counts: BTreeMap<String, (usize, usize)>,
    missed: BTreeMap<String, Vec<(usize, String)>>,
}

impl Lines {
    fn of(report: &Value, root: &Path) -> Self {
        let mut lines = Self::default();
        for file in report["files"].as_array().into_iter().flatten() {
            let parts = file["path"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let path: PathBuf = parts.collect();
            let Ok(path) = path.strip_prefix(root) else { continue };
            let path = path.display().to_string();
            let name = path.split('/').next().unwrap_or_default().to_owned();
            let is_source = path.contains("/src/") && !path.ends_with("tests.rs");
            if !is_source || !(LISTED.contains(&&*name) || name == TOLD) {
                continue;
            }
            let content: Vec<&str> = file["content"].as_str().unwrap_or_default().lines().collect();
            // Tests beside the code, not in a file of their own.
            let is_inline = |pair: &[&str]| pair[0].trim() == "#[cfg(test)]" && pair[1].trim_end().ends_with('{');
            let tests = content.windows(2).position(is_inline).map_or(usize::MAX, |at| at + 1);
            for trace in file["traces"].as_array().into_iter().flatten() {
                let line = usize::try_from(trace["line"].as_u64().unwrap_or_default()).unwrap_or_default();
                let text = content.get(line.saturating_sub(1)).map_or("", |text| text.trim());
                // What ends a block is no line of its own.
                if line >= tests || text.chars().all(|c| "{}()[];,?".contains(c)) {
                    continue;
                }
                let counts = lines.counts.entry(name.clone()).or_default();
                counts.0 += 1;
                if trace["stats"]["Line"].as_u64() != Some(0) {
                    counts.1 += 1;
                } else if name != TOLD {
                    lines.missed.entry(path.clone()).or_default().push((line, text.to_owned()));
                }
            }
        }
        lines
    }

    /// Whether everything is as it should be.
    fn print(&self, listed: &Listed) -> bool {
        let mut good = true;
        for name in LISTED.iter().chain([&TOLD]) {
            let (all, reached) = self.counts.get(*name).copied().unwrap_or_default();
            let share = 100.0 * reached as f64 / all.max(1) as f64;
            let is_low = *name != TOLD && share < FLOOR;
            let word = if is_low { format!(": BELOW {FLOOR} %") } else { String::new() };
            println!("{name:<16} {share:6.2} % of {all} lines{word}");
            good &= !is_low;
        }
        let mut left = listed.0.clone();
        for (path, missed) in &self.missed {
            for (line, text) in missed {
                match left.get_mut(path).and_then(|texts| texts.get_mut(text)) {
                    // As many as were listed.
                    Some((count, _)) if *count > 0 => *count -= 1,
                    _ => {
                        println!("no test reaches {path}:{line}, and no reason is given: {text}");
                        good = false;
                    }
                }
            }
        }
        for (path, texts) in &left {
            let is_over = |(count, reason): &(usize, String)| *count > 0 && !reason.starts_with(AT_TIMES);
            for (text, (count, _)) in texts.iter().filter(|(_, listed)| is_over(listed)) {
                println!("reached by now, or gone, {count} times: {path}: {text}");
                good = false;
            }
        }
        for (path, texts) in &listed.0 {
            for text in texts.iter().filter(|(_, (_, reason))| reason == "?").map(|(text, _)| text) {
                println!("without a reason: {path}: {text}");
                good = false;
            }
        }
        good
    }
}

/// By file and line of code: how many such lines, and why no test reaches them.
struct Listed(BTreeMap<String, BTreeMap<String, (usize, String)>>);

/// What the reason of a line begins with that a test reaches in some runs.
const AT_TIMES: &str = "at times: ";
/// What separates a line from its reason.
const BECAUSE: &str = "  ## ";

impl Listed {
    fn read(path: &Path) -> Self {
        let mut listed: BTreeMap<String, BTreeMap<String, (usize, String)>> = BTreeMap::new();
        let mut file = String::new();
        for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
            match line.strip_prefix("    ").and_then(|line| line.rsplit_once(BECAUSE)) {
                Some((text, reason)) => {
                    let texts = listed.entry(file.clone()).or_default();
                    texts.entry(text.to_owned()).or_insert_with(|| (0, reason.to_owned())).0 += 1;
                }
                None => file = line.trim().to_owned(),
            }
        }
        Self(listed)
    }

    fn updated(&self, lines: &Lines) -> Self {
        let mut updated = Self(BTreeMap::new());
        for (path, missed) in &lines.missed {
            for (_, text) in missed {
                let known = self.0.get(path).and_then(|texts| texts.get(text));
                let reason = known.map_or("?", |(_, reason)| reason).to_owned();
                updated.0.entry(path.clone()).or_default().entry(text.clone()).or_insert((0, reason)).0 += 1;
            }
        }
        updated
    }
}

impl std::fmt::Display for Listed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (path, texts) in &self.0 {
            writeln!(f, "{path}")?;
            for (text, (count, reason)) in texts {
                (0..*count).try_for_each(|_| writeln!(f, "    {text}{BECAUSE}{reason}"))?;
            }
        }
        Ok(())
    }
}
