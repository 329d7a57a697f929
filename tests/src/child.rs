//! A process to race with and to kill.
fn main() {}
