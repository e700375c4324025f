//! What a file must look like: everything else is refused, and the refusal names what is wrong.

use wit_parser::Resolve;

use super::guests::{ON_REQUEST, WIT, at_version, described, dummy, passing};
use super::{SANDBOX, compile};
use crate::shape::OFFERED;
use crate::{Config, Hook, LoadErrorKind, Sandbox, inspect};

#[track_caller]
fn refused(wasm: &[u8], kind: LoadErrorKind, words: &[&str]) {
    let error = SANDBOX.compile(wasm).err().expect("the file is refused");
    assert_eq!(error.kind, kind, "{error}");
    for word in words {
        assert!(error.message.contains(word), "`{word}` is not in: {error}");
    }
}

#[test]
fn every_hook_in_its_own_shape_is_found() {
    let component = compile(&dummy(
        &[WIT],
        "import sluice:plugin/call@0.1.0; import sluice:plugin/reply@0.1.0; import sluice:plugin/host@0.1.0;
         import sluice:plugin/targets@0.1.0; export sluice:plugin/on-route@0.1.0; export sluice:plugin/about@0.1.0; export sluice:plugin/lifecycle@0.1.0; export sluice:plugin/on-request@0.1.0;
         export sluice:plugin/on-response@0.1.0; export sluice:plugin/on-delta@0.1.0; export sluice:plugin/on-finish@0.1.0;
         export sluice:plugin/on-complete@0.1.0; import sluice:plugin/kv@0.1.0;",
    ));
    assert_eq!(
        component.hooks().names(),
        ["on-request", "on-route", "on-response", "on-delta", "on-finish", "on-complete"]
    );
    assert!(component.has_about() && component.has_lifecycle() && !component.uses_wasi());
    assert!(component.imports().iter().any(|name| name == "sluice:plugin/call@0.1.0"));
    for hook in Hook::ALL {
        let one = compile(&dummy(&[WIT], &format!("export sluice:plugin/{hook}@0.1.0;")));
        assert_eq!(one.hooks().names(), [hook.as_str()]);
        assert!(!one.has_about() && !one.has_lifecycle());
    }
}

#[test]
fn the_list_of_offered_functions_is_the_interface() {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("plugin.wit", WIT).unwrap();
    let world = resolve.select_world(&[package], Some("everything")).unwrap();
    let mut found = Vec::new();
    for item in resolve.worlds[world].imports.values() {
        let wit_parser::WorldItem::Interface { id, .. } = item else { panic!("only interfaces are imported") };
        let interface = &resolve.interfaces[*id];
        let functions: Vec<&str> = interface.functions.keys().map(String::as_str).collect();
        found.push((interface.name.as_deref().unwrap(), functions));
    }
    found.sort();
    let mut offered: Vec<(&str, Vec<&str>)> = OFFERED.iter().map(|(name, list)| (*name, list.to_vec())).collect();
    offered.sort();
    assert_eq!(found, offered);
}

#[test]
fn half_a_hook_is_refused() {
    let half = WIT.replace("on-request: func() -> result<verdict, fault>;", "");
    refused(
        &dummy(&[&half], &format!("export {ON_REQUEST};")),
        LoadErrorKind::Export,
        &[ON_REQUEST, "without its function `on-request`"],
    );
    for hook in ["on-route", "on-finish", "on-complete"] {
        let at = WIT.find(&format!("  {hook}: func(")).unwrap();
        let end = at + WIT[at..].find(';').unwrap() + 1;
        let half = format!("{}{}", &WIT[..at], &WIT[end..]);
        let export = format!("sluice:plugin/{hook}@0.1.0");
        let missing = format!("without its function `{hook}`");
        refused(&dummy(&[&half], &format!("export {export};")), LoadErrorKind::Export, &[&export, &missing]);
    }
}

