//! Runs plugins: loads WebAssembly components strictly, limits what they may use, and calls their hooks.
//!
//! The only crate that names wasmtime. It knows the plugin interface and nothing of HTTP, providers or configuration: the gateway gives
//! it bytes, settings and limits, and for each hook a [`CallView`] over its call. Receipts, `on_error` and breakers are the gateway's.

mod bindings;
mod canned;
mod clock;
mod component;
mod engine;
mod error;
mod explain;
mod hook;
mod host;
mod inspect;
mod instance;
mod kv;
mod limits;
mod load;
mod manifest;
mod plugin;
mod pool;
mod shape;
mod state;
mod ticker;
mod verdict;
mod view;

#[cfg(test)]
mod tests;

pub use component::Component;
pub use engine::{Config, Sandbox};
pub use error::{ErrorKind, HookError, LoadError, LoadErrorKind};
pub use hook::{Hook, HookSet};
pub use inspect::{Inspection, inspect};
pub use kv::{Grants, Kv};
pub use limits::Limits;
pub use load::Spec;
pub use manifest::{Manifest, WantedGrant};
pub use plugin::{Completed, Counters, MAX_BATCH_BYTES, MAX_BATCH_ITEMS, Plugin, Ran};
pub use shape::INTERFACE_VERSION;
pub use verdict::{DeltaVerdict, Denial, RequestVerdict, ResponseVerdict, RouteVerdict, Window};
pub use view::{CallView, Fault, Kind, Level, Piece, Role, Targets, Texts};
