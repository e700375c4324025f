//! Making a provider's words fit to show: no secrets, no addresses or paths of the inside, no web pages, no stack traces, no control
//! characters. Words that only begin like a key ("sk-learn", "task-force") stay. It works on plain text and knows no JSON.

use std::net::IpAddr;

const SECRET: &str = "[redacted]";
const ADDRESS: &str = "[address]";
const PATH: &str = "[path]";

/// A message for the client, at most `max` characters; `None` where nothing readable is left.
pub(crate) fn message(text: &str, max: usize) -> Option<String> {
    // Cleaning looks at more than it keeps, so that a cut never leaves half a key that no longer looks like one.
    let text = before_trace(head(text, max * 4));
    if is_markup(text) {
        return None;
    }
    let text = one_line(text);
    let text = hide_places(&hide_secrets(&text));
    let text = shortened(text.trim(), max);
    (!text.is_empty()).then_some(text)
}

/// A `type`, `code` or `param`: like a message, but never a sentence's length.
pub(crate) fn word(text: &str, max: usize) -> Option<String> {
    message(text, max).filter(|word| !word.contains(['<', '>']))
}

/// Whether a text may be shown as it is.
pub(crate) fn is_clean(text: &str) -> bool {
    !is_markup(text) && before_trace(text).len() == text.len() && hide_places(&hide_secrets(text)) == text
}

/// A line for the operator's log: addresses may stay, secrets may not.
pub(crate) fn log_line(text: &str, max: usize) -> String {
    shortened(&hide_secrets(&one_line(text)), max)
}

fn head(text: &str, chars: usize) -> &str {
    let end = text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default()
}

fn shortened(text: &str, max: usize) -> String {
    let kept = head(text, max);
    if kept.len() == text.len() {
        return text.to_owned();
    }
    format!("{}…", head(text, max.saturating_sub(1)))
}

fn before_trace(text: &str) -> &str {
    const MARKS: [&str; 10] = [
        "Traceback (most recent call",
        "\n    at ",
        "\n\tat ",
        "\n   at ",
        "\n  File \"",
        "\ngoroutine ",
        "stack backtrace:",
        "Stack trace:",
        "stacktrace:",
        "' panicked at ",
    ];
    let end = MARKS.iter().filter_map(|mark| text.find(mark)).min().unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

fn is_markup(text: &str) -> bool {
    const TAGS: [&str; 9] = ["<html", "<!doctype", "<head", "<body", "<script", "<title", "<div", "<center>", "<h1"];
    let lower = text.to_ascii_lowercase();
    TAGS.iter().any(|tag| lower.contains(tag))
}

/// Control characters, and the marks that reorder or hide text, become single spaces.
fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let hidden = matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if !character.is_control() && !hidden {
            out.push(character);
        } else if !out.ends_with(' ') {
            out.push(' ');
        }
    }
    out
}

// ---- secrets

fn in_key(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '*' | '.' | '…' | '•')
}

