//! Says what a file is, also when it would not load. For people at a terminal; the gateway itself compiles and loads.

use crate::component::{Component, digest};
use crate::engine::{Config, Sandbox};
use crate::error::LoadError;
use crate::hook::HookSet;
use crate::shape::Shape;

/// What a file is. Where it is no component at all, the lists are empty and `problem` says why.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// `sha256:` and hexadecimal digits.
    pub digest: String,
    /// Bytes.
    pub size: usize,
    pub hooks: HookSet,
    pub has_about: bool,
    pub has_lifecycle: bool,
    /// Whole names, versions included.
    pub imports: Vec<String>,
    pub exports: Vec<String>,
    pub uses_wasi: bool,
    /// Why it would not load. Starting it, `configure` and the dry run are not tried here: they need settings.
    pub problem: Option<LoadError>,
}

/// Looks into a file with an engine of its own. Takes as long as compiling it.
///
/// # Errors
/// Only where this machine cannot make an engine; what is wrong with the file is in [`Inspection::problem`].
pub fn inspect(wasm: &[u8]) -> Result<Inspection, LoadError> {
    let sandbox = Sandbox::new(Config { max_instances: 1, ..Config::default() })?;
    let mut shape = Shape::default();
    let problem = sandbox
        .compiled(wasm)
        .and_then(|component| {
            shape = Shape::read(&sandbox.0.engine, &component);
            Component::new(&sandbox.0, wasm, component)
        })
        .err();
    Ok(Inspection {
        digest: digest(wasm),
        size: wasm.len(),
        hooks: shape.hooks,
        has_about: shape.about,
        has_lifecycle: shape.lifecycle,
        imports: shape.imports,
        exports: shape.exports,
        uses_wasi: shape.wasi,
        problem,
    })
}
