//! Wire formats of language-model APIs: bytes in, bytes out.
//!
//! Everything here is a function of its input. There is no I/O, no clock and no waiting: whoever calls decides when and where the bytes go.

pub mod document;
pub mod failure;
pub mod hold;
pub mod json;
pub mod openai_chat;
pub mod peek;
pub mod splice;
pub mod sse;
pub mod text;
pub mod usage;
