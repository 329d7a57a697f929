//! Pauses between two tries: longer each time, and never alike in two processes.

use std::time::Duration;

/// The longest pause between two tries.
pub(crate) const LONGEST: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Pause {
    next: Duration,
    longest: Duration,
}

impl Pause {
    /// From the first on, up to the longest.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first.clamp(Duration::from_millis(1), longest), longest }
    }

    /// Waits, and no longer than there is time left.
    pub(crate) async fn wait(&mut self, left: Duration) {
        tokio::time::sleep(self.next.mul_f64(0.5 + fastrand::f64() / 2.0).min(left)).await;
        self.next = (self.next * 2).min(self.longest);
    }
}
