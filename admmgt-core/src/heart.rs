//! The heartbeat of a lease that ends by its time.

use std::fmt::Debug;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::{BoxFuture, Error, Result};

/// How a lease that ends by its time is made to last longer, once.
#[async_trait]
pub trait Renewal: Debug + Send + 'static {
    /// Asks for another time. Dropped where no answer comes before the lease is over: what it holds then, such as a
    /// connection with half an answer in it, is not to be used again.
    async fn renew(&mut self) -> Beat;
}

/// What has become of one [`Renewal::renew`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Beat {
    /// The lease lasts for another time.
    Renewed,
    /// It is somebody else's, or nobody's: how that came, in words for [`Error::LeaseLost`].
    Gone(String),
    /// There was no answer. It is asked again while there is time.
    Missed,
}

/// Renews a lease that ends by its time, in the background, until it is stopped or dropped: a third of that time after
/// the last renewal was asked for, and again until it is answered. When to stop for want of an answer is decided by
/// this process's monotonic clock alone, a sixth of that time before the database would give the lease to another.
///
/// A [`Lease`](crate::Lease) of a database without session locks holds one, and passes
/// [`Lease::verify`](crate::Lease::verify) and [`Lease::lost`](crate::Lease::lost) on to it.
///
/// ```
/// use admmgt_core::{Beat, Heart, Renewal, async_trait};
/// use std::time::{Duration, Instant};
///
/// #[derive(Debug)]
/// struct Row(u32);
///
/// #[async_trait]
/// impl Renewal for Row {
///     async fn renew(&mut self) -> Beat {
///         self.0 -= 1;
///         if self.0 > 0 { Beat::Renewed } else { Beat::Gone("its row is another's".to_owned()) }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // From before it was asked for, so that it is over here before it is over there.
/// let asked = Instant::now();
/// let heart = Heart::beat(Duration::from_millis(60), asked, Row(3));
/// assert!(heart.verify().is_ok());
/// let lost = heart.lost().await;
/// assert!(lost.to_string().contains("its row is another's"), "{lost}");
/// assert!(heart.verify().is_err());
/// # }
/// ```
#[derive(Debug)]
pub struct Heart {
    ours: Ours,
    task: JoinHandle<()>,
    told: watch::Receiver<Option<String>>,
}

/// Until when the lease is ours beyond doubt.
#[derive(Debug, Clone)]
struct Ours {
    good_for: Duration,
    /// When the last renewal that was answered was asked for.
    since: Arc<Mutex<Instant>>,
}

impl Ours {
    fn since(&self) -> Instant {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn again(&self, asked: Instant) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = asked;
    }

    /// A process that slept looks at this before its heartbeat wakes.
    fn verify(&self) -> Result<()> {
        if self.since().elapsed() < self.good_for { Ok(()) } else { Err(lost(self.late())) }
    }

    fn late(&self) -> String {
        format!("it could not be renewed for {:?}", self.good_for)
    }
}

fn lost(problem: String) -> Error {
    Error::LeaseLost { problem }
}

impl Heart {
    /// Begins to renew a lease of so long a time, which was asked for at that moment. In a tokio runtime.
    pub fn beat(ttl: Duration, asked: Instant, renewal: impl Renewal) -> Self {
        let (tell, told) = watch::channel(None);
        let ours = Ours { good_for: Self::good_for(ttl), since: Arc::new(Mutex::new(asked)) };
        let task = tokio::spawn(beat(renewal, ttl, ours.clone(), tell));
        Self { ours, task, told }
    }

    /// For how long after it was asked for a lease of so long a time is ours beyond doubt.
    pub fn good_for(ttl: Duration) -> Duration {
        ttl - ttl / 6
    }

    /// Whether the lease is still ours, as far as is known here.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], with how that came.
    pub fn verify(&self) -> Result<()> {
        match self.told.borrow().clone() {
            Some(problem) => Err(lost(problem)),
            None => self.ours.verify(),
        }
    }

    /// Comes when the lease is lost, with how that came.
    pub fn lost(&self) -> BoxFuture<'static, Error> {
        let (ours, mut told) = (self.ours.clone(), self.told.clone());
        let mut told = Box::pin(async move {
            match told.wait_for(Option::is_some).await.ok().and_then(|problem| problem.clone()) {
                Some(problem) => lost(problem),
                // The heartbeat was stopped: nobody asks any more.
                None => std::future::pending().await,
            }
        });
        Box::pin(std::future::poll_fn(move |task| match ours.verify() {
            Err(error) => Poll::Ready(error),
            Ok(()) => told.as_mut().poll(task),
        }))
    }

    /// Renews no more: the lease is about to be handed back.
    pub fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for Heart {
    /// The lease ends by itself.
    fn drop(&mut self) {
        self.stop();
    }
}

