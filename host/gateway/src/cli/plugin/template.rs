//! The project that `sluice plugin new` writes: template, SDK and interface, all of this binary's version.

/// Path in the new project, and text. `{{name}}` and `{{crate}}` are filled in for the template's own files.
static FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/template/Cargo.toml"))),
    ("README.md", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/template/README.md"))),
    ("src/lib.rs", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/template/src/lib.rs"))),
    (".cargo/config.toml", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/template/.cargo/config.toml"))),
    (".gitignore", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/template/gitignore"))),
    ("vendor/sdk/rust/Cargo.toml", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/Cargo.toml"))),
    (
        "vendor/wit/finished-call.schema.json",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/finished-call.schema.json")),
    ),
    ("vendor/wit/plugin.wit", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/plugin.wit"))),
    (
        "vendor/sdk/rust/src/bindings.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/bindings.rs")),
    ),
    ("vendor/sdk/rust/src/call.rs", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/call.rs"))),
    (
        "vendor/sdk/rust/src/call/component.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/call/component.rs")),
    ),
    (
        "vendor/sdk/rust/src/finished.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/finished.rs")),
    ),
    ("vendor/sdk/rust/src/kv.rs", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/kv.rs"))),
    (
        "vendor/sdk/rust/src/testing/keys.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/testing/keys.rs")),
    ),
    (
        "vendor/sdk/rust/src/targets.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/targets.rs")),
    ),
    (
        "vendor/sdk/rust/src/testing/targets.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/testing/targets.rs")),
    ),
    ("vendor/sdk/rust/src/glue.rs", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/glue.rs"))),
    ("vendor/sdk/rust/src/host.rs", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/host.rs"))),
    ("vendor/sdk/rust/src/lib.rs", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/lib.rs"))),
    (
        "vendor/sdk/rust/src/macros.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/macros.rs")),
    ),
    (
        "vendor/sdk/rust/src/period.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/period.rs")),
    ),
    (
        "vendor/sdk/rust/src/plugin.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/plugin.rs")),
    ),
    (
        "vendor/sdk/rust/src/search.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/search.rs")),
    ),
    (
        "vendor/sdk/rust/src/search/automaton.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/search/automaton.rs")),
    ),
    (
        "vendor/sdk/rust/src/search/filter.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/search/filter.rs")),
    ),
    (
        "vendor/sdk/rust/src/search/tests.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/search/tests.rs")),
    ),
    (
        "vendor/sdk/rust/src/settings.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/settings.rs")),
    ),
    (
        "vendor/sdk/rust/src/testing.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/testing.rs")),
    ),
    (
        "vendor/sdk/rust/src/testing/document.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/testing/document.rs")),
    ),
    (
        "vendor/sdk/rust/src/testing/fake.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/testing/fake.rs")),
    ),
    (
        "vendor/sdk/rust/src/testing/state.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/testing/state.rs")),
    ),
    (
        "vendor/sdk/rust/src/testing/stream.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/testing/stream.rs")),
    ),
    (
        "vendor/sdk/rust/src/testing/tests.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/testing/tests.rs")),
    ),
    (
        "vendor/sdk/rust/src/testing/tests/finish.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/testing/tests/finish.rs")),
    ),
    (
        "vendor/sdk/rust/src/testing/tests/route.rs",
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/testing/tests/route.rs")),
    ),
    ("vendor/sdk/rust/src/texts.rs", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/texts.rs"))),
    ("vendor/sdk/rust/src/types.rs", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src/types.rs"))),
];

/// The files of a project of that name.
pub fn files(name: &str) -> impl Iterator<Item = (&'static str, String)> {
    let crate_name = name.replace('-', "_");
    FILES.iter().map(move |(path, text)| {
        let text = if path.starts_with("vendor/") {
            (*text).to_owned()
        } else {
            text.replace("{{name}}", name).replace("{{crate}}", &crate_name)
        };
        (*path, text)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::*;

    fn count(folder: &Path) -> usize {
        std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| if path.is_dir() { count(&path) } else { 1 })
            .sum()
    }

    #[test]
    fn every_file_of_sdk_and_template_is_in_it() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        // TEMPLATE.md explains the template and stays behind; the SDK's manifest, the interface and the schema are three more.
        let expected = count(&root.join("sdk/template")) - 1 + count(&root.join("sdk/rust/src")) + 3;
        assert_eq!(FILES.len(), expected);
    }

    #[test]
    fn names_are_filled_in() {
        for (path, text) in files("no-secrets") {
            assert!(path.starts_with("vendor/") || !text.contains("{{"), "{path}");
        }
    }
}
