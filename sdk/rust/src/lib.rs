//! Write Sluice plugins in Rust: implement [`Plugin`] and the hooks you want, then name them in [`plugin!`].
//!
//! ```
//! use sluice_sdk as sluice;
//! use sluice::{Call, Denial, Fault, OnRequest, Plugin, RequestVerdict, search::Words};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {
//!     words: Vec<String>,
//! }
//!
//! struct Guard {
//!     words: Words,
//! }
//!
//! impl Plugin for Guard {
//!     type Settings = Settings;
//!     fn configure(settings: Settings) -> Result<Self, Fault> {
//!         Ok(Guard { words: Words::new(settings.words)? })
//!     }
//! }
//!
//! impl OnRequest for Guard {
//!     fn on_request(&self, call: &mut Call) -> Result<RequestVerdict, Fault> {
//!         if self.words.is_match(call.texts().joined()) {
//!             return Ok(Denial::new("content_filter", "The request was refused by a content policy.").into());
//!         }
//!         Ok(RequestVerdict::Pass)
//!     }
//! }
//!
//! sluice::plugin!(Guard: on_request);
//! ```
//!
//! Built for `wasm32-wasip2` the crate becomes a component with exactly those hooks. Built for the machine you sit at, the same code runs
//! under `cargo test` against a fake call: see `testing`. It is not a client of the gateway and does no input or output of its own.

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
mod call;
mod finished;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod glue;
pub mod host;
pub mod kv;
mod macros;
mod period;
mod plugin;
pub mod search;
#[doc(hidden)]
pub mod settings;
mod targets;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod texts;
mod types;

pub use call::{Call, Reply};
pub use finished::Finished;
pub use host::{count, digest, log, now_ms, random};
pub use period::Period;
#[doc(hidden)]
pub use plugin::Package;
pub use plugin::{Grant, Hook, NoSettings, OnComplete, OnDelta, OnFinish, OnRequest, OnResponse, OnRoute, Plugin};
pub use targets::{Target, Targets};
pub use texts::{Iter, Piece, Texts};
pub use types::{
    DeltaVerdict, Denial, Fault, Kind, Level, RequestVerdict, ResponseVerdict, Role, RouteVerdict, Window,
};
