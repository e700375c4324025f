//! OpenAI's chat completions: requests, whole replies, streams, errors; as one side of the hub as well.
//!
//! Functions from bytes to what one step of a call needs. It is also the canonical form that plugins read and write, so what it can show is
//! what every policy can see.

pub mod answer;
mod api;
mod content;
mod decode;
pub mod echo;
mod encode;
pub mod error;
mod media;
mod parts;
mod read_reply;
mod read_request;
pub mod reply;
pub mod request;
pub mod stream;
mod take;
mod thoughts;
mod write_reply;
mod write_request;

pub use api::Api;
pub(crate) use parts::loose_strings;

/// The word for how a choice ended.
pub(crate) fn finish_reason(finish: &crate::hub::Finish) -> &'static str {
    write_reply::reason(finish, false, &mut crate::hub::Losses::default())
}

/// Whose `rest`, state and foreign parts these are.
const OWN: crate::Dialect = crate::Dialect::OpenaiChat;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod hub_tests;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod hub_cases_tests;
