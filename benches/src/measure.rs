//! Times, their medians, and the ratios of pairs.

use std::time::{Duration, Instant};

use crate::Result;

/// How often each side runs before it is measured.
const WARM_UP: usize = 2;

/// What was measured of one thing, in seconds.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// The value that so many hundredths of the measurements are not above.
    pub fn percentile(&self, hundredths: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get((sorted.len().saturating_sub(1)) * hundredths / 100).copied().unwrap_or(f64::NAN)
    }

    /// The middle one.
    pub fn median(&self) -> f64 {
        self.percentile(50)
    }

    fn add(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64());
    }
}

/// Two things that were measured in turn.
#[derive(Debug, Clone, Default)]
pub struct Paired {
    /// What is judged.
    pub a: Samples,
    /// What it is held against.
    pub b: Samples,
}

impl Paired {
    /// The ratio of the medians.
    pub fn ratio(&self) -> f64 {
        self.a.median() / self.b.median()
    }

    /// The ratio of each pair.
    pub fn ratios(&self) -> Samples {
        Samples(self.a.0.iter().zip(&self.b.0).map(|(a, b)| a / b).collect())
    }
}

/// Measures two things alternately, so that whatever else the machine does slows down both. Which of
/// a pair goes first alternates too: each leaves the caches and the disk's queue to the next one.
///
/// # Errors
/// The first of either side.
pub fn paired(
    pairs: usize,
    mut a: impl FnMut() -> Result<Duration>,
    mut b: impl FnMut() -> Result<Duration>,
) -> Result<Paired> {
    for _ in 0..WARM_UP.min(pairs) {
        a()?;
        b()?;
    }
    let mut paired = Paired::default();
    for pair in 0..pairs {
        if pair % 2 == 0 {
            paired.a.add(a()?);
            paired.b.add(b()?);
        } else {
            paired.b.add(b()?);
            paired.a.add(a()?);
        }
    }
    Ok(paired)
}

/// Measures one thing.
///
/// # Errors
/// The first one.
pub fn alone(times: usize, mut work: impl FnMut() -> Result<Duration>) -> Result<Samples> {
    for _ in 0..WARM_UP.min(times) {
        work()?;
    }
    let mut samples = Samples::default();
    for _ in 0..times {
        samples.add(work()?);
    }
    Ok(samples)
}

/// How long some work takes.
///
/// # Errors
/// Those of the work.
pub fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<Duration> {
    let clock = Instant::now();
    // What comes out is dropped before the clock is read.
    std::hint::black_box(work()?);
    Ok(clock.elapsed())
}