/// Renews until the lease is lost; says so in words then.
async fn beat(mut renewal: impl Renewal, ttl: Duration, ours: Ours, tell: watch::Sender<Option<String>>) {
    loop {
        let since = ours.since();
        let end = since + ours.good_for;
        // From when it was asked for, however long the answer took.
        tokio::time::sleep((since + ttl / 3).saturating_duration_since(Instant::now())).await;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let _ = tell.send(Some(ours.late()));
                return;
            }
            let asked = Instant::now();
            match tokio::time::timeout(left, renewal.renew()).await {
                Ok(Beat::Renewed) => {
                    ours.again(asked);
                    break;
                }
                Ok(Beat::Gone(problem)) => {
                    let _ = tell.send(Some(problem));
                    return;
                }
                // There is time for another try.
                Ok(Beat::Missed) => tokio::time::sleep((ttl / 30).min(left)).await,
                Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const TTL: Duration = Duration::from_millis(300);

    /// Answers so many times, then never again.
    #[derive(Debug)]
    struct Answers {
        good: Arc<AtomicU32>,
        then: Option<Beat>,
    }

    #[async_trait]
    impl Renewal for Answers {
        async fn renew(&mut self) -> Beat {
            if self.good.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                return Beat::Renewed;
            }
            match self.then.clone() {
                Some(beat) => beat,
                None => std::future::pending().await,
            }
        }
    }

    fn heart(good: u32, then: Option<Beat>) -> (Heart, Arc<AtomicU32>) {
        let good = Arc::new(AtomicU32::new(good));
        (Heart::beat(TTL, Instant::now(), Answers { good: Arc::clone(&good), then }), good)
    }

    #[tokio::test]
    async fn a_lease_that_is_renewed_outlasts_its_time() {
        let (heart, _) = heart(u32::MAX, None);
        assert!(tokio::time::timeout(TTL * 3, heart.lost()).await.is_err());
        heart.verify().unwrap();
    }

    #[tokio::test]
    async fn one_that_gets_no_answer_is_over_before_its_time() {
        for then in [None, Some(Beat::Missed)] {
            let (asked, (heart, _)) = (Instant::now(), heart(0, then));
            let lost = heart.lost().await;
            assert!(asked.elapsed() >= Heart::good_for(TTL));
            assert!(lost.to_string().contains("it could not be renewed for 250ms"), "{lost}");
            assert_eq!(heart.verify().unwrap_err().to_string(), lost.to_string());
        }
    }

    #[tokio::test]
    async fn a_missed_beat_is_made_good() {
        let (heart, good) = heart(0, Some(Beat::Missed));
        tokio::time::sleep(TTL / 2).await;
        good.store(u32::MAX, Ordering::SeqCst);
        assert!(tokio::time::timeout(TTL * 2, heart.lost()).await.is_err());
    }

    #[tokio::test]
    async fn answers_that_take_long_are_no_missed_beats() {
        const LONG: Duration = Duration::from_millis(800);

        #[derive(Debug)]
        struct Slow;

        #[async_trait]
        impl Renewal for Slow {
            async fn renew(&mut self) -> Beat {
                tokio::time::sleep(LONG.mul_f64(0.3)).await;
                Beat::Renewed
            }
        }

        let heart = Heart::beat(LONG, Instant::now(), Slow);
        assert!(tokio::time::timeout(LONG * 3, heart.lost()).await.is_err());
        heart.verify().unwrap();
    }

    /// A process that was stopped for longer than the lease lasts: no timer has run meanwhile.
    #[tokio::test(flavor = "current_thread")]
    async fn whoever_slept_is_told_before_the_heartbeat_wakes() {
        let (heart, _) = heart(u32::MAX, None);
        std::thread::sleep(TTL);
        assert!(matches!(heart.verify(), Err(Error::LeaseLost { .. })));
        assert!(matches!(heart.lost().await, Error::LeaseLost { .. }));
    }

    #[tokio::test]
    async fn one_that_is_stopped_is_silent() {
        let (heart, good) = heart(u32::MAX, None);
        heart.stop();
        let left = good.load(Ordering::SeqCst);
        let long = Heart::beat(TTL * 100, Instant::now(), Answers { good: Arc::default(), then: None });
        long.stop();
        assert!(tokio::time::timeout(TTL / 2, long.lost()).await.is_err(), "until its time is over");
        assert_eq!(good.load(Ordering::SeqCst), left);
    }
}
