//! The only bridge between the pipeline and the sandbox: runs a chain's hooks on a call, applies their verdicts, keeps the receipt.
//!
//! `view` is what a plugin may ask and change, `request` and `reply` run the whole-body hooks, `route` those that order a call's targets,
//! `delta` the windows of a stream, `run` a single hook of these, `finish` and `complete` what comes after a call.
//! Routing, retries and HTTP are not known here.

pub mod complete;
pub mod delta;
mod edit;
pub mod finish;
pub mod outcome;
mod pieces;
pub mod reply;
pub mod request;
pub mod route;
pub mod run;
pub mod view;
