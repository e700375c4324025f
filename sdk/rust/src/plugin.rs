//! What an author implements: one trait for the plugin, one for each hook.

use crate::call::{Call, Reply};
use crate::finished::Finished;
use crate::targets::Targets;
use crate::types::{DeltaVerdict, Fault, RequestVerdict, ResponseVerdict, RouteVerdict, Window};
use serde::de::DeserializeOwned;

/// A hook, as [`Plugin::wants`] names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Once per call, before routing.
    OnRequest,
    /// Once per call that goes to a provider, before the first attempt.
    OnRoute,
    /// Once per whole reply.
    OnResponse,
    /// For text of a reply before the client sees it.
    OnDelta,
    /// Once per call, after its last byte.
    OnFinish,
    /// For finished calls, in batches.
    OnComplete,
}

impl Hook {
    /// Its name in the interface.
    pub fn name(self) -> &'static str {
        match self {
            Hook::OnRequest => "on-request",
            Hook::OnRoute => "on-route",
            Hook::OnResponse => "on-response",
            Hook::OnDelta => "on-delta",
            Hook::OnFinish => "on-finish",
            Hook::OnComplete => "on-complete",
        }
    }
}

/// A capability that a plugin wants, with the reason that the operator reads who grants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    name: &'static str,
    reason: &'static str,
    optional: bool,
}

impl Grant {
    /// [`crate::kv`]: the plugin waits, visibly, until it is granted.
    pub const fn kv(reason: &'static str) -> Self {
        Grant { name: "kv", reason, optional: false }
    }

    /// The plugin serves without it too; what it asks for then is [`Fault::Denied`].
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }
}

/// A plugin: how its settings become a value whose hooks the gateway runs.
///
/// The value is made once per instance, serves many calls, one hook at a time, and may be dropped between any two hooks: what a call
/// needs later belongs into [`Call::remember`].
pub trait Plugin: Sized + 'static {
    /// The operator's settings. Derive `Deserialize` with `deny_unknown_fields`, so that a misspelt field is an error.
    type Settings: DeserializeOwned;

    /// A JSON Schema of the settings, for the gateway's checks and pages; empty for none. Where it lists `required` fields, a plugin
    /// without settings waits visibly for them in place of failing.
    const SCHEMA: &'static str = "";

    /// Wanted capabilities: `&[Grant::kv("to count requests of a key")]`.
    const GRANTS: &'static [Grant] = &[];

    /// Once per instance, before any hook.
    ///
    /// # Errors
    /// A fault refuses the plugin, and the gateway keeps the one it had. Say which field is wrong.
    fn configure(settings: Self::Settings) -> Result<Self, Fault>;

    /// The hooks that these settings need; `None` for all of them. A hook left out costs nothing.
    fn wants(&self) -> Option<Vec<Hook>> {
        None
    }
}

/// Runs once per call, in rising order of the chain, before routing.
pub trait OnRequest: Plugin {
    /// Edits made through `call` apply when this returns `Ok`.
    ///
    /// # Errors
    /// A fault applies the operator's `on_error`.
    fn on_request(&self, call: &mut Call) -> Result<RequestVerdict, Fault>;
}

/// Runs once per call that goes to a provider, in rising order of the chain, after `on_request` and before the first attempt. The first
/// plugin that orders decides; the ones behind it are not asked.
pub trait OnRoute: Plugin {
    /// Reads the call and may tag it; edits of the request are faults here.
    ///
    /// # Errors
    /// A fault applies the operator's `on_error`: the call is refused, or the next plugin is asked as after [`RouteVerdict::Pass`].
    fn on_route(&self, call: &mut Call, targets: &Targets) -> Result<RouteVerdict, Fault>;
}

/// Runs on a whole reply, in falling order of the chain.
pub trait OnResponse: Plugin {
    /// Edits made through `reply` apply when this returns `Ok`.
    ///
    /// # Errors
    /// A fault applies the operator's `on_error`.
    fn on_response(&self, call: &mut Call, reply: &mut Reply) -> Result<ResponseVerdict, Fault>;
}

/// Runs on text of a reply before the client sees it; also on whole replies, one window a piece, where there is no `on_response`.
pub trait OnDelta: Plugin {
    /// Decides about one window.
    ///
    /// # Errors
    /// A fault applies the operator's `on_error`.
    fn on_delta(&self, call: &mut Call, window: &Window) -> Result<DeltaVerdict, Fault>;
}

/// Runs once per call after its last byte, however it ended, off the client's path. Reads the call, with what earlier hooks remembered
/// and tagged, and the reply as the client got it.
pub trait OnFinish: Plugin {
    /// The call may have no reply: see [`Reply::exists`], and [`Reply::outcome`] for how it ended.
    ///
    /// # Errors
    /// A fault is counted and logged; the client has its reply already.
    fn on_finish(&self, call: &Call, reply: &Reply) -> Result<(), Fault>;
}

/// Gets finished calls in batches, off their path: to log, to ship.
pub trait OnComplete: Plugin {
    /// At most 256 documents, in the order in which the calls finished.
    ///
    /// # Errors
    /// A fault is counted and logged; the batch does not come again.
    fn on_complete(&self, batch: &[Finished]) -> Result<(), Fault>;
}

/// For plugins without settings; any field is an error.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// Name, version and description of the author's crate, read by [`crate::plugin!`] where it is written.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
pub struct Package {
    pub name: &'static str,
    pub version: &'static str,
    pub description: &'static str,
}

/// The manifest as JSON. A schema that is not JSON makes a manifest that is not JSON, which the gateway refuses at load by name.
#[doc(hidden)]
pub fn manifest<P: Plugin>(package: Package) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let mut out = format!(
        "{{\"name\":{},\"version\":{},\"description\":{}",
        quoted(package.name),
        quoted(package.version),
        quoted(package.description)
    );
    if !P::SCHEMA.is_empty() {
        out.push_str(",\"settings\":");
        out.push_str(P::SCHEMA);
    }
    if !P::GRANTS.is_empty() {
        let one = |grant: &Grant| {
            let (name, reason) = (quoted(grant.name), quoted(grant.reason));
            format!("{{\"name\":{name},\"reason\":{reason},\"optional\":{}}}", grant.optional)
        };
        let grants: Vec<String> = P::GRANTS.iter().map(one).collect();
        out.push_str(",\"grants\":[");
        out.push_str(&grants.join(","));
        out.push(']');
    }
    out.push('}');
    out
}