fn hide_secrets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(in_key) {
        let (between, tail) = rest.split_at(start);
        out.push_str(between);
        let end = tail.find(|character| !in_key(character)).unwrap_or(tail.len());
        let (run, behind) = tail.split_at(end);
        let core = run.trim_end_matches('.');
        if !core.is_empty() && (is_secret(core) || is_presented(core, &out)) {
            out.push_str(SECRET);
            out.push_str(run.get(core.len()..).unwrap_or_default());
        } else {
            out.push_str(run);
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// Whether the words before introduce a credential and this looks like one.
fn is_presented(run: &str, before: &str) -> bool {
    let trimmed = before.trim_end_matches([' ', ':', '=', '"', '\'', '`', '<', '\\']);
    let gap = before.get(trimmed.len()..).unwrap_or_default();
    let said = gap.contains([':', '=', '"', '\'', '`']);
    let from = trimmed.char_indices().rev().nth(19).map_or(0, |(at, _)| at);
    let lead = trimmed.get(from..).unwrap_or_default().to_ascii_lowercase();
    // What the provider masked itself, of no known kind of key, tells nothing and helps to find which key it was.
    if run.contains("**") || run.contains("••") {
        return false;
    }
    if lead.ends_with("key provided") && gap.contains(':') {
        return true;
    }
    let bearer = lead.ends_with("bearer") || lead.ends_with("basic");
    let named = ["key", "token", "secret", "password", "authorization"].iter().any(|name| lead.ends_with(name));
    ((named && said) || bearer) && is_mixed(run, 8)
}

/// Letters and digits together, or both cases beyond a capital at the start, in at least `least` characters.
fn is_mixed(run: &str, least: usize) -> bool {
    let digit = run.bytes().any(|byte| byte.is_ascii_digit());
    let letter = run.bytes().any(|byte| byte.is_ascii_alphabetic());
    let inner_upper = run.bytes().skip(1).any(|byte| byte.is_ascii_uppercase());
    let lower = run.bytes().any(|byte| byte.is_ascii_lowercase());
    run.len() >= least && letter && (digit || (inner_upper && lower))
}

fn is_secret(run: &str) -> bool {
    let segments = |text: &str, test: &dyn Fn(&str) -> bool| text.split(['-', '_', '.']).any(test);
    let masked = |rest: &str| rest.contains("**") || rest.contains("...") || rest.contains(['…', '•']);
    if let Some(rest) = run.strip_prefix("sk-").or_else(|| run.strip_prefix("pk-")).or_else(|| run.strip_prefix("rk-"))
    {
        return masked(rest) || is_dashed_key(rest);
    }
    const LONG: [&str; 15] = [
        "gsk_",
        "xai-",
        "hf_",
        "pplx-",
        "nvapi-",
        "r8_",
        "csk-",
        "fw_",
        "ghp_",
        "gho_",
        "glpat-",
        "xoxb-",
        "xoxp-",
        "github_pat_",
        "tgp_v1_",
    ];
    if let Some(rest) = LONG.iter().find_map(|prefix| run.strip_prefix(prefix)) {
        return masked(rest) || segments(rest, &|segment| is_mixed(segment, 8) || segment.len() >= 20);
    }
    if let Some(rest) = run.strip_prefix("AIza").or_else(|| run.strip_prefix("ya29.")) {
        return rest.len() >= 8 || masked(rest);
    }
    if let Some(rest) = run.strip_prefix("AKIA").or_else(|| run.strip_prefix("ASIA")) {
        return rest.len() >= 12 && rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    }
    // The three parts of a signed web token.
    if run.starts_with("eyJ") && run.len() >= 20 && run.contains('.') {
        return true;
    }
    segments(run, &|segment| {
        let upper = segment.bytes().any(|byte| byte.is_ascii_uppercase());
        let lower = segment.bytes().any(|byte| byte.is_ascii_lowercase());
        let digit = segment.bytes().any(|byte| byte.is_ascii_digit());
        segment.len() >= 32 && upper && lower && digit
    })
}

/// What follows `sk-`: a key, or the rest of a dashed word.
fn is_dashed_key(rest: &str) -> bool {
    const FAMILIES: [&str; 12] =
        ["proj", "ant", "or", "svcacct", "admin", "live", "test", "service", "user", "None", "lf", "api"];
    let first = rest.split(['-', '_']).next().unwrap_or_default();
    let strong = |segment: &str| is_mixed(segment, 16) || segment.len() >= 24;
    if rest.split(['-', '_', '.']).any(strong) {
        return true;
    }
    if FAMILIES.contains(&first) && first.len() < rest.len() {
        let behind = rest.get(first.len() + 1..).unwrap_or_default();
        return is_mixed(behind, 4) || behind.len() >= 20;
    }
    let plain_word = first.bytes().all(|byte| byte.is_ascii_lowercase()) && first.len() < 16;
    !plain_word && first.len() >= 6
}

// ---- addresses and paths

fn ends_place(character: char) -> bool {
    character.is_whitespace()
        || matches!(character, '"' | '\'' | '`' | '<' | '>' | '(' | ')' | '{' | '}' | '|' | ',' | ';')
}

fn hide_places(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|character| !ends_place(character)) {
        let (between, tail) = rest.split_at(start);
        out.push_str(between);
        let mut end = tail.find(ends_place).unwrap_or(tail.len());
        let run = tail.get(..end).unwrap_or_default();
        // `name=value`: the value alone, unless the sign belongs to an address's query.
        if let Some(sign) = run.find('=').filter(|sign| !run.get(..*sign).is_some_and(|head| head.contains("://"))) {
            end = sign + 1;
        }
        let (run, behind) = tail.split_at(end);
        let core = run.trim_end_matches(['.', ':', '!', '?', '=']);
        match place(core) {
            Some(mark) => {
                out.push_str(mark);
                out.push_str(run.get(core.len()..).unwrap_or_default());
            }
            None => out.push_str(run),
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

fn place(word: &str) -> Option<&'static str> {
    if let Some((scheme, rest)) = word.split_once("://") {
        if scheme.ends_with("file") {
            return Some(PATH);
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        return (authority.contains('@') || is_inside(authority) || !authority.contains('.')).then_some(ADDRESS);
    }
    if is_path(word) {
        return Some(PATH);
    }
    let authority = word.split('/').next().unwrap_or_default();
    is_inside(authority).then_some(ADDRESS)
}

/// An IP address, or a name that only an inner network resolves; with or without a port.
fn is_inside(authority: &str) -> bool {
    const SUFFIXES: [&str; 9] =
        [".local", ".internal", ".lan", ".corp", ".intranet", ".svc", ".localdomain", ".home.arpa", ".consul"];
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let bare = |text: &str| {
        let text = text.trim_start_matches('[').trim_end_matches(']');
        text.len() > 4 && text.parse::<IpAddr>().is_ok()
    };
    let lower = host.to_ascii_lowercase();
    bare(authority) || bare(host) || lower == "localhost" || SUFFIXES.iter().any(|suffix| lower.ends_with(suffix))
}

/// A file of the provider's machine. `/v1/chat/completions` and `meta-llama/x` are not.
fn is_path(word: &str) -> bool {
    const ROOTS: [&str; 22] = [
        "home",
        "usr",
        "var",
        "opt",
        "app",
        "root",
        "tmp",
        "etc",
        "mnt",
        "srv",
        "workspace",
        "data",
        "Users",
        "private",
        "lib",
        "src",
        "proc",
        "run",
        "build",
        "code",
        "dev",
        "sys",
    ];
    const SOURCES: [&str; 12] = [".py", ".rs", ".go", ".js", ".ts", ".java", ".cpp", ".cc", ".c", ".rb", ".so", ".php"];
    let mut parts = word.split('/');
    if parts.next() == Some("") && parts.next().is_some_and(|root| ROOTS.contains(&root)) && parts.next().is_some() {
        return true;
    }
    let bytes = word.as_bytes();
    if bytes.first().is_some_and(u8::is_ascii_alphabetic) && word.get(1..3) == Some(":\\") {
        return true;
    }
    let file = word.split(':').next().unwrap_or_default();
    file.contains('/') && SOURCES.iter().any(|extension| file.ends_with(extension))
}
