//! The built-in providers: what is the same for everybody who uses them.
//!
//! Rows of data only. What a configuration adds or changes is resolved in `config`, how a provider is called lives in its client.

use sluice_dialect::Dialect;

use Dialect::{Anthropic, Gemini, OpenaiChat, OpenaiResponses};

/// One provider that works by its name alone.
#[derive(Debug)]
pub struct Row {
    /// The name in paths, model names and the configuration.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// The dialects it speaks with what follows its address for each, the preferred one first; never empty. `{model}` and `{method}` are
    /// filled in for each call.
    pub dialects: &'static [(Dialect, &'static str)],
    /// The address that operations are appended to, without a trailing slash. `{resource}`, `{location}` and the like come from the
    /// configuration.
    pub base_url: &'static str,
    /// The environment variables its key is customarily in, the first one that is set counts; none for a server of one's own.
    pub key_env: &'static [&'static str],
    /// How its key travels.
    pub auth: Auth,
    /// How it differs from what its dialects say.
    pub quirks: &'static [Quirk],
    /// Operations beside chat that it is known to have in its preferred dialect's form.
    pub also: &'static [Also],
}

/// How requests to a provider carry its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Auth {
    /// `authorization: Bearer KEY`.
    Bearer,
    /// `x-api-key: KEY` (Anthropic).
    XApiKey,
    /// `x-goog-api-key: KEY` (Gemini).
    XGoogApiKey,
    /// `api-key: KEY` (Azure), or a token of Microsoft Entra where the entry has `azure.client_id`.
    ApiKey,
    /// A token that Google gives for a service account or to the machine (Vertex).
    Google,
}

/// The closed list of ways in which providers differ beyond their dialects. Each is an observed fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quirk {
    /// The limit is `max_completion_tokens`: OpenAI's reasoning models answer 400 to `max_tokens` and name the other.
    CompletionTokens,
    /// The role `developer` is known. Others answer 400 or 422 to it, or take it for a user.
    DeveloperRole,
    /// `tool_choice: required` is spelt `any` (Mistral; in all its recordings).
    RequiredIsAny,
    /// The seed is spelt `random_seed` (Mistral; `seed` is answered with 422).
    RandomSeed,
    /// What OpenAI added of late is known: tools of type `custom`, `allowed_tools`, `verbosity`, the effort `none`. Others answer 400 or ignore
    /// them.
    OpenaiExtras,
    /// Usage is in every stream unasked, and `stream_options` is not among the fields that it documents (Mistral).
    NoStreamOptions,
    /// A turn with tool calls in thinking mode is refused without the `reasoning_content` it came with (DeepSeek), or loses its thread
    /// (Moonshot, Z.ai).
    WantsReasoningContent,
}

/// An operation beside chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Also {
    Models,
    Embeddings,
    /// Its own count of a request's tokens.
    CountTokens,
    Moderations,
    Images,
    Audio,
    Files,
    Batches,
    Completions,
    Rerank,
}

impl Also {
    pub fn as_str(self) -> &'static str {
        match self {
            Also::Models => "models",
            Also::Embeddings => "embeddings",
            Also::CountTokens => "count-tokens",
            Also::Moderations => "moderations",
            Also::Images => "images",
            Also::Audio => "audio",
            Also::Files => "files",
            Also::Batches => "batches",
            Also::Completions => "completions",
            Also::Rerank => "rerank",
        }
    }
}

impl Row {
    /// The dialect that calls of another one are translated to.
    pub fn preferred(&self) -> Dialect {
        self.dialects.first().map_or(OpenaiChat, |(dialect, _)| *dialect)
    }

    pub fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    /// Whether it is somebody's own server, which may need no key.
    pub fn is_local(&self) -> bool {
        self.key_env.is_empty() && self.auth == Auth::Bearer
    }
}

/// What follows a provider's address where neither it nor a row says otherwise.
pub fn template(dialect: Dialect) -> &'static str {
    match dialect {
        OpenaiChat => CHAT,
        OpenaiResponses => RESPONSES,
        Anthropic => "/v1/messages",
        Gemini => "/v1beta/models/{model}:{method}",
    }
}

const CHAT: &str = "/chat/completions";
const RESPONSES: &str = "/responses";
const ONLY_CHAT: &[(Dialect, &str)] = &[(OpenaiChat, CHAT)];
const CHAT_AND_RESPONSES: &[(Dialect, &str)] = &[(OpenaiChat, CHAT), (OpenaiResponses, RESPONSES)];

/// A row of the common kind: OpenAI's chat with a Bearer key.
const fn chat(
    name: &'static str,
    title: &'static str,
    base_url: &'static str,
    key_env: &'static [&'static str],
) -> Row {
    Row { name, title, dialects: ONLY_CHAT, base_url, key_env, auth: Auth::Bearer, quirks: &[], also: &[Also::Models] }
}

