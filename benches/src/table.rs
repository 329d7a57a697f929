//! Tables in markdown, written line by line while the bench runs.

use crate::{Paired, Samples};

/// The head of a table of pairs.
pub fn pairs(a: &str, b: &str) {
    println!("\n| case | {a} | {b} | ratio | p10 to p90 of pairs | bound | |");
    println!("|---|--:|--:|--:|--:|--:|---|");
}

/// One line of it.
pub fn pair(case: &str, paired: &Paired, bound: Option<f64>) {
    let ratios = paired.ratios();
    println!(
        "| {case} | {} | {} | {:.2} | {:.2} to {:.2} | {} |",
        time(paired.a.median()),
        time(paired.b.median()),
        paired.ratio(),
        ratios.percentile(10),
        ratios.percentile(90),
        judged(paired.ratio(), bound, |bound| format!("{bound:.2}"))
    );
}

/// The head of a table of single measurements.
pub fn singles(what: &str) {
    println!("\n| case | {what} | p10 to p90 | bound | |");
    println!("|---|--:|--:|--:|---|");
}

/// One line of it: so many seconds, divided among `parts`.
pub fn single(case: &str, samples: &Samples, parts: usize, bound: Option<f64>) {
    let share = |hundredths| samples.percentile(hundredths) / parts as f64;
    let judged = judged(share(50), bound, time);
    println!("| {case} | {} | {} to {} | {judged} |", time(share(50)), time(share(10)), time(share(90)));
}

fn judged(value: f64, bound: Option<f64>, show: impl Fn(f64) -> String) -> String {
    match bound {
        None => "|".to_owned(),
        Some(bound) if value <= bound => format!("{} | holds", show(bound)),
        Some(bound) => format!("{} | **does not hold**", show(bound)),
    }
}

/// A time in three digits.
pub fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s if s >= 1e-6 => (s * 1e6, "µs"),
        s => (s * 1e9, "ns"),
    };
    let decimals = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.decimals$} {unit}")
}
