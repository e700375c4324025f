//! The dialect's event stream: a look at an event that passes through, the reader of a provider's stream, the writer of a client's.

mod decode;
mod encode;
mod ending;
mod glance;
mod item;
mod small;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;

pub use decode::Decoder;
pub use encode::Encoder;
pub use glance::{failure, glance};
