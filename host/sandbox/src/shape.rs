//! Whether a component's imports and exports are what this host speaks. Strict: what is not known is refused by its name.
//!
//! Everything is read from the component's own lists of imports and exports. That an index can be found says too little: it also fails
//! for half a hook, which would then run a call unguarded, and passes for a hook of another shape.

use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem};
use wasmtime::component::{Component, InstancePre};

use crate::bindings::hooks::{lifecycle, on_delta, on_request, on_response, on_route};
use crate::bindings::imports::types;
use crate::error::{LoadError, LoadErrorKind};
use crate::hook::{Hook, HookSet};
use crate::state::State;

/// The version of the interface that this host speaks. A guest may be built against any `0.1.x` whose functions are all here.
pub const INTERFACE_VERSION: &str = "0.1.0";
const NAMESPACE: &str = "sluice:plugin/";

const ABOUT: &str = "about";
const LIFECYCLE: &str = "lifecycle";

/// What a guest may import from our namespace, function by function. A test holds it against the interface definition.
pub(crate) const OFFERED: [(&str, &[&str]); 7] = [
    ("types", &[]),
    ("text", &[]),
    (
        "call",
        &[
            "id",
            "operation",
            "dialect",
            "prefix",
            "model",
            "set-model",
            "streaming",
            "attempt",
            "caller",
            "header",
            "set-reply-header",
            "all-text",
            "tool-name",
            "last-user-text",
            "set-text",
            "get",
            "set",
            "insert",
            "remove",
            "recall",
            "remember",
            "tag",
            "tagged",
            "remaining-ms",
        ],
    ),
    (
        "reply",
        &[
            "target",
            "all-text",
            "tool-name",
            "set-text",
            "finish-reason",
            "tokens",
            "get",
            "set",
            "remove",
            "first-byte-ms",
            "total-ms",
            "outcome",
        ],
    ),
    ("targets", &["name", "number", "label", "has"]),
    ("host", &["log", "now-ms", "random", "count", "digest"]),
    ("kv", &["get", "set", "delete", "increment", "swap"]),
];

/// The interfaces that a guest may export in our namespace, each with its one function.
fn known_exports() -> impl Iterator<Item = (&'static str, &'static str)> {
    [(ABOUT, "manifest"), (LIFECYCLE, "configure")]
        .into_iter()
        .chain(Hook::ALL.into_iter().map(|hook| (hook.as_str(), hook.as_str())))
}

/// What a component says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    pub(crate) hooks: HookSet,
    pub(crate) about: bool,
    pub(crate) lifecycle: bool,
    /// Whole names, versions included, in the component's order.
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
    pub(crate) wasi: bool,
}

impl Shape {
    /// Lists without judging; hooks are those exported under a name that this host knows, complete or not.
    pub(crate) fn read(engine: &Engine, component: &Component) -> Shape {
        let ty = component.component_type();
        let imports: Vec<String> = ty.imports(engine).map(|(name, _)| name.to_owned()).collect();
        let exports: Vec<String> = ty.exports(engine).map(|(name, _)| name.to_owned()).collect();
        let names = || exports.iter().filter_map(|name| own(name)).map(|(interface, _)| interface);
        Shape {
            hooks: names().filter_map(Hook::parse).collect(),
            about: names().any(|name| name == ABOUT),
            lifecycle: names().any(|name| name == LIFECYCLE),
            wasi: imports.iter().any(|name| name.starts_with("wasi:")),
            imports,
            exports,
        }
    }

    /// # Errors
    /// `Export`, `Import` or `NoHook`, for the first thing found wrong.
    pub(crate) fn check(&self, engine: &Engine, component: &Component) -> Result<(), LoadError> {
        check_exports(engine, component)?;
        check_imports(engine, component)?;
        if self.hooks.is_empty() {
            let known = Hook::ALL.map(Hook::as_str).join(", ");
            return Err(LoadError::new(
                LoadErrorKind::NoHook,
                format!(
                    "exports no hook; a plugin exports at least one of {known} of `{NAMESPACE}` at version {INTERFACE_VERSION} (this one \
                     exports: {})",
                    list(&self.exports)
                ),
            ));
        }
        Ok(())
    }
}

fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}

fn refuse_export<T>(message: String) -> Result<T, LoadError> {
    Err(LoadError::new(LoadErrorKind::Export, message))
}

fn refuse_import<T>(message: String) -> Result<T, LoadError> {
    Err(LoadError::new(LoadErrorKind::Import, message))
}

/// Interface and version of a name in our namespace; the version is empty where the name has none.
fn own(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(NAMESPACE).map(|rest| rest.split_once('@').unwrap_or((rest, "")))
}

/// Whether `version` is a released `0.1.x`; other minors of major 0 are other interfaces.
fn compatible(version: &str) -> bool {
    version
        .strip_prefix("0.1.")
        .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()))
}

fn instance(item: ComponentItem) -> Option<ComponentInstance> {
    match item {
        ComponentItem::ComponentInstance(instance) => Some(instance),
        _ => None,
    }
}

fn functions(engine: &Engine, instance: &ComponentInstance) -> Vec<String> {
    instance
        .exports(engine)
        .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn check_exports(engine: &Engine, component: &Component) -> Result<(), LoadError> {
    let ty = component.component_type();
    let mut seen: Vec<(String, String)> = Vec::new();
    for (name, item) in ty.exports(engine) {
        let Some((interface, version)) = own(name) else { continue };
        let Some((_, function)) = known_exports().find(|(known, _)| *known == interface) else {
            let known = known_exports().map(|(known, _)| known).collect::<Vec<_>>().join(", ");
            return refuse_export(format!(
                "exports `{name}`, which this host does not know (it knows {known}); the plugin may need a newer Sluice"
            ));
        };
        if !compatible(version) {
            return refuse_export(format!(
                "exports `{name}`: version `{version}`, but this host speaks {INTERFACE_VERSION}; build it against 0.1"
            ));
        }
        if let Some((_, other)) = seen.iter().find(|(known, _)| known == interface) {
            return refuse_export(format!(
                "exports `{interface}` under two versions, {other} and {version}; export it once"
            ));
        }
        seen.push((interface.to_owned(), version.to_owned()));
        let Some(instance) = instance(item.ty) else {
            return refuse_export(format!(
                "exports `{name}`, but not as an interface; build it against the plugin interface"
            ));
        };
        let functions = functions(engine, &instance);
        if !functions.iter().any(|known| known == function) {
            return refuse_export(format!(
                "exports `{name}` without its function `{function}`; implement it or leave the interface out"
            ));
        }
        if let Some(unknown) = functions.iter().find(|known| *known != function) {
            return refuse_export(format!(
                "exports `{name}` with the function `{unknown}`, which version {INTERFACE_VERSION} does not have and would never call"
            ));
        }
    }
    Ok(())
}

fn check_imports(engine: &Engine, component: &Component) -> Result<(), LoadError> {
    let ty = component.component_type();
    for (name, item) in ty.imports(engine) {
        if name.starts_with("wasi:") {
            // The link check that follows names what is missing.
            continue;
        }
        let Some((interface, version)) = own(name) else {
            return refuse_import(format!(
                "imports `{name}`, which this host does not offer; it offers `{NAMESPACE}*` and WASI 0.2 without files and sockets"
            ));
        };
        let Some((_, offered)) = OFFERED.iter().find(|(known, _)| *known == interface) else {
            return refuse_import(format!(
                "imports `{name}`, a capability that this host does not have; the plugin may need a newer Sluice"
            ));
        };
        if !compatible(version) {
            return refuse_import(format!(
                "imports `{name}`: version `{version}`, but this host speaks {INTERFACE_VERSION}; build it against 0.1"
            ));
        }
        let Some(instance) = instance(item.ty) else {
            return refuse_import(format!(
                "imports `{name}`, but not as an interface; build it against the plugin interface"
            ));
        };
        if let Some(missing) = functions(engine, &instance).iter().find(|wanted| !offered.contains(&wanted.as_str())) {
            return refuse_import(format!(
                "imports the function `{missing}` of `{name}`, which this host's version {INTERFACE_VERSION} does not have; update Sluice, \
                 or build the plugin against {INTERFACE_VERSION}"
            ));
        }
    }
    Ok(())
}

/// Refuses a file whose code has a hook that the component does not export. A file cut off between two of its last sections is a valid
/// component with fewer exports, and would run without its missing hooks. Compilers leave each export's name in the core code.
pub(crate) fn check_whole(shape: &Shape, wasm: &[u8]) -> Result<(), LoadError> {
    let exported =
        |interface: &str| shape.exports.iter().filter_map(|name| own(name)).any(|(name, _)| name == interface);
    let missing: Vec<(&str, &str)> = known_exports().filter(|(interface, _)| !exported(interface)).collect();
    let namespace = NAMESPACE.as_bytes();
    let mut rest = wasm;
    while let Some(at) = rest.windows(namespace.len()).position(|window| window == namespace) {
        rest = rest.get(at + namespace.len()..).unwrap_or_default();
        if let Some((interface, _)) =
            missing.iter().find(|(interface, function)| is_core_export(rest, interface, function))
        {
            return Err(LoadError::new(
                LoadErrorKind::Invalid,
                format!(
                    "has code for `{NAMESPACE}{interface}` but does not export it: the file is cut short; copy it again"
                ),
            ));
        }
    }
    Ok(())
}

/// Whether `text` begins with `INTERFACE@VERSION#FUNCTION`, the name of a core export.
fn is_core_export(text: &[u8], interface: &str, function: &str) -> bool {
    const LONGEST_VERSION: usize = 32;
    let Some(version) = text.strip_prefix(interface.as_bytes()).and_then(|rest| rest.strip_prefix(b"@")) else {
        return false;
    };
    let hash = version.iter().take(LONGEST_VERSION).position(|byte| *byte == b'#');
    hash.and_then(|hash| version.get(hash + 1..)).is_some_and(|rest| rest.starts_with(function.as_bytes()))
}

/// Compares every exported function with this host's types: they must be equal, field by field.
pub(crate) fn check_types(engine: &Engine, pre: &InstancePre<State>) -> Result<(), LoadError> {
    let ty = pre.component().component_type();
    for (name, item) in ty.exports(engine) {
        let Some((interface, _)) = own(name) else { continue };
        let Some((_, function)) = known_exports().find(|(known, _)| *known == interface) else { continue };
        let found = instance(item.ty)
            .and_then(|instance| instance.get_export(engine, function).map(|item| item.ty))
            .and_then(|item| match item {
                ComponentItem::ComponentFunc(func) => Some(func),
                _ => None,
            });
        let Some(found) = found else {
            return refuse_export(format!("exports `{name}` without its function `{function}`"));
        };
        if let Err(error) = same_type(interface, &found, pre) {
            return refuse_export(format!(
                "exports `{name}` in another shape than this host's {INTERFACE_VERSION}: {error:#}; build it against the unchanged interface"
            ));
        }
    }
    Ok(())
}

fn same_type(interface: &str, found: &ComponentFunc, pre: &InstancePre<State>) -> wasmtime::Result<()> {
    let cx = &pre.instance_type();
    match interface {
        ABOUT => found.typecheck::<(), (String,)>(cx),
        LIFECYCLE => found.typecheck::<(&str,), (Result<Option<Vec<String>>, lifecycle::Fault>,)>(cx),
        "on-request" => found.typecheck::<(), (Result<on_request::Verdict, types::Fault>,)>(cx),
        "on-route" => found.typecheck::<(u32,), (Result<on_route::Verdict, types::Fault>,)>(cx),
        "on-response" => found.typecheck::<(), (Result<on_response::Verdict, types::Fault>,)>(cx),
        "on-delta" => found.typecheck::<(&on_delta::Window,), (Result<on_delta::Verdict, types::Fault>,)>(cx),
        "on-finish" => found.typecheck::<(), (Result<(), types::Fault>,)>(cx),
        "on-complete" => found.typecheck::<(&[String],), (Result<(), types::Fault>,)>(cx),
        _ => Err(wasmtime::format_err!("unknown interface")),
    }
}
