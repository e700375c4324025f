//! What the gateway tells about itself: metrics, and one log line a call. It decides nothing.

pub mod access_log;
pub mod metrics;
pub mod record;
