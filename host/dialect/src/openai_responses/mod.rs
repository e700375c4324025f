//! OpenAI's Responses: requests, whole responses, streams, errors.
//!
//! It knows no provider, and no state that a provider keeps: a reference to such state is repeated for providers of this dialect, and others
//! are told by [`refuse_stored`] that it cannot be followed.

mod api;
mod count;
pub mod error;
mod parts;
mod read_reply;
mod read_request;
mod read_tools;
mod reply;
mod request;
mod stream;
mod take;
mod write_input;
mod write_reply;
mod write_request;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::too_many_lines)]
mod convert_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;

pub use api::Api;
pub use read_request::refuse_stored;
pub use write_reply::echo;
