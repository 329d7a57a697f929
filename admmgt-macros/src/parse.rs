//! From tokens to what was written, not yet judged.

pub(crate) mod description;
pub(crate) mod entries;
pub(crate) mod function;
