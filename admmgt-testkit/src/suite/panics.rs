//! What a test panicked with, told where the test fails and not where it panics: some panic on purpose.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::panic::PanicHookInfo;

/// A panic, and the frames below it where `RUST_BACKTRACE` asks for them: to find their names takes seconds.
pub(super) struct Panic(String, Backtrace);

thread_local! {
    /// The panics of the test that runs on this thread just now.
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

/// As long as it lives, the panics of this thread are kept; then they are added to those of its test.
pub(super) struct Listening<'a>(&'a mut Vec<Panic>);

impl<'a> Listening<'a> {
    pub(super) fn to(heard: &'a mut Vec<Panic>) -> Self {
        HEARD.set(Some(Vec::new()));
        Self(heard)
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.0.extend(HEARD.take().into_iter().flatten());
    }
}

/// The words of panics, the last one last.
pub(super) fn words(heard: &[Panic]) -> String {
    let mut words = String::new();
    for Panic(text, frames) in heard {
        let _ = writeln!(words, "{text}");
        if frames.status() == BacktraceStatus::Captured {
            let _ = writeln!(words, "{frames}");
        }
    }
    words
}
