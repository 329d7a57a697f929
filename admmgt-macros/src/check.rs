//! From what was written to what is meant, or to errors that say what to write instead.

pub(crate) mod argument;
pub(crate) mod arguments;
pub(crate) mod dependencies;
pub(crate) mod folder;
pub(crate) mod keys;
pub(crate) mod output;
pub(crate) mod signature;
pub(crate) mod values;
