//! The built-in providers: what is the same for everybody who uses them.
//!
//! Rows of data only. What a configuration adds or changes is resolved in `config`, how a provider is called lives in its client.

use crate::config::Dialect;

/// One provider that works by its name alone.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The name in paths, model names and the configuration.
    pub name: &'static str,
    /// The dialects it speaks, the preferred one first; never empty.
    pub dialects: &'static [Dialect],
    /// The address that operations are appended to, without a trailing slash.
    pub base_url: &'static str,
    /// The environment variable its key is customarily in.
    pub key_env: &'static str,
}

/// In alphabetical order.
pub static ROWS: &[Row] = &[Row {
    name: "openai",
    dialects: &[Dialect::OpenaiChat],
    base_url: "https://api.openai.com/v1",
    key_env: "OPENAI_API_KEY",
}];

/// The row of that exact name.
pub fn row(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}
