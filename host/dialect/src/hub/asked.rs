//! What a writer of replies must know of the request: how it was asked, and what its tools were called.

use serde_json::{Map, Value};

use super::{Chat, ToolKind};

/// Kept from the client's request for the replies to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// Made up by the gateway, unique; for replies whose provider gave no id. Letters, digits and `-`.
    pub id: String,
    /// Seconds since 1970, for replies whose provider said no time.
    pub created: u64,
    /// The model as the client named it; named in replies whose provider says none.
    pub model: String,
    /// The provider's name in the configuration; noted on opaque state.
    pub provider: String,
    /// A stream whose client wants usage.
    pub stream_usage: bool,
    /// Gemini: the client wants server-sent events, not a JSON array.
    pub sse: bool,
    /// Tools that need their name, their namespace or their kind restored.
    pub called: Vec<Called>,
    /// Members of the request that a Responses object repeats.
    pub echo: Map<String, Value>,
}

/// A tool that went out under another name or as another kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// As the provider knows it.
    pub sent: String,
    pub name: String,
    pub namespace: Option<String>,
    pub custom: bool,
}

impl Asked {
    /// The tools of the request by the names that [`Asked::flat`] gives them.
    pub fn tools(chat: &Chat) -> Vec<Called> {
        let special = chat.tools.iter().filter_map(|tool| {
            let custom = matches!(tool.kind, ToolKind::Custom { .. });
            (custom || tool.namespace.is_some()).then(|| Called {
                sent: Asked::flat(tool.namespace.as_deref(), &tool.name).into_owned(),
                name: tool.name.clone(),
                namespace: tool.namespace.clone(),
                custom,
            })
        });
        special.collect()
    }

    /// The one name of a tool for dialects without namespaces.
    pub fn flat<'a>(namespace: Option<&str>, name: &'a str) -> std::borrow::Cow<'a, str> {
        match namespace {
            Some(namespace) => format!("{namespace}__{name}").into(),
            None => name.into(),
        }
    }

    /// The arguments that a free text becomes where a tool of kind custom went out as a function.
    pub fn as_arguments(input: &str) -> String {
        let mut out = b"{\"input\":".to_vec();
        crate::json::quote(input, &mut out);
        out.push(b'}');
        String::from_utf8(out).unwrap_or_default()
    }

    /// The free text in such arguments; what is not in that form (truncated, another member) is the text itself.
    pub fn as_input(arguments: &str) -> String {
        match serde_json::from_str(arguments) {
            Ok(Value::Object(mut members)) if members.len() == 1 => match members.remove("input") {
                Some(Value::String(input)) => input,
                _ => arguments.to_owned(),
            },
            _ => arguments.to_owned(),
        }
    }

    /// What the client calls the tool that the provider names.
    pub fn called(&self, sent: &str) -> Option<&Called> {
        self.called.iter().find(|called| called.sent == sent)
    }
}
