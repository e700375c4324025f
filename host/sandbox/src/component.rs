//! A compiled component that passed every check that needs no settings. Immutable, shared by all plugins made from one file.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use wasmtime::component::InstancePre;

use crate::bindings::hooks::{about, lifecycle, on_complete, on_delta, on_finish, on_request, on_response, on_route};
use crate::engine::Inner;
use crate::error::{LoadError, LoadErrorKind};
use crate::hook::{Hook, HookSet};
use crate::shape::{self, Shape};
use crate::state::State;

pub struct Component {
    digest: String,
    size: usize,
    shape: Shape,
    pub(crate) pre: InstancePre<State>,
    pub(crate) indices: Indices,
}

/// Where each exported function is found, looked up once. `None` means that the component's export list does not have it.
pub(crate) struct Indices {
    pub(crate) about: Option<about::GuestIndices>,
    pub(crate) lifecycle: Option<lifecycle::GuestIndices>,
    pub(crate) on_request: Option<on_request::GuestIndices>,
    pub(crate) on_route: Option<on_route::GuestIndices>,
    pub(crate) on_response: Option<on_response::GuestIndices>,
    pub(crate) on_delta: Option<on_delta::GuestIndices>,
    pub(crate) on_finish: Option<on_finish::GuestIndices>,
    pub(crate) on_complete: Option<on_complete::GuestIndices>,
}

impl Component {
    pub(crate) fn new(
        sandbox: &Inner,
        wasm: &[u8],
        component: wasmtime::component::Component,
    ) -> Result<Component, LoadError> {
        let shape = Shape::read(&sandbox.engine, &component);
        shape.check(&sandbox.engine, &component)?;
        shape::check_whole(&shape, wasm)?;
        let pre = sandbox.linker.instantiate_pre(&component).map_err(|error| {
            LoadError::new(
                LoadErrorKind::Import,
                format!("an import cannot be satisfied: {error:#}; build against WASI 0.2 and the unchanged plugin interface"),
            )
        })?;
        shape::check_types(&sandbox.engine, &pre)?;
        let indices = Indices::find(&pre, &shape).map_err(|error| {
            LoadError::new(LoadErrorKind::Export, format!("an export cannot be found again: {error:#}"))
        })?;
        Ok(Component { digest: digest(wasm), size: wasm.len(), shape, pre, indices })
    }

    /// `sha256:` and 64 hexadecimal digits, of the file's bytes.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The compiled code, for [`Sandbox::compile_from`](crate::Sandbox::compile_from) of a sandbox with the same
    /// [`engine_key`](crate::Sandbox::engine_key). A few times the size of the file.
    ///
    /// # Errors
    /// `Host`, if there is no memory for it.
    pub fn native(&self) -> Result<Vec<u8>, LoadError> {
        let code = self.pre.component().serialize().map_err(|error| {
            LoadError::new(LoadErrorKind::Host, format!("the compiled component cannot be copied: {error:#}"))
        })?;
        let mut out = Vec::with_capacity(self.digest.len() + code.len());
        out.extend_from_slice(self.digest.as_bytes());
        out.extend_from_slice(&code);
        Ok(out)
    }

    /// Of the file, in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The hooks that it exports; a plugin's settings may need fewer.
    pub fn hooks(&self) -> HookSet {
        self.shape.hooks
    }

    /// Every export by its whole name, versions included; those outside our namespace are ignored.
    pub fn exports(&self) -> &[String] {
        &self.shape.exports
    }

    /// Every import by its whole name.
    pub fn imports(&self) -> &[String] {
        &self.shape.imports
    }

    pub fn has_about(&self) -> bool {
        self.shape.about
    }

    pub fn has_lifecycle(&self) -> bool {
        self.shape.lifecycle
    }

    /// Whether it imports any of WASI.
    pub fn uses_wasi(&self) -> bool {
        self.shape.wasi
    }
}

pub(crate) fn digest(wasm: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, wasm);
    hash.as_ref().iter().fold("sha256:".to_owned(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Indices {
    fn find(pre: &InstancePre<State>, shape: &Shape) -> wasmtime::Result<Indices> {
        let has = |hook| shape.hooks.contains(hook);
        Ok(Indices {
            about: shape.about.then(|| about::GuestIndices::new(pre)).transpose()?,
            lifecycle: shape.lifecycle.then(|| lifecycle::GuestIndices::new(pre)).transpose()?,
            on_request: has(Hook::OnRequest).then(|| on_request::GuestIndices::new(pre)).transpose()?,
            on_route: has(Hook::OnRoute).then(|| on_route::GuestIndices::new(pre)).transpose()?,
            on_response: has(Hook::OnResponse).then(|| on_response::GuestIndices::new(pre)).transpose()?,
            on_delta: has(Hook::OnDelta).then(|| on_delta::GuestIndices::new(pre)).transpose()?,
            on_finish: has(Hook::OnFinish).then(|| on_finish::GuestIndices::new(pre)).transpose()?,
            on_complete: has(Hook::OnComplete).then(|| on_complete::GuestIndices::new(pre)).transpose()?,
        })
    }
}
