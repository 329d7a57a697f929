//! Drivers for what is no database. How one is written is told in the chapter on drivers (`DRIVERS.md` of
//! `admmgt-testkit`); both pass its suite.

mod settings;

pub use settings::{Editor, Settings};
