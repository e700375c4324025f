//! `sluice schema`: an independent validator agrees with `sluice check` about files, and with the documents.

use serde_json::{Value, json};
use sluice_tests::skip;

use crate::blocks::{blocks, markdown_files};
use crate::cli_support::{err, said, sluice};
use crate::python_client::{command, python, root};

fn schema(args: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    serde_json::from_str(&said(folder.path(), args)).expect("a schema is JSON")
}

/// What the other validator finds wrong with each document; `None` without Python.
fn verdicts(documents: &[String]) -> Option<Vec<Option<String>>> {
    let python = python()?;
    let plan = json!({
        "file": schema(&["schema"]),
        "plugin": schema(&["schema", "--plugin"]),
        "documents": documents,
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    std::fs::write(&file, plan.to_string()).unwrap();
    let output = command(&python, &root().join("tests/python/schema_verdicts.py")).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", err(&output));
    let found: Vec<Option<String>> = serde_json::from_slice(&output.stdout).expect("a list");
    assert_eq!(found.len(), documents.len());
    Some(found)
}

#[test]
fn every_file_in_the_documents_fits() {
    let mut documents = vec![std::fs::read_to_string(root().join("docs/sluice.sample.yaml")).unwrap()];
    let shows_yaml =
        |file: &std::path::PathBuf| std::fs::read_to_string(file).is_ok_and(|text| text.contains("```yaml"));
    for file in markdown_files(&root()).into_iter().filter(shows_yaml) {
        let shown = blocks(&file).into_iter().filter(|block| block.kind == "yaml");
        documents.extend(shown.map(|block| block.text));
    }
    assert!(documents.len() >= 4, "only {} documents", documents.len());
    let Some(verdicts) = verdicts(&documents) else { skip!("no .venv: make venv") };
    for (document, verdict) in documents.iter().zip(verdicts) {
        assert_eq!(verdict, None, "\n{document}");
    }
}

/// Files that are right, then files that are wrong in a way that a schema can say.
const RIGHT: [&str; 14] = [
    "",
    "{}",
    "server:\nproviders:\n",
    "server: { listen: \"127.0.0.1:1\", threads: 1 }",
    "server: { listen: [\"127.0.0.1:1\"], clients: open, max_calls: \"${COUNT}\", plugin_header: \"${TRUTH}\" }",
    "server: { clients: \"${WORD}\", limits: { head: 1.5s, head_size: 16 KiB, idle: \"${TIME}\" } }",
    "providers:\n  openai:\n",
    "providers: { openai: { keys: [env:KEY, { value: env:KEY, name: b, weight: 0.5, models: [\"gpt-*\"] }] } }",
    "providers: { a: { dialect: openai-chat, base_url: \"${URL}\", meter: false, headers: { x-a: b } } }",
    "aliases: { fast: openai/x }\nproviders: { openai: { keys: [] } }",
    "keys: [{ name: a, value: env:KEY, labels: { a: b } }]",
    "keys: [{ name: a, hash: \"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\" }]",
    "plugins: { chain: { a: { settings: { any: [thing, 1, null] }, order: -1, on_error: open, streams: refuse }, b: null } }",
    "plugins: { dir: p, required: [a], chain: { a: { component: b.c.wasm, limits: { memory: 2MiB, concurrency: 9 } } } }",
];
const WRONG: [&str; 21] = [
    "[]",
    "servers: {}",
    "server: { listn: x }",
    "server: { listen: 8080 }",
    "server: { threads: 0 }",
    "server: { threads: many }",
    "server: { threads: 1.5 }",
    "server: { clients: everyone }",
    "server: { plugin_header: 1 }",
    "server: { limits: { head: 10 } }",
    "server: { limits: { head: 10sec } }",
    "server: { limits: { body_size: 64 } }",
    "providers: { a: { dialect: morse, base_url: \"http://h/v1\" } }",
    "providers: { a: { dialect: openai-chat, base_url: \"ftp://h/v1\" } }",
    "providers: { openai: { keys: [{ name: b }] } }",
    "aliases: { fast: null }",
    "keys: [{ value: env:KEY }]",
    "keys: [{ name: a }]",
    "keys: [{ name: a, value: env:KEY, hash: \"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\" }]",
    "keys: [{ name: a, hash: \"sha256:9f86\" }]",
    "plugins: { chain: { a: { on_error: ajar } } }",
];
const VARIABLES: [(&str, &str); 7] = [
    ("OPENAI_API_KEY", "sk-some-key"),
    ("KEY", "sk-some-key"),
    ("COUNT", "3"),
    ("TRUTH", "true"),
    ("WORD", "open"),
    ("TIME", "3s"),
    ("URL", "http://h/v1"),
];

#[test]
fn the_schema_and_the_check_agree() {
    let documents: Vec<String> = RIGHT.iter().chain(&WRONG).map(|text| (*text).to_owned()).collect();
    let Some(verdicts) = verdicts(&documents) else { skip!("no .venv: make venv") };
    for (number, (document, verdict)) in documents.iter().zip(verdicts).enumerate() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("sluice.yaml"), document).unwrap();
        let checked = sluice(folder.path(), &VARIABLES, &["check"]);
        let right = number < RIGHT.len();
        assert_eq!(checked.status.success(), right, "sluice check: {document}\n{}", err(&checked));
        assert_eq!(verdict.is_none(), right, "the schema: {document}\n{verdict:?}");
    }
}

#[test]
fn the_schema_is_of_an_editors_kind() {
    for args in [&["schema"][..], &["schema", "--plugin"]] {
        let schema = schema(args);
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
        assert_eq!(schema["additionalProperties"], false);
        assert!(schema["properties"].as_object().is_some_and(|fields| fields.len() > 5));
        assert!(!schema.to_string().contains("\"x-required\"") && !schema.to_string().contains("$ref"));
    }
    let file = schema(&["schema"]);
    let plugin = schema(&["schema", "--plugin"]);
    let inside = &file["properties"]["plugins"]["properties"]["chain"]["additionalProperties"];
    assert_eq!(inside["properties"], plugin["properties"]);
}
