//! What a call needs of a model. Each fact is read only where some target lacks it, so that a call pays for no look that decides nothing.

use sluice::{Call, Fault, Target, Targets};

pub(crate) struct Needs {
    /// Capabilities by the gateway's names.
    capabilities: Vec<&'static str>,
    /// The most tokens of the reply that the call asks for.
    pub(crate) reply: Option<f64>,
}

const CAPABILITIES: [&str; 4] = ["tools", "vision", "json-schema", "reasoning"];

impl Needs {
    /// # Errors
    /// A part of the request is not what its place wants.
    pub(crate) fn of(call: &Call, targets: &Targets) -> Result<Needs, Fault> {
        let mut capabilities = Vec::new();
        for capability in CAPABILITIES {
            if targets.iter().any(|target| !target.has(capability)) && is_needed(call, capability)? {
                capabilities.push(capability);
            }
        }
        let mut reply = None;
        for pointer in ["/max_completion_tokens", "/max_tokens"] {
            if reply.is_none() {
                reply = call.get::<Option<f64>>(pointer)?.flatten();
            }
        }
        Ok(Needs { capabilities, reply })
    }

    /// What the target cannot do of it, for the client.
    pub(crate) fn lacking(&self, target: &Target<'_>) -> Option<String> {
        if let Some(capability) = self.capabilities.iter().find(|capability| !target.has(capability)) {
            return Some(format!("no {capability}"));
        }
        let tokens = target.estimated_tokens() + self.reply.unwrap_or(0.0);
        if let Some(window) = target.context_window().filter(|window| tokens > *window) {
            return Some(format!("context {window} is less than about {tokens} tokens"));
        }
        let most = target.max_output().zip(self.reply).filter(|(most, wanted)| wanted > most);
        most.map(|(most, wanted)| format!("replies have at most {most} tokens, not {wanted}"))
    }
}

fn is_needed(call: &Call, capability: &str) -> Result<bool, Fault> {
    let text = |pointer: &str| call.get::<Option<String>>(pointer).map(Option::flatten);
    Ok(match capability {
        "tools" => call.get_json("/tools").is_some_and(|tools| !matches!(tools.as_str(), "[]" | "null")),
        // A quote within a text is escaped in the document, so that a text cannot look like a part.
        "vision" => call.get_json("/messages").is_some_and(|messages| messages.contains("\"image_url\"")),
        "json-schema" => text("/response_format/type")?.as_deref() == Some("json_schema"),
        _ => text("/reasoning_effort")?.is_some_and(|effort| effort != "none" && effort != "minimal"),
    })
}
