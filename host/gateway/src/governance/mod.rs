//! Who may call, and who may administer. Pure decisions over the configuration; no I/O on a call's way.

pub mod access;
pub mod keys;
mod issue;

pub use issue::{Issued, issue};
