//! What a test panicked with, told where the test fails and not where it panics: some panic on purpose.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::panic::PanicHookInfo;

/// A panic, and the frames below it where `RUST_BACKTRACE` asks for them: to find their names takes seconds.
struct Panic(String, Backtrace);

thread_local! {
    /// The panics of the test that this thread runs.
    static HEARD: RefCell<Option<Vec<Panic>>> = const { RefCell::new(None) };
}

/// From now on, what panics in a thread that [listens](Listening) is kept instead of printed.
pub(super) fn keep() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !is_kept(panic) {
            print(panic);
        }
    }));
}

fn is_kept(panic: &PanicHookInfo<'_>) -> bool {
    HEARD.with_borrow_mut(|heard| {
        let Some(heard) = heard else { return false };
        heard.push(Panic(panic.to_string(), Backtrace::capture()));
        true
    })
}

/// As long as it lives, the panics of this thread are kept.
pub(super) struct Listening(());

impl Listening {
    pub(super) fn new() -> Self {
        HEARD.set(Some(Vec::new()));
        Self(())
    }

    /// The words of every panic since, the last one last.
    pub(super) fn words(&self) -> String {
        HEARD.with_borrow(|heard| {
            let mut words = String::new();
            for Panic(text, frames) in heard.iter().flatten() {
                let _ = writeln!(words, "{text}");
                if frames.status() == BacktraceStatus::Captured {
                    let _ = writeln!(words, "{frames}");
                }
            }
            words
        })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        HEARD.set(None);
    }
}