/// In alphabetical order.
pub static ROWS: &[Row] = &[
    Row {
        dialects: CHAT_AND_RESPONSES,
        also: &[Also::Models, Also::Embeddings],
        ..chat(
            "alibaba",
            "Alibaba Model Studio",
            "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
            &["DASHSCOPE_API_KEY"],
        )
    },
    Row {
        name: "anthropic",
        title: "Anthropic",
        dialects: &[(Anthropic, "/v1/messages")],
        base_url: "https://api.anthropic.com",
        key_env: &["ANTHROPIC_API_KEY"],
        auth: Auth::XApiKey,
        quirks: &[],
        also: &[Also::Models, Also::CountTokens, Also::Files, Also::Batches],
    },
    Row {
        name: "azure",
        title: "Azure OpenAI",
        dialects: &[(OpenaiChat, "/openai/v1/chat/completions"), (OpenaiResponses, "/openai/v1/responses")],
        base_url: "https://{resource}.openai.azure.com",
        key_env: &["AZURE_OPENAI_API_KEY"],
        auth: Auth::ApiKey,
        quirks: &[Quirk::CompletionTokens, Quirk::DeveloperRole, Quirk::OpenaiExtras],
        also: &[Also::Models, Also::Embeddings, Also::Images, Also::Audio, Also::Files, Also::Batches],
    },
    chat("cerebras", "Cerebras", "https://api.cerebras.ai/v1", &["CEREBRAS_API_KEY"]),
    Row {
        dialects: &[(OpenaiChat, CHAT), (OpenaiResponses, RESPONSES), (Anthropic, "/anthropic/v1/messages")],
        quirks: &[Quirk::WantsReasoningContent],
        ..chat("deepseek", "DeepSeek", "https://api.deepseek.com", &["DEEPSEEK_API_KEY"])
    },
    Row {
        dialects: CHAT_AND_RESPONSES,
        also: &[Also::Models, Also::Embeddings, Also::Completions, Also::Rerank],
        ..chat("fireworks", "Fireworks AI", "https://api.fireworks.ai/inference/v1", &["FIREWORKS_API_KEY"])
    },
    Row {
        name: "gemini",
        title: "Google Gemini",
        dialects: &[(Gemini, "/v1beta/models/{model}:{method}")],
        base_url: "https://generativelanguage.googleapis.com",
        key_env: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        auth: Auth::XGoogApiKey,
        quirks: &[],
        also: &[Also::Models, Also::CountTokens, Also::Embeddings, Also::Files, Also::Batches],
    },
    Row {
        also: &[Also::Embeddings],
        ..chat("github", "GitHub Models", "https://models.github.ai/inference", &["GITHUB_API_KEY"])
    },
    Row {
        dialects: CHAT_AND_RESPONSES,
        also: &[Also::Models, Also::Audio, Also::Files, Also::Batches],
        ..chat("groq", "Groq", "https://api.groq.com/openai/v1", &["GROQ_API_KEY"])
    },
    Row {
        dialects: CHAT_AND_RESPONSES,
        ..chat("huggingface", "Hugging Face", "https://router.huggingface.co/v1", &["HF_TOKEN"])
    },
    chat("hyperbolic", "Hyperbolic", "https://api.hyperbolic.xyz/v1", &["HYPERBOLIC_API_KEY"]),
    Row {
        dialects: &[(OpenaiChat, CHAT), (OpenaiResponses, RESPONSES), (Anthropic, "/v1/messages")],
        also: &[Also::Models, Also::Embeddings, Also::Completions, Also::Rerank],
        ..chat("llamacpp", "llama.cpp", "http://127.0.0.1:8080/v1", &[])
    },
    Row {
        dialects: CHAT_AND_RESPONSES,
        also: &[Also::Models, Also::Embeddings, Also::Completions],
        ..chat("lmstudio", "LM Studio", "http://127.0.0.1:1234/v1", &[])
    },
    Row {
        quirks: &[Quirk::RequiredIsAny, Quirk::RandomSeed, Quirk::NoStreamOptions],
        also: &[Also::Models, Also::Embeddings, Also::Moderations, Also::Audio, Also::Files, Also::Batches],
        ..chat("mistral", "Mistral", "https://api.mistral.ai/v1", &["MISTRAL_API_KEY"])
    },
    Row {
        dialects: &[(OpenaiChat, CHAT), (Anthropic, "/anthropic/v1/messages")],
        quirks: &[Quirk::WantsReasoningContent],
        also: &[Also::Models, Also::Files],
        ..chat("moonshot", "Moonshot AI", "https://api.moonshot.ai/v1", &["MOONSHOT_API_KEY"])
    },
    Row {
        also: &[Also::Models, Also::Embeddings, Also::Images],
        ..chat("nebius", "Nebius", "https://api.studio.nebius.ai/v1", &["NEBIUS_API_KEY"])
    },
    Row {
        also: &[Also::Models, Also::Embeddings],
        ..chat("novita", "Novita AI", "https://api.novita.ai/v3/openai", &["NOVITA_API_KEY"])
    },
    Row {
        also: &[Also::Models, Also::Embeddings],
        ..chat("nvidia", "NVIDIA NIM", "https://integrate.api.nvidia.com/v1", &["NVIDIA_API_KEY"])
    },
    Row {
        dialects: CHAT_AND_RESPONSES,
        also: &[Also::Models, Also::Embeddings, Also::Completions],
        ..chat("ollama", "Ollama", "http://127.0.0.1:11434/v1", &[])
    },
    Row {
        dialects: CHAT_AND_RESPONSES,
        quirks: &[Quirk::CompletionTokens, Quirk::DeveloperRole, Quirk::OpenaiExtras],
        also: &[
            Also::Models,
            Also::CountTokens,
            Also::Embeddings,
            Also::Moderations,
            Also::Images,
            Also::Audio,
            Also::Files,
            Also::Batches,
            Also::Completions,
        ],
        ..chat("openai", "OpenAI", "https://api.openai.com/v1", &["OPENAI_API_KEY"])
    },
    Row {
        dialects: &[(OpenaiChat, CHAT), (OpenaiResponses, RESPONSES), (Anthropic, "/messages")],
        quirks: &[Quirk::DeveloperRole],
        also: &[Also::Models, Also::Embeddings, Also::Audio, Also::Rerank],
        ..chat("openrouter", "OpenRouter", "https://openrouter.ai/api/v1", &["OPENROUTER_API_KEY"])
    },
    Row {
        also: &[],
        ..chat("perplexity", "Perplexity", "https://api.perplexity.ai", &["PERPLEXITY_API_KEY", "PERPLEXITYAI_API_KEY"])
    },
    Row {
        also: &[Also::Models, Also::Embeddings],
        ..chat("sambanova", "SambaNova", "https://api.sambanova.ai/v1", &["SAMBANOVA_API_KEY"])
    },
    Row {
        dialects: CHAT_AND_RESPONSES,
        also: &[Also::Models, Also::Embeddings, Also::Completions],
        ..chat("sglang", "SGLang", "http://127.0.0.1:30000/v1", &[])
    },
    Row {
        also: &[Also::Models, Also::Embeddings, Also::Images, Also::Audio, Also::Completions, Also::Rerank],
        ..chat("together", "Together AI", "https://api.together.xyz/v1", &["TOGETHER_API_KEY", "TOGETHERAI_API_KEY"])
    },
    Row {
        also: &[Also::Models, Also::Embeddings, Also::Images, Also::Audio],
        ..chat("venice", "Venice AI", "https://api.venice.ai/api/v1", &["VENICE_API_KEY"])
    },
    Row {
        name: "vertex",
        title: "Google Vertex AI",
        dialects: &[(Gemini, VERTEX_GEMINI), (Anthropic, VERTEX_ANTHROPIC)],
        base_url: "https://{host}",
        key_env: &[],
        auth: Auth::Google,
        quirks: &[],
        also: &[Also::CountTokens, Also::Embeddings],
    },
    Row {
        dialects: &[(OpenaiChat, CHAT), (OpenaiResponses, RESPONSES), (Anthropic, "/v1/messages")],
        also: &[Also::Models, Also::Embeddings, Also::Completions, Also::Rerank],
        ..chat("vllm", "vLLM", "http://127.0.0.1:8000/v1", &[])
    },
    Row {
        dialects: &[(OpenaiChat, CHAT), (OpenaiResponses, RESPONSES), (Anthropic, "/messages")],
        quirks: &[Quirk::CompletionTokens],
        also: &[Also::Models, Also::Images, Also::Files, Also::Batches],
        ..chat("xai", "xAI", "https://api.x.ai/v1", &["XAI_API_KEY"])
    },
    Row {
        quirks: &[Quirk::WantsReasoningContent],
        also: &[],
        ..chat("zai", "Z.ai", "https://api.z.ai/api/paas/v4", &["ZAI_API_KEY"])
    },
];

const VERTEX_GEMINI: &str = "/v1/projects/{project}/locations/{location}/publishers/google/models/{model}:{method}";
const VERTEX_ANTHROPIC: &str =
    "/v1/projects/{project}/locations/{location}/publishers/anthropic/models/{model}:{method}";

/// The row of that exact name.
pub fn row(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
