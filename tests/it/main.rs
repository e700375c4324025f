//! Tests of Sluice from outside: the built binary, real sockets, recorded providers. One promise per file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::too_many_lines)]

mod client_access;
mod client_bodies;
mod client_cancel;
mod client_framing;
mod compression;
mod demo;
mod first_programs;
mod graceful_stop;
mod names;
mod python_client;
mod support;
mod upstream_connections;
mod upstream_deadlines;
mod upstream_errors;
mod wire_passthrough;
mod wire_splits;
