//! Says what a file is, also when it would not load. For people at a terminal; the gateway itself compiles and loads.

use std::sync::Arc;
use std::time::Instant;

use crate::component::{Component, digest};
use crate::engine::{Config, Sandbox};
use crate::error::{LoadError, LoadErrorKind};
use crate::hook::HookSet;
use crate::instance::Instance;
use crate::kv::Grants;
use crate::limits::Limits;
use crate::load;
use crate::manifest::Manifest;
use crate::shape::Shape;
use crate::state::Common;

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
    /// What it says of itself. `None` where it says nothing, or nothing that can be read.
    pub manifest: Option<Manifest>,
    /// Why it would not load. `configure` and the dry run are not tried here: they need settings and grants.
    pub problem: Option<LoadError>,
}

/// Looks into a file with an engine of its own and asks it for its manifest. Takes as long as compiling it, and a thread of its own.
///
/// # Errors
/// Only where this machine cannot make an engine; what is wrong with the file is in [`Inspection::problem`].
pub fn inspect(wasm: &[u8]) -> Result<Inspection, LoadError> {
    let sandbox = Sandbox::new(Config { max_instances: 1, ..Config::default() })?;
    let mut shape = Shape::default();
    let found = sandbox.compiled(wasm).and_then(|component| {
        shape = Shape::read(&sandbox.0.engine, &component);
        let component = Component::new(&sandbox.0, wasm, component)?;
        if component.has_about() { ask(&sandbox, &component).map(Some) } else { Ok(None) }
    });
    let (manifest, problem) = match found {
        Ok(manifest) => (manifest, None),
        Err(problem) => (None, Some(problem)),
    };
    Ok(Inspection {
        digest: digest(wasm),
        size: wasm.len(),
        hooks: shape.hooks,
        has_about: shape.about,
        has_lifecycle: shape.lifecycle,
        imports: shape.imports,
        exports: shape.exports,
        uses_wasi: shape.wasi,
        manifest,
        problem,
    })
}

/// Starts the component and reads its manifest, on a runtime and a thread of its own, so that any thread may look into a file.
fn ask(sandbox: &Sandbox, component: &Component) -> Result<Manifest, LoadError> {
    let host =
        |what: &dyn std::fmt::Display| LoadError::new(LoadErrorKind::Host, format!("it cannot be started: {what}"));
    let asked = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            let runtime = runtime.map_err(|error| host(&error))?;
            runtime.block_on(async {
                let (name, limits) = ("this file", Limits::default());
                let common = Arc::new(Common::new(name.to_owned(), Grants::default()));
                let deadline = Instant::now() + limits.start;
                let started = Instance::start(&sandbox.0, component, &common, &limits, deadline).await;
                let mut instance = started.map_err(|refusal| LoadError::new(LoadErrorKind::Start, refusal.message))?;
                load::manifest(&mut instance, name, &limits).await
            })
        });
        asking.join()
    });
    asked.unwrap_or_else(|_| Err(host(&"the thread that asked it broke")))
}
