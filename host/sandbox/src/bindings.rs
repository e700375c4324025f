//! The plugin interface as Rust types and traits, generated from `wit/`. Nothing by hand but the options.
//!
//! Exports are called asynchronously, always: the epoch callback yields, and only a fiber can. Imports are synchronous and may trap.

#![allow(clippy::all, unreachable_pub, missing_docs)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "everything",
    imports: { default: trappable },
    exports: { default: async },
    require_store_data_send: true,
});

pub(crate) use exports::sluice::plugin as hooks;
pub(crate) use sluice::plugin as imports;
