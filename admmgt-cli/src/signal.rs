//! The signals that ask a program to end.

use std::future::{Future, pending};
use std::pin::pin;
use std::task::Poll;

/// A signal, and how a program exits that was ended by it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signal {
    pub(crate) name: &'static str,
    /// 128 and its number, as shells have it.
    pub(crate) code: u8,
}

const INTERRUPTED: Signal = Signal { name: "SIGINT", code: 130 };

/// The first that comes.
pub(crate) async fn any() -> Signal {
    let mut interrupted = pin!(interrupted());
    let mut terminated = pin!(terminated());
    std::future::poll_fn(|task| match interrupted.as_mut().poll(task) {
        Poll::Ready(signal) => Poll::Ready(signal),
        Poll::Pending => terminated.as_mut().poll(task),
    })
    .await
}

async fn interrupted() -> Signal {
    match tokio::signal::ctrl_c().await {
        Ok(()) => INTERRUPTED,
        // Without a handler the signal ends the process by itself.
        Err(_) => pending().await,
    }
}

#[cfg(unix)]
async fn terminated() -> Signal {
    use tokio::signal::unix::{SignalKind, signal};
    if let Ok(mut terminated) = signal(SignalKind::terminate())
        && terminated.recv().await.is_some()
    {
        return Signal { name: "SIGTERM", code: 143 };
    }
    pending().await
}

#[cfg(not(unix))]
async fn terminated() -> Signal {
    pending().await
}
