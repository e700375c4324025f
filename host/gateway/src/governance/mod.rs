//! Who may call, and who may administer. Pure decisions over the configuration; no I/O on a call's way.

pub mod access;
mod issue;
pub mod keys;

pub use issue::{Issued, issue};
