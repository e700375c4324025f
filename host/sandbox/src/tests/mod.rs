//! Guests of every kind against the public interface: what loads, what is refused and why, and what a misbehaving one costs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::indexing_slicing)]

mod behaviour;
mod finish;
mod grants;
mod guests;
mod loading;
mod native;
mod probe;
mod route;
mod shapes;
mod timing;

use std::future::Future;
use std::sync::{Arc, LazyLock};

use crate::{Component, Config, LoadError, Plugin, Sandbox, Spec};

/// One for all tests, as in a process.
pub(crate) static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(Config::default()).unwrap());

/// On a current-thread runtime, as the gateway serves.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

pub(crate) fn spec(name: &str) -> Spec {
    Spec { name: name.to_owned(), ..Spec::default() }
}

pub(crate) fn compile(wasm: &[u8]) -> Arc<Component> {
    SANDBOX.compile(wasm).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) async fn load(wasm: &[u8], spec: Spec) -> Result<Arc<Plugin>, LoadError> {
    SANDBOX.load(SANDBOX.compile(wasm)?, spec).await
}
