//! The invariants of `host/ARCHITECTURE.md` and the rules of CONTRIBUTING.md that a reader of the sources can check, checked. Each rule
//! is also shown a text that breaks it, so that a rule which no longer finds anything does not pass for a kept one.

use std::path::Path;

use crate::python_client::root;
use crate::source::{Source, sources};

/// Says of one source what breaks a rule: line and why.
type Rule = fn(&Source) -> Vec<(usize, String)>;

/// Checks `rule` on the sources that `concerned` picks, after it found `broken` broken.
#[track_caller]
fn kept(rule: Rule, concerned: impl Fn(&str) -> bool, broken: &[&str]) {
    for text in broken {
        let sample = Source::new("host/gateway/src/pipeline/sample.rs", &format!("//! A sample.\n{text}\n"));
        assert!(!rule(&sample).is_empty(), "the rule does not see: {text}");
    }
    let all = sources();
    let picked: Vec<&Source> = all.iter().filter(|source| concerned(&source.path)).collect();
    assert!(!picked.is_empty(), "no file is concerned: has one been moved?");
    let found: Vec<String> = picked
        .iter()
        .flat_map(|source| rule(source).into_iter().map(|(line, why)| format!("{}:{line}: {why}", source.path)))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The lines of product code (tests, comments and texts taken out) that contain one of these.
fn lines_with(source: &Source, words: &[&str]) -> Vec<(usize, String)> {
    let lines = source.code.lines().enumerate();
    let hit = |line: &str| words.iter().find(|word| line.contains(**word)).map(|word| (*word).to_owned());
    lines.filter_map(|(at, line)| hit(line).map(|word| (at + 1, format!("says `{word}`")))).collect()
}

fn under(folder: &'static str) -> impl Fn(&str) -> bool {
    move |path: &str| path.starts_with(folder)
}

fn product(path: &str) -> bool {
    let ours = ["host/", "sdk/rust/src/", "plugins/"];
    ours.iter().any(|folder| path.starts_with(folder)) && path.contains("/src/")
}

#[test]
fn only_the_sandbox_says_wasmtime() {
    let elsewhere = |path: &str| !path.starts_with("host/sandbox/");
    kept(|source| lines_with(source, &["wasmtime"]), elsewhere, &["use wasmtime::Engine;"]);
    let mut manifests = 0;
    for folder in ["host/dialect", "host/gateway", "sdk/rust", "tests", "plugins/deny-words"] {
        let text = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let named =
            text.lines().filter(|line| !line.trim_start().starts_with('#')).any(|line| line.contains("wasmtime"));
        assert!(!named, "{folder}/Cargo.toml depends on wasmtime");
        manifests += 1;
    }
    assert_eq!(manifests, 5);
    assert!(std::fs::read_to_string(root().join("host/sandbox/Cargo.toml")).unwrap().contains("wasmtime"));
}

#[test]
fn the_pipeline_knows_no_sockets_and_no_server() {
    let words: Rule = |source| {
        lines_with(source, &["hyper", "reqwest", "axum", "server::", "use crate::server", "TcpStream", "rusqlite"])
    };
    kept(words, under("host/gateway/src/pipeline"), &["use hyper::body::Incoming;", "crate::server::json(status)"]);
}

#[test]
fn only_server_and_providers_say_hyper() {
    let elsewhere = |path: &str| {
        !["host/gateway/src/server", "host/gateway/src/providers", "tests/"].iter().any(|at| path.starts_with(at))
    };
    kept(|source| lines_with(source, &["hyper::", "hyper_util", "hyper_rustls"]), elsewhere, &["hyper::Error"]);
}

#[test]
fn the_server_never_sees_the_http_client() {
    // Which providers there are is a table that it reads.
    let words: Rule = |source| {
        let found =
            lines_with(source, &["hyper_util::client", "hyper::client", "providers::", "hyper_rustls", "reqwest"]);
        let table =
            |line: usize| source.code.lines().nth(line - 1).is_some_and(|code| code.contains("providers::table"));
        found.into_iter().filter(|(line, _)| !table(*line)).collect()
    };
    kept(
        words,
        under("host/gateway/src/server"),
        &["use hyper_util::client::legacy::Client;", "use crate::providers::client;"],
    );
}

#[test]
fn the_dialect_has_no_clock_no_socket_and_never_awaits() {
    let words: Rule = |source| {
        let mut banned =
            vec!["tokio", "hyper", "wasmtime", "Instant::now", "SystemTime", ".await", "async fn", "async move"];
        banned.extend([
            "TcpStream",
            "UdpSocket",
            "ToSocketAddrs",
            "std::fs",
            "std::env",
            "std::thread",
            "sluice_sandbox",
        ]);
        lines_with(source, &banned)
    };
    kept(words, under("host/dialect/src"), &["let now = Instant::now();", "next().await", "use std::fs;"]);
    let manifest = std::fs::read_to_string(root().join("host/dialect/Cargo.toml")).unwrap();
    for name in ["tokio", "hyper", "http", "wasmtime", "reqwest", "sluice-"] {
        let depends = |line: &str| line.trim_start().starts_with(name);
        assert!(!manifest.lines().any(depends), "dialect depends on {name}");
    }
}

#[test]
fn the_sandbox_knows_no_http_and_not_the_gateway() {
    let words: Rule = |source| lines_with(source, &["hyper", "http::", "sluice_dialect"]);
    kept(words, under("host/sandbox/src"), &["use http::HeaderMap;", "use sluice_dialect::failure;"]);
    let manifest = std::fs::read_to_string(root().join("host/sandbox/Cargo.toml")).unwrap();
    for name in ["hyper", "http", "reqwest", "sluice"] {
        let depends = |line: &str| {
            line.split(['.', ' ', '=']).next().is_some_and(|key| key == name || key.starts_with("sluice-"))
        };
        assert!(!manifest.lines().any(depends), "sandbox depends on {name}");
    }
}

#[test]
fn one_place_loads_native_code() {
    let words: Rule = |source| lines_with(source, &["compile_from", "deserialize(&self.0.engine"]);
    let elsewhere = |path: &str| {
        let known = ["host/gateway/src/plugins/version.rs", "host/sandbox/src/engine.rs"];
        path.starts_with("host/") && !path.contains("/tests/") && !known.contains(&path)
    };
    kept(words, elsewhere, &["unsafe { sandbox.compile_from(wasm, native) }"]);
}

/// Where a secret's text may be read, and why. Nobody else has a reason.
const EXPOSE: [&str; 6] = [
    // A provider's key, into the header that goes to the provider.
    "host/gateway/src/providers/auth.rs",
    // What a token is asked for with.
    "host/gateway/src/providers/token.rs",
    // The file of a service account, into its parts.
    "host/gateway/src/config/resolve/cloud.rs",
    // The private key of the certificate that clients are shown.
    "host/gateway/src/config/resolve/tls.rs",
    // The type itself, which answers what others need to know.
    "host/gateway/src/config/secret.rs",
    // The first key, printed once.
    "host/gateway/src/cli/serve.rs",
];

#[test]
fn few_places_read_a_secret() {
    let words: Rule = |source| lines_with(source, &[".expose()", "expose_secret"]);
    let elsewhere = |path: &str| path.starts_with("host/") && !EXPOSE.contains(&path);
    kept(words, elsewhere, &["log(key.secret.expose())", "secret.expose_secret()"]);
    let all = sources();
    for path in EXPOSE {
        let source = all.iter().find(|source| source.path == path).unwrap_or_else(|| panic!("{path} is gone"));
        assert!(!lines_with(source, &[".expose()", "expose_secret"]).is_empty(), "{path} need not be listed any more");
    }
}

/// A bytes-to-bytes road builds no tree: these files of the gateway may, because they make or take apart what is no client's or
/// provider's conversation on its way through.
const TREES: [&str; 14] = [
    "host/gateway/src/pipeline/models.rs",
    "host/gateway/src/pipeline/models/shape.rs",
    "host/gateway/src/pipeline/other/count.rs",
    "host/gateway/src/pipeline/other/embed.rs",
    "host/gateway/src/providers/listing/models.rs",
    // How keys and limits stand, for operators.
    "host/gateway/src/providers/auth.rs",
    "host/gateway/src/providers/gate.rs",
    "host/gateway/src/providers/mod.rs",
    "host/gateway/src/providers/pool.rs",
    // An error that says when to come again.
    "host/gateway/src/providers/again.rs",
    // What a cloud answers when it is asked for a token.
    "host/gateway/src/providers/token.rs",
    // A failure, and the few numbers of a usage.
    "host/dialect/src/openai_responses/reply.rs",
    "host/dialect/src/openai_responses/stream/glance.rs",
    // Stands in two places: where a road looks at errors, and where it makes one.
    "host/dialect/src/openai_chat/error.rs",
];

/// The files of the dialects that bytes pass which are not translated. All others are for translation, for plugins' edits and for errors.
fn untranslated(path: &str) -> bool {
    let Some(inside) = path.strip_prefix("host/dialect/src/") else { return false };
    let common =
        ["peek", "hold", "sse", "splice.rs", "text", "stream.rs", "json.rs", "json/scan", "json/text", "json/validate"];
    let (folder, own) = inside.split_once('/').unwrap_or_default();
    let dialects = ["openai_chat", "openai_responses", "anthropic", "gemini"];
    let of_dialect = dialects.contains(&folder)
        && (["request.rs", "reply.rs", "texts.rs", "parts.rs", "stream.rs", "stream/glance.rs"].contains(&own)
            || inside.starts_with("openai_chat/stream/"));
    common.iter().any(|start| inside.starts_with(start)) || of_dialect
}

#[test]
fn the_road_of_a_call_builds_no_json_tree() {
    let words: Rule = |source| {
        lines_with(
            source,
            &["serde_json::Value", "serde_json::{Map", ", Value}", "{Value", "json!(", "serde_json::from_"],
        )
    };
    let road = |path: &str| {
        let folders = ["host/gateway/src/pipeline", "host/gateway/src/server", "host/gateway/src/providers"];
        let inside = folders.iter().any(|folder| path.starts_with(folder)) || untranslated(path);
        inside && !TREES.contains(&path)
    };
    kept(
        words,
        road,
        &["let body: serde_json::Value = x;", "use serde_json::{Value, json};", "serde_json::from_slice(body)"],
    );
}

#[test]
fn nothing_panics_on_input() {
    let calls: Rule = |source| {
        let found =
            lines_with(source, &[".unwrap()", ".expect(", "panic!(", "unreachable!(", ".unwrap_err()", ".expect_err("]);
        found.into_iter().filter(|(line, _)| !source.excused(*line)).collect()
    };
    let broken =
        ["fn f() { x.unwrap(); }", "fn f() { x.expect(\"y\"); }", "#[allow(clippy::panic)]\nfn f() { panic!(\"y\") }"];
    kept(calls, product, &broken);
    // An excuse has a reason and covers what follows it, not the file.
    let excused = "#[expect(clippy::unwrap_used, reason = \"set above\")]\nfn f() { x.unwrap(); }";
    assert!(calls(&Source::new("host/a/src/b.rs", excused)).is_empty());
    let bare = "#[expect(clippy::unwrap_used)]\nfn f() { x.unwrap(); }";
    assert!(!calls(&Source::new("host/a/src/b.rs", bare)).is_empty());
}

#[test]
fn nothing_is_left_for_later() {
    let rule: Rule = |source| {
        // Built from parts, because this file is looked at too.
        let words = ["todo!", "unimplemented!", "dbg!"].map(|word| format!("{word}("));
        let ignored = ["#[", "ignore"].concat();
        let mut found = Vec::new();
        for (at, line) in source.stripped.lines().enumerate() {
            let hit = words.iter().any(|word| line.contains(word)) || line.replace(' ', "").contains(&ignored);
            found.extend(hit.then(|| (at + 1, line.trim().to_owned())));
        }
        found
    };
    let broken = [["fn f() { todo", "!() }"].concat(), ["#[", "ignore = \"slow\"]\nfn f() {}"].concat()];
    kept(rule, |_| true, &broken.each_ref().map(String::as_str));
}

#[test]
fn files_stay_small() {
    let rule: Rule = |source| {
        let lines = source.text.lines().count();
        if lines >= 500 && !source.is_test() { vec![(lines, "is too long".to_owned())] } else { Vec::new() }
    };
    kept(rule, |_| true, &["fn f() {}\n".repeat(500).as_str()]);
}

#[test]
fn every_file_says_what_it_is_for() {
    let rule: Rule = |source| {
        let first = source.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        if first.starts_with("//!") { Vec::new() } else { vec![(1, "does not begin with `//!`".to_owned())] }
    };
    assert!(!rule(&Source::new("host/a/src/b.rs", "use x;\n")).is_empty());
    kept(rule, |path| !Source::new(path, "").is_test(), &[]);
}

/// The lints that forbid panics and printing are the compiler's to enforce, as long as every crate asks for them.
#[test]
fn every_crate_asks_for_the_lints() {
    let mut seen = 0;
    for folder in ["host", "plugins", "sdk", "tests/guests", "."] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap().flatten() {
            let Ok(text) = std::fs::read_to_string(entry.path().join("Cargo.toml")) else { continue };
            // The template's project is an author's, with the author's rules.
            if entry.file_name() == "template" {
                continue;
            }
            let own = text.contains("[lints.clippy]") && text.contains("unwrap_used = \"deny\"");
            assert!(own || text.contains("[lints]\nworkspace = true"), "{} has no lints", entry.path().display());
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} crates");
    let workspace = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for lint in ["unwrap_used", "expect_used", "panic", "todo", "print_stdout", "dbg_macro"] {
        assert!(workspace.contains(&format!("{lint} = \"deny\"")), "{lint} is not denied");
    }
}

#[test]
fn the_scan_sees_the_whole_repository() {
    let all = sources();
    assert!(all.len() > 150, "only {} sources", all.len());
    for path in
        ["host/gateway/src/main.rs", "sdk/rust/src/lib.rs", "plugins/deny-words/src/lib.rs", "tests/it/house.rs"]
    {
        assert!(all.iter().any(|source| source.path == path), "{path} is not among them");
    }
    assert!(Path::new(&root()).join("host/ARCHITECTURE.md").is_file());
}
