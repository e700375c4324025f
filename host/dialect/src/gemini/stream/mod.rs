//! Streams: the cheap look at an event, reading a provider's, writing a client's.

mod decode;
mod encode;
mod glance;
mod partial;

pub(super) use decode::Decoder;
pub(super) use encode::Encoder;
pub(super) use glance::glance;
