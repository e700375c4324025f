//! Tests of Sluice from outside: the built binary, real sockets, recorded providers. One promise per file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::too_many_lines)]

mod blocks;
mod cli;
mod client_access;
mod client_bodies;
mod client_cancel;
mod client_framing;
mod compression;
mod demo;
mod documents;
mod first_programs;
mod graceful_stop;
mod house;
mod listing;
mod names;
mod plugins_files;
mod plugins_hostile;
mod plugins_mask;
mod plugins_neighbours;
mod plugins_order;
mod plugins_policy;
mod plugins_reload;
mod plugins_states;
mod plugins_support;
mod plugins_unreadable;
mod plugins_wire;
mod python_client;
mod source;
mod support;
mod tutorial;
mod upstream_connections;
mod upstream_deadlines;
mod upstream_errors;
mod wire_passthrough;
mod wire_splits;
