//! Every class of failure, as providers really told it, in every phase, under what a policy leaves: the table of `docs/retries.md`, which is
//! written with `SLUICE_BLESS` and checked without.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sluice_dialect::Dialect;
use sluice_dialect::hub::Delta;
use sluice_dialect::sse::Framer;

use super::*;

/// Error replies of kinds that no recording has, as the providers' documentation shows them.
const DOCUMENTED: [(Dialect, u16, &str); 21] = [
    (Dialect::OpenaiChat, 402, r#"{"error":{"message":"Insufficient credits.","code":402}}"#),
    (Dialect::OpenaiChat, 408, r#"{"error":{"message":"Request timed out.","code":408}}"#),
    (
        Dialect::OpenaiChat,
        413,
        r#"{"error":{"message":"Request body too large.","type":"invalid_request_error","param":null,"code":null}}"#,
    ),
    (
        Dialect::OpenaiChat,
        500,
        r#"{"error":{"message":"The server had an error.","type":"server_error","param":null,"code":null}}"#,
    ),
    (Dialect::OpenaiChat, 502, "<html><body>502 Bad Gateway</body></html>"),
    (
        Dialect::OpenaiChat,
        503,
        r#"{"error":{"message":"That model is overloaded.","type":"server_error","param":null,"code":null}}"#,
    ),
    (Dialect::OpenaiChat, 504, ""),
    (
        Dialect::OpenaiResponses,
        500,
        r#"{"error":{"message":"The server had an error.","type":"server_error","param":null,"code":"server_error"}}"#,
    ),
    (
        Dialect::OpenaiResponses,
        503,
        r#"{"error":{"message":"Slow down.","type":"service_unavailable_error","param":null,"code":null}}"#,
    ),
    (
        Dialect::Anthropic,
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#,
    ),
    (
        Dialect::Anthropic,
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the API."}}"#,
    ),
    (
        Dialect::Anthropic,
        403,
        r#"{"type":"error","error":{"type":"permission_error","message":"Your key may not use this."}}"#,
    ),
    (
        Dialect::Anthropic,
        413,
        r#"{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size."}}"#,
    ),
    (
        Dialect::Anthropic,
        429,
        r#"{"type":"error","error":{"type":"rate_limit_error","message":"Number of tokens has exceeded your rate limit."}}"#,
    ),
    (Dialect::Anthropic, 500, r#"{"type":"error","error":{"type":"api_error","message":"Internal server error"}}"#),
    (Dialect::Anthropic, 504, r#"{"type":"error","error":{"type":"timeout_error","message":"Request timed out."}}"#),
    (Dialect::Anthropic, 529, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#),
    (
        Dialect::Gemini,
        403,
        r#"{"error":{"code":403,"message":"The caller does not have permission.","status":"PERMISSION_DENIED"}}"#,
    ),
    (Dialect::Gemini, 500, r#"{"error":{"code":500,"message":"An internal error has occurred.","status":"INTERNAL"}}"#),
    (Dialect::Gemini, 503, r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#),
    (Dialect::Gemini, 504, r#"{"error":{"code":504,"message":"The deadline expired.","status":"DEADLINE_EXCEEDED"}}"#),
];

const CLASSES: [(Class, &str); 13] = [
    (Class::Invalid, "the request is wrong"),
    (Class::NotFound, "no such model or path"),
    (Class::TooLarge, "the body is too large"),
    (Class::ContentFilter, "a filter of the provider refuses the content"),
    (Class::ContextLength, "the prompt does not fit into the model"),
    (Class::Unsupported, "the model cannot do this"),
    (Class::Auth, "the key is wrong"),
    (Class::Permission, "the key may not do this"),
    (Class::Quota, "the account is out of money or quota"),
    (Class::RateLimit, "too fast"),
    (Class::Overloaded, "the provider has no room"),
    (Class::Timeout, "a deadline passed"),
    (Class::Server, "the provider failed"),
];

/// What is left to a call, by the columns of the table.
fn situations() -> [(&'static str, SoFar, Delay); 9] {
    let all = super::tests::ALL;
    let other = SoFar { other_key: false, abler_target: false, ..all };
    let alone = SoFar { other_target: false, ..other };
    let soon = Delay::After(Duration::from_secs(2));
    [
        ("another key and target", all, Delay::Unsaid),
        ("another target", other, Delay::Unsaid),
        ("another target, which is known to be able", SoFar { abler_target: true, ..other }, Delay::Unsaid),
        ("another target, and what is not repeated", SoFar { repeatable: false, ..other }, Delay::Unsaid),
        ("alone", alone, Delay::Unsaid),
        ("alone, `retry-after: 2`", alone, soon),
        ("alone, `retry-after: 40` of 30 s left, a date or junk", alone, Delay::After(Duration::from_secs(40))),
        ("alone, the share of repeats used up", SoFar { budget: false, ..alone }, Delay::Unsaid),
        ("attempts or deadline used up", SoFar { attempts: 3, ..all }, Delay::Unsaid),
    ]
}

fn word(action: Action) -> String {
    match action {
        Action::Same { wait } => format!("again in {} ms", wait.as_millis()),
        Action::OtherKey => "other key".to_owned(),
        Action::Next => "next".to_owned(),
        Action::GiveUp => "ends".to_owned(),
    }
}

fn act(failed: &Failed, so_far: &SoFar, delay: Delay) -> String {
    word(decide(&Failed { delay, ..*failed }, so_far, &Policy::default(), 1.0).0)
}

/// A failure that a provider told.
struct Told {
    dialect: Dialect,
    provider: String,
    status: u16,
    failure: Failure,
    phase: Phase,
}

fn wire(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wire").join(folder);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = files.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    files
}

/// All recorded failures: error replies, and those told within a 200.
fn recorded() -> Vec<Told> {
    let folders = [
        ("", Dialect::OpenaiChat),
        ("replies", Dialect::OpenaiChat),
        ("responses", Dialect::OpenaiResponses),
        ("anthropic", Dialect::Anthropic),
        ("gemini", Dialect::Gemini),
    ];
    let mut out = Vec::new();
    for (folder, dialect) in folders {
        for file in wire(folder) {
            let text = std::fs::read_to_string(&file).unwrap();
            out.extend(text.lines().filter_map(|line| told(dialect, &serde_json::from_str(line).unwrap())));
        }
    }
    out
}

fn told(dialect: Dialect, row: &Value) -> Option<Told> {
    let response = &row["response"];
    let (status, body) = (response["status"].as_u64()?, response["body"].as_str()?);
    let status = u16::try_from(status).ok()?;
    let kind = response["headers"]["content-type"].as_str();
    let (failure, phase) = if status >= 400 {
        (dialect.api().read_error(status, kind, body.as_bytes()), Phase::Head)
    } else if !body.contains("\"error\"") {
        return None;
    } else if kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
        in_stream(dialect, body)?
    } else {
        (dialect.api().check_reply(body.as_bytes()).err()?, Phase::BeforeContent)
    };
    Some(Told { dialect, provider: row["provider"].as_str()?.to_owned(), status, failure, phase })
}

fn in_stream(dialect: Dialect, body: &str) -> Option<(Failure, Phase)> {
    let mut framer = Framer::new(1 << 24);
    framer.push(bytes::Bytes::copy_from_slice(body.as_bytes()));
    let (mut decoder, mut deltas, mut phase) = (dialect.api().decoder(), Vec::new(), Phase::BeforeContent);
    while let Ok(Some(frame)) = framer.next() {
        let Some(data) = frame.data().filter(|data| data.trim_ascii() != b"[DONE]") else { continue };
        decoder.event(frame.event(), &data, &mut deltas);
        for delta in deltas.drain(..) {
            match delta {
                Delta::Failed(failure) => return Some((*failure, phase)),
                Delta::Text { .. } => phase = Phase::AfterContent,
                _ => {}
            }
        }
    }
    None
}

/// Classes by phase and situation; phases that come to the same share a row.
fn by_class(out: &mut String) {
    let situations = situations();
    let _ = write!(out, "| class | phase |");
    for (name, ..) in &situations {
        let _ = write!(out, " {name} |");
    }
    let _ = writeln!(out, "\n|---|---|{}", "---|".repeat(situations.len()));
    for (class, meaning) in CLASSES {
        let mut rows: Vec<(Vec<String>, Vec<&str>)> = Vec::new();
        for phase in Phase::ALL {
            let failed = Failed { class, blame: Blame::Provider, retry: Retry::No, phase, delay: Delay::Unsaid };
            let cells: Vec<String> = situations.iter().map(|(_, so_far, delay)| act(&failed, so_far, *delay)).collect();
            match rows.iter_mut().find(|(known, _)| *known == cells) {
                Some((_, phases)) => phases.push(phase.as_str()),
                None => rows.push((cells, vec![phase.as_str()])),
            }
        }
        for (at, (cells, phases)) in rows.iter().enumerate() {
            let name = if at == 0 { format!("{class:?}: {meaning}") } else { String::new() };
            let _ = writeln!(out, "| {name} | {} | {} |", phases.join(", "), cells.join(" | "));
        }
    }
}

/// What providers told, by class.
fn by_example(out: &mut String, all: &[Told]) {
    let situations = situations();
    out.push_str("| class | dialect | told by | status | code or type | phase | another target | alone |\n");
    out.push_str("|---|---|---|---|---|---|---|---|\n");
    type Row<'a> = (usize, &'a str, u16, String, &'a str);
    let mut rows: BTreeMap<Row<'_>, (Vec<String>, Failed)> = BTreeMap::new();
    for told in all {
        let failure = &told.failure;
        let class = CLASSES.iter().position(|(class, _)| *class == failure.class()).expect("a class of the table");
        let code = failure.code.as_deref().filter(|code| !code.chars().all(|digit| digit.is_ascii_digit()));
        let code = code.unwrap_or(&failure.kind).to_lowercase();
        let key = (class, told.dialect.as_str(), told.status, code, told.phase.as_str());
        let row = rows.entry(key).or_insert_with(|| (Vec::new(), Failed::of(failure, told.phase)));
        if !row.0.contains(&told.provider) {
            row.0.push(told.provider.clone());
        }
    }
    for ((class, dialect, status, code, phase), (providers, failed)) in rows {
        let cell = |at: usize| act(&failed, &situations[at].1, Delay::Unsaid);
        let (name, providers) = (CLASSES[class].0, providers.join(", "));
        let _ = writeln!(
            out,
            "| {name:?} | {dialect} | {providers} | {status} | `{code}` | {phase} | {} | {} |",
            cell(1),
            cell(4)
        );
    }
}

#[test]
fn the_document_shows_every_class_phase_and_policy() {
    let mut all = recorded();
    assert!(all.len() > 130, "only {} recorded failures", all.len());
    all.extend(DOCUMENTED.map(|(dialect, status, body)| Told {
        dialect,
        provider: "(documented)".to_owned(),
        status,
        failure: dialect.api().read_error(status, Some("application/json"), body.as_bytes()),
        phase: Phase::Head,
    }));
    for (class, _) in CLASSES {
        assert!(all.iter().any(|told| told.failure.class() == class), "nobody told {class:?}");
    }
    for dialect in Dialect::ALL {
        assert!(all.iter().filter(|told| told.dialect == dialect).count() >= 10, "{dialect:?}");
    }
    let (mut classes, mut examples) = (String::new(), String::new());
    by_class(&mut classes);
    by_example(&mut examples, &all);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/retries.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let new = fill(&fill(&text, "classes", &classes), "examples", &examples);
    if std::env::var_os("SLUICE_BLESS").is_some() {
        std::fs::write(&file, new).unwrap();
    } else {
        assert_eq!(text, new, "docs/retries.md is old: SLUICE_BLESS=1 cargo test --release -p sluice recorded");
    }
}

/// The text with what stands between the marks of `name` replaced.
fn fill(text: &str, name: &str, table: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("no {begin:?}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no {end:?}"));
    format!("{before}{begin}\n{table}\n{end}{after}")
}

/// What a failed attempt may never lead to, whatever the rest is.
#[test]
fn some_things_are_never_done() {
    for (class, _) in CLASSES {
        for phase in Phase::ALL {
            for (name, so_far, delay) in situations() {
                let failed = Failed { class, blame: Blame::Provider, retry: Retry::NextTarget, phase, delay };
                let what = format!("{class:?} {phase:?} {name}");
                let (action, _) = decide(&failed, &so_far, &Policy::default(), 0.5);
                if phase == Phase::AfterContent || so_far.attempts >= 3 {
                    assert_eq!(action, Action::GiveUp, "{what}");
                }
                if matches!(class, Class::Auth | Class::Permission | Class::Quota) {
                    assert!(!matches!(action, Action::Same { .. }), "the same key again: {what}");
                }
                if matches!(class, Class::Invalid | Class::NotFound | Class::TooLarge | Class::ContentFilter) {
                    assert_eq!(action, Action::GiveUp, "{what}");
                }
                if let Action::Same { wait } = action {
                    assert!(!so_far.other_target && wait < so_far.left, "{what}: {wait:?}");
                }
                assert!(action != Action::OtherKey || so_far.other_key, "{what}");
                assert!(action != Action::Next || so_far.other_target, "{what}");
            }
        }
    }
}
