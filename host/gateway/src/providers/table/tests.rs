//! The rows are whole, and `docs/providers.md` is made from them.

use std::fmt::Write as _;
use std::path::Path;

use super::*;

#[test]
fn rows_are_in_order_and_whole() {
    assert!(ROWS.is_sorted_by_key(|row| row.name) && ROWS.len() >= 24, "{}", ROWS.len());
    for row in ROWS {
        assert!(!row.dialects.is_empty() && row.base_url.starts_with("http"), "{}", row.name);
        assert!(!row.base_url.ends_with('/') && row.dialects.iter().all(|(_, path)| path.starts_with('/')));
        let own_key = row.is_local() || row.auth == Auth::Google;
        assert!(own_key || !row.key_env.is_empty(), "{} has no customary variable", row.name);
    }
}

fn auth(auth: Auth) -> &'static str {
    match auth {
        Auth::Bearer => "`authorization: Bearer`",
        Auth::XApiKey => "`x-api-key`",
        Auth::XGoogApiKey => "`x-goog-api-key`",
        Auth::ApiKey => "`api-key`, or a token of Microsoft Entra",
        Auth::Google => "a token of Google",
    }
}

fn fact(quirk: Quirk) -> &'static str {
    match quirk {
        Quirk::CompletionTokens => {
            "the limit of tokens is sent as `max_completion_tokens`; reasoning models answer 400 to `max_tokens`"
        }
        Quirk::DeveloperRole => "messages of role `developer` keep it; everywhere else they become `system`",
        Quirk::RequiredIsAny => "`tool_choice: required` is sent as `any`",
        Quirk::RandomSeed => "`seed` is sent as `random_seed`",
        Quirk::OpenaiExtras => "custom tools, allowed tools, `verbosity` and the effort `none` are sent as they are",
        Quirk::NoStreamOptions => "`stream_options` is not sent; usage comes in every stream",
        Quirk::WantsReasoningContent => "`reasoning_content` goes back with the history",
    }
}

fn document() -> String {
    let mut out = String::from(
        "# Providers\n\n\
         Made from the table in `host/gateway/src/providers/table.rs`; a test keeps it current (`SLUICE_BLESS=1 cargo test --release -p sluice\n\
         table` writes it anew).\n\n\
         A provider with a key in its environment variable is on without an entry. A call in a dialect that the provider speaks passes as it\n\
         is; any other is translated to the first one. What the table does not have, `providers.NAME.like` and `.dialect` add from the\n\
         configuration alone: see docs/config.md.\n\n\
         | name | provider | dialects | address | key | variable | beside chat |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in ROWS {
        let list = |items: Vec<String>| if items.is_empty() { "-".to_owned() } else { items.join(", ") };
        let dialects = list(row.dialects.iter().map(|(dialect, _)| dialect.as_str().to_owned()).collect());
        let variables = list(row.key_env.iter().map(|name| format!("`{name}`")).collect());
        let also = list(row.also.iter().map(|also| also.as_str().to_owned()).collect());
        let Row { name, title, base_url, .. } = row;
        let auth = if row.is_local() { "none, or `authorization: Bearer`" } else { auth(row.auth) };
        writeln!(out, "| `{name}` | {title} | {dialects} | `{base_url}` | {auth} | {variables} | {also} |").unwrap();
    }
    out.push_str(
        "\nLists of models, embeddings and counts of tokens are served for all that have them, in the client's own form; the rest passes raw\n\
         below the provider's prefix in the path (`/NAME/...`).\n\n## Quirks\n\nA closed list; each is an observed fact.\n\n",
    );
    let all = [
        Quirk::CompletionTokens,
        Quirk::DeveloperRole,
        Quirk::RequiredIsAny,
        Quirk::RandomSeed,
        Quirk::OpenaiExtras,
        Quirk::NoStreamOptions,
        Quirk::WantsReasoningContent,
    ];
    for quirk in all {
        let who: Vec<String> = ROWS.iter().filter(|row| row.has(quirk)).map(|row| format!("`{}`", row.name)).collect();
        assert!(!who.is_empty(), "{quirk:?} is nobody's");
        writeln!(out, "- {}: {}.", who.join(", "), fact(quirk)).unwrap();
    }
    out
}

#[test]
fn the_list_of_providers_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers.md");
    let current = document();
    if std::env::var_os("SLUICE_BLESS").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == current,
        "docs/providers.md is out of date: run the tests once with SLUICE_BLESS=1 to write it anew"
    );
}
