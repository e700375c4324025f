//! OpenAI's chat completions: requests, whole replies, streams, errors.
//!
//! Functions from bytes to what one step of a call needs. It is also the canonical form that plugins read and write, so what it can show is
//! what every policy can see.

pub mod answer;
mod api;
pub mod echo;
pub mod error;
mod parts;

pub(crate) use parts::loose_strings;
pub mod reply;
pub mod request;
pub mod stream;

pub use api::Api;
