//! Names as the roads beside the loop over attempts need them: one provider and model. What they mean is `routing::names`'.

pub use crate::routing::names::{Route, names, of_prefix, resolve};
