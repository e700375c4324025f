//! `sluice connect`: the lines that point a client at this gateway.
//!
//! It knows what each client reads and which dialect it speaks. The lines are all that the client needs; it changes no file.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::config::{self, Clients, Config, Overrides};

/// Named where an example needs one.
const MODEL: &str = "openai/gpt-4o-mini";
/// Exit code for an argument that cannot be used.
const UNUSABLE: u8 = 2;

#[derive(Args, Debug)]
pub struct Connect {
    /// The client.
    #[arg(value_enum)]
    client: Client,
    /// The gateway's address as the client reaches it. Without it: the first address that the configuration listens on.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The virtual key to print; `env:NAME` prints a reference to that variable instead of a key. Without it: a placeholder.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The model that the client is to use, as PROVIDER/MODEL. Without it: the client's own choice, and openai/gpt-4o-mini in examples.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// The configuration to take the address from; without it ./sluice.yaml if there is one.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Client {
    /// OpenAI's Codex.
    Codex,
    /// Anthropic's Claude Code.
    ClaudeCode,
    /// Google's Gemini CLI.
    GeminiCli,
    /// OpenAI's libraries, and every program that reads their variables.
    Openai,
    /// LangChain and LangGraph, in Python.
    Langchain,
}

/// How the client gets its key.
enum Key {
    /// To be printed as it is.
    Text(String),
    /// A variable of the client's environment.
    Variable(String),
}

impl Key {
    /// For a POSIX shell.
    fn shell(&self) -> String {
        match self {
            Key::Text(text) => quoted(text),
            Key::Variable(name) => format!("\"${name}\""),
        }
    }
}

/// What the lines are made of.
struct Target {
    /// The gateway's address without a path and a final slash.
    url: String,
    key: Key,
    /// Whether the gateway has the provider whose prefix keeps OpenAI's model names. Where its configuration is not at hand: taken for granted.
    has_openai: bool,
}

pub fn run(connect: &Connect) -> ExitCode {
    let model = connect.model.as_deref();
    let lines = target(connect).map(|target| match connect.client {
        Client::Codex => codex(&target, model),
        Client::ClaudeCode => claude_code(&target, model),
        Client::GeminiCli => gemini_cli(&target, model),
        Client::Langchain => langchain(&target, model.unwrap_or(MODEL)),
        Client::Openai => openai(&target),
    });
    match lines {
        Ok(lines) => super::print(&lines),
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(UNUSABLE)
        }
    }
}

/// A profile, which leaves the user's own configuration of Codex as it is. Without a model Codex keeps its own choice, where anybody serves it.
fn codex(target: &Target, model: Option<&str>) -> String {
    let model = match model {
        None if target.has_openai => String::new(),
        model => format!("model = {}\n", literal(model.unwrap_or(MODEL))),
    };
    let key = match &target.key {
        Key::Variable(name) => format!("env_key = {}", literal(name)),
        Key::Text(text) => format!("experimental_bearer_token = {}", literal(text)),
    };
    format!(
        "# A profile of Codex: sluice connect codex > ~/.codex/sluice.config.toml; then: codex --profile sluice\n\
         {model}model_provider = \"sluice\"\n\n\
         [model_providers.sluice]\n\
         name = \"Sluice\"\n\
         base_url = {}\n\
         {key}\n\
         wire_api = \"responses\"\n",
        literal(&format!("{}/openai/v1", target.url)),
    )
}

fn claude_code(target: &Target, model: Option<&str>) -> String {
    let models = match model {
        // Its small requests (titles, summaries) go to a model of their own, which only Anthropic has.
        Some(model) => {
            let names = ["ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL", "ANTHROPIC_SMALL_FAST_MODEL"];
            names.map(|name| format!("export {name}={}\n", quoted(model))).concat()
        }
        None => "# Models keep their names where Anthropic is configured; --model PROVIDER/MODEL takes another provider's.\n".to_owned(),
    };
    format!(
        "# Claude Code reads these. For this shell: eval \"$(sluice connect claude-code)\"\n\
         export ANTHROPIC_BASE_URL={}\n\
         export ANTHROPIC_AUTH_TOKEN={}\n{models}",
        quoted(&format!("{}/anthropic", target.url)),
        target.key.shell(),
    )
}

