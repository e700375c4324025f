//! Wire formats of language-model APIs: bytes in, bytes out.
//!
//! Everything here is a function of its input. There is no I/O, no clock and no waiting: whoever calls decides when and where the bytes go.

pub mod anthropic;
mod canonical;
mod clean;
pub mod dialect;
pub mod document;
pub mod failure;
mod forms;
pub mod gemini;
pub mod guard;
pub mod hold;
pub mod hub;
pub mod json;
pub mod openai_chat;
pub mod openai_responses;
pub mod peek;
pub mod splice;
pub mod sse;
pub mod stream;
pub mod text;
mod told;
pub mod usage;
mod whole;

pub use dialect::Dialect;
