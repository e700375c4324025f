//! What a translation could not carry over.

use std::borrow::Cow;

use serde_json::Value;

use super::Rest;
use crate::Dialect;
use crate::failure::Failure;

/// One thing that the target's format cannot say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The place in the client's request or the provider's reply, by its name there: `top_k`, `tools.web_search`, `choices[1]`.
    pub what: Cow<'static, str>,
    /// It changes neither the answer nor its form (a cache hint, a label): never a reason to refuse.
    pub hint: bool,
}

/// All of one translation, each named once. At most [`Losses::MAX`] are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses(Vec<Loss>);

/// What to do about losses in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Go on, and say so in a response header and the log.
    #[default]
    Warn,
    /// Go on, and say so in the log alone.
    Drop,
    /// Refuse the call, unless all are hints.
    Reject,
}

impl Losses {
    pub const MAX: usize = 32;

    /// Notes something that matters.
    pub fn lose(&mut self, what: impl Into<Cow<'static, str>>) {
        self.note(what.into(), false);
    }

    /// Notes something that only helps the provider.
    pub fn hint(&mut self, what: impl Into<Cow<'static, str>>) {
        self.note(what.into(), true);
    }

    /// Notes the members that a writer of `dialect` cannot repeat: as hints where they change neither the answer nor its form. An id of a
    /// block, which every dialect makes by itself, is nothing to miss.
    pub fn beside(&mut self, rest: &Rest, dialect: Dialect) {
        for name in rest.foreign_to(dialect).filter(|name| !matches!(*name, "id" | "status" | "phase")) {
            self.note(name.to_owned().into(), is_hint(name, rest.get(name)));
        }
    }

    /// What matters in one place matters, whatever it is in another.
    fn note(&mut self, what: Cow<'static, str>, hint: bool) {
        if let Some(known) = self.0.iter_mut().find(|loss| loss.what == what) {
            known.hint &= hint;
        } else if self.0.len() < Losses::MAX {
            self.0.push(Loss { what, hint });
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Loss> {
        self.0.iter()
    }

    pub fn extend(&mut self, other: Losses) {
        for loss in other.0 {
            self.note(loss.what, loss.hint);
        }
    }

    /// The refusal that [`Policy::Reject`] makes of these; `None` where nothing that matters was lost.
    pub fn refusal(&self, target: &str) -> Option<Failure> {
        let names: Vec<&str> = self.0.iter().filter(|loss| !loss.hint).map(|loss| &*loss.what).collect();
        (!names.is_empty()).then(|| {
            let message = format!(
                "The target `{target}` cannot be told: {}. Leave it out, choose another model, or have the operator set `params: warn`.",
                names.join(", ")
            );
            Failure::invalid("unsupported_parameter", message)
        })
    }
}

/// Whether a member of that name only helps the provider, or labels something for its reports.
fn is_hint(name: &str, value: Option<&Value>) -> bool {
    let off = matches!(value, Some(Value::Bool(false)));
    match name {
        "store" | "background" => off,
        "cache_control"
        | "prompt_cache_key"
        | "prompt_cache_retention"
        | "prompt_cache_options"
        | "prompt_cache_breakpoint"
        | "metadata"
        | "client_metadata"
        | "user"
        | "user_id"
        | "safety_identifier"
        | "service_tier"
        | "stream_options"
        | "include"
        | "defer_loading"
        | "namespace.description"
        | "internal_chat_message_metadata_passthrough"
        | "caller"
        | "context_management"
        | "eager_input_streaming"
        | "display"
        | "output_config.effort"
        | "stop_details" => true,
        _ => false,
    }
}
