//! What an author implements: one trait for the plugin, one for each hook.

use crate::call::{Call, Reply};
use crate::types::{DeltaVerdict, Fault, RequestVerdict, ResponseVerdict, Window};
use serde::de::DeserializeOwned;

/// A hook, as [`Plugin::wants`] names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Once per call, before routing.
    OnRequest,
    /// Once per whole reply.
    OnResponse,
    /// For text of a reply before the client sees it.
    OnDelta,
}

impl Hook {
    /// Its name in the interface.
    pub fn name(self) -> &'static str {
        match self {
            Hook::OnRequest => "on-request",
            Hook::OnResponse => "on-response",
            Hook::OnDelta => "on-delta",
        }
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

    /// Wanted capabilities as (name, reason), shown to the operator who grants them.
    const GRANTS: &'static [(&'static str, &'static str)] = &[];

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
        let grants: Vec<String> =
            P::GRANTS.iter().map(|(name, why)| format!("{}:{}", quoted(name), quoted(why))).collect();
        out.push_str(",\"grants\":{");
        out.push_str(&grants.join(","));
        out.push('}');
    }
    out.push('}');
    out
}
