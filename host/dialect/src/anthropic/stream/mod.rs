//! Messages as a stream: looked at as it passes, read into deltas, written from them.

mod decode;
mod encode;
mod glance;

pub use decode::Decoder;
pub use encode::Encoder;
pub use glance::glance;
