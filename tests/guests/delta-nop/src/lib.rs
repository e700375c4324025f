//! What a window of streamed text costs when nothing is done with it.

use sluice::{Call, DeltaVerdict, Fault, NoSettings, OnDelta, Plugin, Window};

struct Nop;

impl Plugin for Nop {
    type Settings = NoSettings;
    fn configure(_: NoSettings) -> Result<Self, Fault> {
        Ok(Nop)
    }
}

impl OnDelta for Nop {
    fn on_delta(&self, _: &mut Call, _: &Window) -> Result<DeltaVerdict, Fault> {
        Ok(DeltaVerdict::PASS)
    }
}

sluice::plugin!(Nop: on_delta);