#[test]
fn another_record_or_variant_is_refused_by_its_export() {
    let field = WIT.replace("choice: u32,\n    /// Counts", "choice: u32, extra: u32,\n    /// Counts");
    assert_ne!(field, WIT);
    refused(
        &dummy(&[&field], "export sluice:plugin/on-delta@0.1.0;"),
        LoadErrorKind::Export,
        &["sluice:plugin/on-delta@0.1.0", "another shape", "field"],
    );
    let case = WIT.replace("    answer(string),", "    answer(string), later,");
    assert_ne!(case, WIT);
    refused(&dummy(&[&case], &format!("export {ON_REQUEST};")), LoadErrorKind::Export, &[ON_REQUEST, "another shape"]);
    for (hook, from, to) in [
        ("on-finish", "on-finish: func() -> result<_, fault>;", "on-finish: func(late: bool) -> result<_, fault>;"),
        ("on-finish", "on-finish: func() -> result<_, fault>;", "on-finish: func() -> result<u32, fault>;"),
        ("on-route", "on-route: func(count: u32)", "on-route: func(count: u64)"),
        ("on-route", "targets: list<u32>", "targets: list<u64>"),
        ("on-route", "    order(order),", "    order(order), later,"),
        ("on-complete", "batch: list<string>", "batch: list<list<u8>>"),
        ("on-complete", "batch: list<string>", "batch: string"),
    ] {
        let changed = WIT.replace(from, to);
        assert_ne!(changed, WIT);
        let export = format!("sluice:plugin/{hook}@0.1.0");
        refused(&dummy(&[&changed], &format!("export {export};")), LoadErrorKind::Export, &[&export, "another shape"]);
    }
}

#[test]
fn another_type_of_an_import_is_refused_by_its_name() {
    let changed = WIT.replace("attempt: func() -> u32;", "attempt: func() -> u64;");
    assert_ne!(changed, WIT);
    refused(
        &dummy(&[&changed], &format!("import sluice:plugin/call@0.1.0; export {ON_REQUEST};")),
        LoadErrorKind::Import,
        &["sluice:plugin/call@0.1.0", "attempt"],
    );
}

#[test]
fn a_newer_minor_loads_as_long_as_it_asks_for_nothing_new() {
    let newer = at_version("0.1.7");
    let body = "import sluice:plugin/call@0.1.7; export sluice:plugin/on-request@0.1.7;";
    assert_eq!(compile(&dummy(&[&newer], body)).hooks().names(), ["on-request"]);
    let asking = newer.replace("attempt: func() -> u32;", "attempt: func() -> u32; mood: func() -> string;");
    refused(&dummy(&[&asking], body), LoadErrorKind::Import, &["`mood`", "sluice:plugin/call@0.1.7", "0.1.0"]);
    let capability = format!("{newer} interface telepathy {{ read: func() -> string; }}");
    refused(
        &dummy(&[&capability], "import sluice:plugin/telepathy@0.1.7; export sluice:plugin/on-request@0.1.7;"),
        LoadErrorKind::Import,
        &["sluice:plugin/telepathy@0.1.7"],
    );
    let function = newer.replace(
        "on-request: func() -> result<verdict, fault>;",
        "on-request: func() -> result<verdict, fault>; on-second-thought: func();",
    );
    refused(
        &dummy(&[&function], "export sluice:plugin/on-request@0.1.7;"),
        LoadErrorKind::Export,
        &["on-second-thought", "0.1.0"],
    );
}

#[test]
fn another_major_is_refused_with_both_versions() {
    for version in ["0.2.0", "1.0.0", "0.1.1-rc.1"] {
        let wit = at_version(version);
        refused(
            &dummy(&[&wit], &format!("export sluice:plugin/on-request@{version};")),
            LoadErrorKind::Export,
            &[version, "0.1.0"],
        );
        refused(
            &dummy(&[WIT, &wit], &format!("import sluice:plugin/call@{version}; export {ON_REQUEST};")),
            LoadErrorKind::Import,
            &[version, "0.1.0"],
        );
    }
}

#[test]
fn an_unknown_hook_is_refused() {
    let wit = format!("{WIT} interface on-tuesday {{ on-tuesday: func(); }}");
    refused(
        &dummy(&[&wit], &format!("export {ON_REQUEST}; export sluice:plugin/on-tuesday@0.1.0;")),
        LoadErrorKind::Export,
        &["sluice:plugin/on-tuesday@0.1.0"],
    );
}

#[test]
fn one_hook_under_two_versions_is_refused() {
    refused(
        &dummy(&[WIT, &at_version("0.1.3")], &format!("export {ON_REQUEST}; export sluice:plugin/on-request@0.1.3;")),
        LoadErrorKind::Export,
        &["on-request", "0.1.0", "0.1.3"],
    );
}

#[test]
fn a_component_without_hooks_is_refused() {
    refused(
        &dummy(&[WIT], "export acme:tools/extra@1.0.0;"),
        LoadErrorKind::NoHook,
        &["exports no hook", "acme:tools"],
    );
    refused(&dummy(&[WIT], "export sluice:plugin/about@0.1.0;"), LoadErrorKind::NoHook, &["exports no hook"]);
}

