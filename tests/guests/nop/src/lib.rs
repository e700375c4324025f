//! The least plugin: what a hook costs when it does nothing.

use sluice::{Call, Fault, NoSettings, OnRequest, Plugin, RequestVerdict};

struct Nop;

impl Plugin for Nop {
    type Settings = NoSettings;
    fn configure(_: NoSettings) -> Result<Self, Fault> {
        Ok(Nop)
    }
}

impl OnRequest for Nop {
    fn on_request(&self, _: &mut Call) -> Result<RequestVerdict, Fault> {
        Ok(RequestVerdict::Pass)
    }
}

sluice::plugin!(Nop: on_request);
