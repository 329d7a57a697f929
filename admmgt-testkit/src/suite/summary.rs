//! How many promises of each group each driver keeps.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use super::{GROUPS, Test};

/// How a test ended.
pub(super) enum Ended {
    Kept,
    LeftOut(String),
    Broken(String),
}

impl Ended {
    /// Held against what the driver may leave out, where that was said.
    pub(super) fn judged(self, may_be_left_out: Option<bool>) -> Self {
        match (self, may_be_left_out) {
            (Self::LeftOut(reason), Some(false)) => Self::Broken(format!(
                "it was left out, and the list of what this driver may leave out lacks it: {reason}"
            )),
            (Self::Kept, Some(true)) => {
                Self::Broken("it was tried, and is on the list of what this driver may leave out".to_owned())
            }
            (ended, _) => ended,
        }
    }
}

#[derive(Default)]
struct Counts {
    kept: usize,
    broken: usize,
    left_out: usize,
}

#[derive(Default)]
struct Inner {
    counts: BTreeMap<(String, &'static str), Counts>,
    /// Driver, promise, reason.
    left_out: Vec<(String, String, String)>,
}

/// What ended how, of all tests that were run.
#[derive(Default)]
pub(super) struct Summary(Mutex<Inner>);

impl Summary {
    pub(super) fn add(&self, label: &str, test: &Test, ended: &Ended) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = inner.counts.entry((label.to_owned(), test.group)).or_default();
        match ended {
            Ended::Kept => counts.kept += 1,
            Ended::Broken(_) => counts.broken += 1,
            Ended::LeftOut(reason) => {
                counts.left_out += 1;
                let promise = format!("{}::{}", test.group, test.name);
                inner.left_out.push((label.to_owned(), promise, reason.clone()));
            }
        }
    }

    /// A row for each driver, a column for each group, and below it what was left out, and why.
    pub(super) fn table(&self, labels: &[&str], missing: &[(String, String)]) -> String {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = labels.iter().copied().chain(missing.iter().map(|(label, _)| label.as_str()));
        let width = all.map(|label| label.chars().count()).max().unwrap_or_default().max(6);
        let ran = labels.iter().filter(|label| inner.counts.keys().any(|(ran, _)| ran == **label));
        let mut rows = vec![("driver".to_owned(), GROUPS.map(str::to_owned))];
        rows.extend(ran.map(|label| {
            let counts = GROUPS.map(|group| inner.counts.get(&((*label).to_owned(), group)));
            ((*label).to_owned(), counts.map(|counts| counts.map_or_else(|| "-".to_owned(), cell)))
        }));
        let longest = rows.iter().flat_map(|(_, cells)| cells).map(|cell| cell.len()).max().unwrap_or_default();
        let mut text = String::new();
        for (label, cells) in rows {
            let cells = cells.map(|cell| format!("  {cell:longest$}")).concat();
            text += format!("{label:width$}{cells}").trim_end();
            text.push('\n');
        }
        for (label, reason) in missing {
            let _ = writeln!(text, "{label:width$}  not tried: {reason}");
        }
        inner.left_out.sort();
        let mut reasons: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for (label, promise, reason) in &inner.left_out {
            reasons.entry((label, reason)).or_default().push(promise);
        }
        for ((label, reason), promises) in reasons {
            let _ = write!(text, "\n{label}, left out because {reason}:\n  {}\n", promises.join("\n  "));
        }
        text
    }
}

fn cell(counts: &Counts) -> String {
    let mut words = vec![format!("{} passed", counts.kept)];
    if counts.broken > 0 {
        words.push(format!("{} FAILED", counts.broken));
    }
    if counts.left_out > 0 {
        words.push(format!("{} skipped", counts.left_out));
    }
    words.join(", ")
}