#[test]
fn foreign_exports_are_ignored_and_foreign_imports_refused() {
    let both = dummy(&[WIT], &format!("export {ON_REQUEST}; export acme:tools/extra@1.0.0;"));
    assert_eq!(compile(&both).hooks().names(), ["on-request"]);
    refused(
        &dummy(&[WIT], &format!("import acme:tools/shell@1.0.0; export {ON_REQUEST};")),
        LoadErrorKind::Import,
        &["acme:tools/shell@1.0.0"],
    );
    refused(
        &dummy(&[WIT], &format!("import loose: func(); export {ON_REQUEST};")),
        LoadErrorKind::Import,
        &["`loose`"],
    );
    refused(
        &dummy(&[WIT], &format!("import wasi:http/outgoing@0.2.3; export {ON_REQUEST};")),
        LoadErrorKind::Import,
        &["wasi:http/outgoing@0.2.3"],
    );
}

#[test]
fn what_is_no_component_is_refused() {
    refused(&wat::parse_str("(module)").unwrap(), LoadErrorKind::NotComponent, &["core module", "wasm32-wasip2"]);
    refused(b"(component)", LoadErrorKind::NotComponent, &[]);
    refused(b"", LoadErrorKind::NotComponent, &[]);
    refused(b"\0asm", LoadErrorKind::NotComponent, &[]);
    refused(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0", LoadErrorKind::NotComponent, &[]);
    refused(b"\0asm\x0d\0\x01\0garbage", LoadErrorKind::Invalid, &["valid component"]);
    let small = Sandbox::new(Config { max_component: 100, max_instances: 1, ..Config::default() }).unwrap();
    let error = small.compile(&passing()).err().expect("too big");
    assert_eq!(error.kind, LoadErrorKind::TooBig, "{error}");
}

#[test]
fn a_file_cut_anywhere_is_refused_or_whole() {
    let guests = [
        described(r#"{"name":"cut"}"#),
        dummy(
            &[WIT],
            "export sluice:plugin/on-delta@0.1.0; export sluice:plugin/on-request@0.1.0; export sluice:plugin/lifecycle@0.1.0;",
        ),
    ];
    for whole in guests {
        let exports = compile(&whole).exports().to_vec();
        let (mut taken, mut short) = (0, 0);
        for length in 0..whole.len() {
            match SANDBOX.compile(&whole[..length]) {
                // Only what describes the file is missing: it does all that the whole one does.
                Ok(component) => {
                    assert_eq!(component.exports(), exports, "cut after {length} of {}", whole.len());
                    taken += 1;
                }
                Err(error) => {
                    short += u32::from(error.message.contains("cut short"));
                    assert!(
                        matches!(
                            error.kind,
                            LoadErrorKind::NotComponent | LoadErrorKind::Invalid | LoadErrorKind::NoHook
                        ),
                        "{length}: {error}"
                    );
                }
            }
        }
        println!("{} cuts: {taken} whole but for their description, {short} recognised by their code", whole.len());
        assert!(taken < 8);
    }
}

#[test]
fn damaged_bytes_never_break_the_host() {
    let whole = passing();
    for at in (8..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        // Either outcome is right; what counts is that there is one.
        let _ = SANDBOX.compile(&damaged);
    }
    assert!(SANDBOX.compile(&whole).is_ok());
}

#[test]
fn inspection_describes_good_and_bad_files() {
    let good = inspect(&described(r#"{"name":"x"}"#)).unwrap();
    assert!(good.problem.is_none() && good.has_about && good.hooks.contains(Hook::OnRequest));
    assert!(good.digest.starts_with("sha256:") && good.digest.len() == 71);
    let bad = inspect(&dummy(&[WIT], &format!("import acme:tools/shell@1.0.0; export {ON_REQUEST};"))).unwrap();
    assert_eq!(bad.problem.map(|error| error.kind), Some(LoadErrorKind::Import));
    assert!(bad.hooks.contains(Hook::OnRequest));
    assert!(bad.imports.iter().any(|name| name == "acme:tools/shell@1.0.0"));
    let manifest = good.manifest.unwrap();
    assert_eq!(manifest.name, "x");
    let wants = inspect(&described(r#"{"grants":[{"name":"kv","reason":"to keep"}]}"#)).unwrap();
    assert_eq!(wants.manifest.unwrap().grants[0].reason, "to keep");
    let torn = inspect(&described("{")).unwrap();
    assert!(torn.manifest.is_none() && torn.hooks.contains(Hook::OnRequest));
    assert_eq!(torn.problem.map(|error| error.kind), Some(LoadErrorKind::Manifest));
    let garbage = inspect(b"garbage").unwrap();
    assert_eq!(garbage.problem.map(|error| error.kind), Some(LoadErrorKind::NotComponent));
}
