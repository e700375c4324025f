//! The only bridge between the pipeline and the sandbox: runs a chain's hooks on a call, applies their verdicts, keeps the receipt.
//!
//! `view` is what a plugin may ask and change, `request` and `reply` run the whole-body hooks, `delta` the windows of a stream.
//! Routing, retries and HTTP are not known here.

pub mod delta;
mod edit;
pub mod outcome;
pub mod reply;
pub mod request;
pub mod view;
