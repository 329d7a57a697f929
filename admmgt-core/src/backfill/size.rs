//! How many rows the next batch of a backfill may have.

use std::time::Duration;

/// With how many rows it begins; from then on by the time that a batch takes.
const FIRST: u64 = 1_000;
/// How many times as many rows as the one before it a batch has at most.
const GROWTH: f64 = 10.0;

/// The size of the next batch. It follows the time that one took, and keeps away from what has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) next: u64,
    /// The largest that is tried; less than the limit for a while after one has failed.
    most: u64,
    limit: u64,
}

impl Size {
    pub(super) fn new(limit: u64) -> Self {
        let limit = limit.max(1);
        Self { next: FIRST.min(limit), most: limit, limit }
    }

    /// A batch of so many rows took so long, of the time that one may take: the next one has as many as fit into it. Where that
    /// would be many times as many it aims at half of that time, since rows that come later can take longer.
    pub(super) fn took(&mut self, rows: u64, took: Duration, may_take: Duration) {
        let wanted = may_take.as_secs_f64() / took.as_secs_f64().max(1e-6);
        let growth = if wanted > 2.0 { (wanted / 2.0).clamp(2.0, GROWTH) } else { wanted.max(0.5) };
        self.most = self.most.saturating_add(self.most / 16 + 1).min(self.limit);
        // Not by what was asked for: less may have been there.
        let rows = rows.min(self.next).max(1) as f64;
        self.next = ((rows * growth) as u64).clamp(1, self.most);
    }

    /// One of so many rows failed, and may go well where it is smaller.
    pub(super) fn failed(&mut self, rows: u64) {
        let rows = rows.min(self.next);
        self.most = (rows / 2).clamp(1, self.limit);
        self.next = (rows / 4).clamp(1, self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_batch_is_as_large_as_the_time_that_it_may_take() {
        for (rows, took, next) in [
            // Ten times as many at most, towards half of the time; twice as many where that is near.
            (1_000, 1, 10_000),
            (1_000, 10, 5_000),
            (1_000, 20, 2_500),
            (1_000, 40, 2_000),
            (1_000, 80, 1_250),
            (1_000, 100, 1_000),
            (1_000, 125, 800),
            // Half as many at least.
            (1_000, 900, 500),
            // The last ones of a kind say little of the next.
            (3, 1, 30),
            (0, 1, 10),
        ] {
            let mut size = Size::new(50_000);
            size.took(rows, millis(took), millis(100));
            assert_eq!(size.next, next, "{rows} in {took} ms");
        }
    }

    #[test]
    fn no_limit_makes_it_none_or_too_many() {
        for limit in [0, 1, 7, u64::MAX] {
            for may_take in [Duration::ZERO, millis(100), Duration::MAX] {
                let mut size = Size::new(limit);
                for _ in 0..100 {
                    assert!((1..=limit.max(1)).contains(&size.next), "{size:?}");
                    size.took(size.next, millis(1), may_take);
                }
                size.failed(size.next);
                assert!((1..=limit.max(1)).contains(&size.next), "{size:?}");
            }
        }
    }

    /// What is too large is found out a few times, and not with every second batch.
    #[test]
    fn what_has_failed_is_not_tried_again_at_once() {
        let mut size = Size::new(10_000);
        let (mut failed, mut went_well) = (0, 0);
        for _ in 0..200 {
            if size.next > 1_500 {
                failed += 1;
                size.failed(size.next);
            } else {
                went_well += 1;
                size.took(size.next, millis(1), millis(100));
            }
        }
        assert!(went_well > failed * 9, "{failed} failed, {went_well} went well");
    }
}
