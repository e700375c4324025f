//! `deny-words`: refuses or masks configured words and patterns in requests, replies and streams.
//!
//! This file is the plugin: hooks in, verdicts out. What matches is in `policy`, how text is compared in `fold`, tool arguments in `json`.
//! It keeps no text between windows; what a later window has to know is in `carry`.

mod carry;
mod fold;
mod json;
mod policy;
mod settings;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

use carry::Carry;
use policy::Policy;
use settings::{Action, Settings, Side};
use sluice::{
    Call, DeltaVerdict, Denial, Fault, Hook, Kind, OnDelta, OnRequest, OnResponse, Plugin, Reply, RequestVerdict,
    ResponseVerdict, Texts, Window, search,
};

struct DenyWords {
    policy: Policy,
    action: Action,
    sides: Vec<Side>,
    kinds: Vec<Kind>,
    denial: Denial,
}

impl Plugin for DenyWords {
    type Settings = Settings;
    const SCHEMA: &'static str = include_str!("../settings.schema.json");

    fn configure(settings: Settings) -> Result<Self, Fault> {
        settings.check()?;
        Ok(DenyWords {
            policy: Policy::new(&settings)?,
            action: settings.action,
            kinds: settings.kinds.iter().map(|kind| (*kind).into()).collect(),
            denial: Denial::new(settings.code, settings.message).status(settings.status),
            sides: settings.sides,
        })
    }

    fn wants(&self) -> Option<Vec<Hook>> {
        let mut hooks = Vec::new();
        if self.sides.contains(&Side::Request) {
            hooks.push(Hook::OnRequest);
        }
        if self.sides.contains(&Side::Reply) {
            hooks.extend([Hook::OnResponse, Hook::OnDelta]);
        }
        Some(hooks)
    }
}

impl DenyWords {
    /// The usual case in one search over all pieces: nothing is there. False where only a closer look can tell.
    fn clean(&self, texts: &Texts) -> bool {
        let joined = texts.joined();
        let escaped = || texts.has(Kind::ToolArguments) && joined.contains('\\');
        self.policy.is_clean_ascii(joined) && !escaped()
    }

    /// Refuses, or hands every masked text to `edit`.
    fn whole(
        &self,
        texts: &Texts,
        mut edit: impl FnMut(u32, &str) -> Result<(), Fault>,
    ) -> Result<Option<Denial>, Fault> {
        if self.clean(texts) {
            return Ok(None);
        }
        for piece in texts.iter().filter(|piece| self.kinds.contains(&piece.kind)) {
            let found = self.policy.find(piece.text, piece.kind, &Carry::default(), true);
            if found.hits.is_empty() {
                continue;
            }
            if self.action == Action::Deny {
                return Ok(Some(self.deny()));
            }
            sluice::count("masked", 1);
            edit(piece.index, &found.masked(piece.text, self.policy.mask()))?;
        }
        Ok(None)
    }

    fn deny(&self) -> Denial {
        sluice::count("denied", 1);
        self.denial.clone()
    }
}

impl OnRequest for DenyWords {
    fn on_request(&self, call: &mut Call) -> Result<RequestVerdict, Fault> {
        let denial = self.whole(&call.texts(), |piece, text| call.set_text(piece, text))?;
        Ok(denial.map_or(RequestVerdict::Pass, Into::into))
    }
}

impl OnResponse for DenyWords {
    fn on_response(&self, _: &mut Call, reply: &mut Reply) -> Result<ResponseVerdict, Fault> {
        let denial = self.whole(&reply.texts(), |piece, text| reply.set_text(piece, text))?;
        Ok(denial.map_or(ResponseVerdict::Pass, Into::into))
    }
}

impl OnDelta for DenyWords {
    fn on_delta(&self, call: &mut Call, window: &Window) -> Result<DeltaVerdict, Fault> {
        if !self.kinds.contains(&window.kind) {
            return Ok(DeltaVerdict::PASS);
        }
        let carries = self.policy.needs_context() || window.kind == Kind::ToolArguments;
        let carry = if carries { Carry::recall(call, window) } else { Carry::default() };
        let text = window.text.as_str();
        let found = self.policy.find(text, window.kind, &carry, window.last);
        if self.action == Action::Deny && !found.hits.is_empty() {
            return Ok(self.deny().into());
        }
        if carries && !window.last && found.carry != carry {
            found.carry.remember(call, window)?;
        }
        let (ready, held) = text.split_at_checked(found.hold_from).unwrap_or((text, ""));
        let hold = search::characters(held);
        if found.hits.is_empty() {
            return Ok(DeltaVerdict::Release { hold });
        }
        sluice::count("masked", 1);
        Ok(DeltaVerdict::Replace { text: found.masked(ready, self.policy.mask()) + held, hold })
    }
}

sluice::plugin!(DenyWords: on_request, on_response, on_delta);
