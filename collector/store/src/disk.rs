//! Files of this machine: written whole or not at all, and cleared of what crashed programs left.

pub(crate) mod atomic;
pub(crate) mod sweep;
pub(crate) mod whole;
