//! Drivers for what is no database. How one is written is told in the chapter on drivers (`DRIVERS.md` of
//! `admmgt-testkit`); both pass its suite.

mod json_directory;
mod settings;

pub use json_directory::{Folder, JsonDirectory};
pub use settings::{Editor, Settings};
