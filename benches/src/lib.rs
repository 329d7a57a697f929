//! What the benches share. Each bench is a program that answers one question, prints a table, and
//! never fails because of a number: machines are shared and noisy, so bounds are printed beside what
//! was measured, for a person to read.
//!
//! - [`paired`]: two things measured in turn, and the ratio of them; [`alone`]: one thing;
//! - [`table`]: how both are printed;
//! - [`Place`]: the file systems that databases are put on;
//! - [`made`]: migrations by the thousand.
//!
//! `cargo bench -p admmgt-benches --bench cold -- --quick` measures less often; a word after it runs
//! only the cases whose name holds that word.

pub mod made;
mod measure;
mod place;
pub mod table;

pub use measure::{Paired, Samples, alone, paired, timed};
pub use place::Place;

/// A bench stops at the first thing that does not work, as opposed to what is slow.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Whether fewer measurements were asked for: `--quick`, or `ADMMGT_BENCH_QUICK` in the environment.
pub fn is_quick() -> bool {
    std::env::args().any(|word| word == "--quick") || std::env::var_os("ADMMGT_BENCH_QUICK").is_some()
}

/// So many measurements, or few of them with `--quick`.
pub fn times(full: usize) -> usize {
    if is_quick() { (full / 10).max(3) } else { full }
}

/// Whether a case was asked for: every one, unless words were given.
pub fn is_wanted(case: &str) -> bool {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    words.iter().all(|word| case.contains(word.as_str()))
}
