//! From what is meant to the code a person would have to write.
//!
//! Nothing of the user's code is in scope of the names used here: everything of the library comes
//! through its `__private`, everything of the standard library through `::core` and `::std`, and
//! the locals have the hygiene of the macro.

pub(crate) mod code;
pub(crate) mod folder;
pub(crate) mod item;
pub(crate) mod sql;
