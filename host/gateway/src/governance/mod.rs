//! Who may call, and who may administer. Pure decisions over the configuration; no I/O on a call's way.

pub mod access;
pub mod caller;
mod issue;
pub mod keys;
pub mod rates;

pub use issue::{Issued, issue};
