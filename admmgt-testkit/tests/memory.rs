//! The suite on the driver in memory: it needs no other crate.

use std::process::ExitCode;

use admmgt_core::MemoryDriver;
use admmgt_testkit::{MemorySetup, Suite};

fn main() -> ExitCode {
    Suite::new()
        .driver("memory", MemorySetup::new(MemoryDriver::new))
        .driver("memory, no transactions", MemorySetup::new(MemoryDriver::without_transactions))
        .main()
}