fn gemini_cli(target: &Target, model: Option<&str>) -> String {
    let model = match model {
        Some(model) => format!("export GEMINI_MODEL={}\n", quoted(model)),
        None => {
            "# Models keep their names where Gemini is configured; --model PROVIDER/MODEL takes another provider's.\n"
                .to_owned()
        }
    };
    format!(
        "# Gemini CLI reads these. For this shell: eval \"$(sluice connect gemini-cli)\"\n\
         export GOOGLE_GEMINI_BASE_URL={}\n\
         export GEMINI_API_KEY={}\n{model}\
         # Once, in ~/.gemini/settings.json: with an address of one's own it uses a key only where it is told to, at least as `gemini -p`.\n\
         # {{\"security\": {{\"auth\": {{\"selectedType\": \"gemini-api-key\"}}}}}}\n",
        quoted(&format!("{}/genai", target.url)),
        target.key.shell(),
    )
}

fn openai(target: &Target) -> String {
    let Target { url, key, has_openai } = target;
    let key = key.shell();
    let (base, about) = if *has_openai {
        let all = format!("at {url}/v1 every provider answers, as PROVIDER/MODEL");
        (format!("{url}/openai/v1"), format!("Models keep their names, because /openai leads to OpenAI alone; {all}."))
    } else {
        (
            format!("{url}/v1"),
            "Models are called PROVIDER/MODEL, or by an alias; `curl $OPENAI_BASE_URL/models` lists them.".to_owned(),
        )
    };
    format!(
        "# OpenAI's libraries and what is built on them read these. For this shell: eval \"$(sluice connect openai)\"\n\
         export OPENAI_BASE_URL={}\n\
         export OPENAI_API_KEY={key}\n\
         # {about}\n",
        quoted(&base),
    )
}

fn langchain(target: &Target, model: &str) -> String {
    let Target { url, key, .. } = target;
    let (import, key) = match key {
        Key::Text(text) => ("", literal(text)),
        Key::Variable(name) => ("import os\n\n", format!("os.environ[{}]", literal(name))),
    };
    format!(
        "{import}from langchain_openai import ChatOpenAI\n\n\
         model = ChatOpenAI(\n    model={},\n    base_url={},\n    api_key={key},\n)\n",
        literal(model),
        literal(&format!("{url}/v1")),
    )
}

fn target(connect: &Connect) -> Result<Target, String> {
    let configured = config::load(connect.config.as_deref(), &|name| std::env::var(name).ok(), &Overrides::default());
    if let (Err(errors), true) = (&configured, connect.config.is_some() && connect.url.is_none()) {
        return Err(errors.to_string());
    }
    let configured = configured.ok();
    let url = match &connect.url {
        Some(url) => given(url)?,
        None => configured.as_ref().map_or_else(|| "http://localhost:8080".to_owned(), listening),
    };
    let key = match connect.key.as_deref() {
        Some(key) => match key.strip_prefix("env:") {
            Some(name) if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
                Key::Variable(name.to_owned())
            }
            Some(_) => return Err(format!("`--key {key}` names no variable: write it as env:NAME")),
            None if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) => {
                return Err("`--key` has no key that a header can carry".to_owned());
            }
            None => Key::Text(key.to_owned()),
        },
        None => Key::Text(placeholder(configured.as_ref())),
    };
    let named = |config: &Config| config.demo || config.providers.iter().any(|provider| provider.name == "openai");
    Ok(Target { url, key, has_openai: configured.as_ref().is_none_or(named) })
}

/// What stands where a key belongs: any text does where nobody asks for one.
fn placeholder(config: Option<&Config>) -> String {
    let asked = config.is_some_and(|config| config.server.clients == Clients::Keys);
    if asked { "YOUR-SLUICE-KEY" } else { "dummy-key" }.to_owned()
}

fn given(url: &str) -> Result<String, String> {
    let bad = || format!("`--url {url}` is no address: write it as http://HOST:PORT, without a path of the API");
    let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
    let rest = rest.trim_end_matches('/');
    let plain = !rest.is_empty()
        && rest.bytes().all(|byte| byte.is_ascii_graphic())
        && !rest.contains(['?', '#', '@', '"', '\'', '\\']);
    if !["http", "https"].contains(&scheme) || !plain {
        return Err(bad());
    }
    // What people have at hand is often the base URL of a client.
    let rest = rest.trim_end_matches("/v1");
    let rest = ["/openai", "/anthropic", "/genai"].iter().fold(rest, |rest, prefix| rest.trim_end_matches(prefix));
    Ok(format!("{scheme}://{rest}"))
}

/// The first configured address, as a client on this machine writes it.
fn listening(config: &Config) -> String {
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    match config.server.listen.first() {
        Some(address) if address.ip().is_loopback() || address.ip().is_unspecified() => {
            format!("{scheme}://localhost:{}", address.port())
        }
        Some(address) => format!("{scheme}://{address}"),
        None => "http://localhost:8080".to_owned(),
    }
}

/// For a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:[]".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// For Python, whose plain strings read JSON's.
fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
