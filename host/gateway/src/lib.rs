//! The Sluice gateway: everything but translation (`sluice-dialect`) and the sandbox (`sluice-sandbox`).
//!
//! `main -> server -> pipeline -> {providers, governance, hooks, store, observe} -> dialect`; `hooks -> sandbox`. The pipeline never sees the
//! server's sockets and the server never sees the HTTP client.

pub mod app;
pub mod cli;
pub mod config;
pub mod exchange;
pub mod governance;
pub mod hooks;
pub mod live;
pub mod observe;
pub mod pipeline;
pub mod plugins;
pub mod providers;
pub mod routing;
pub mod server;
mod site;
pub mod state;
pub mod store;
pub mod ui;
mod watch;
