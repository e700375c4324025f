//! From a checked component and its settings to a plugin that serves: start, manifest, configure, dry run.
//!
//! Whatever fails here fails before the plugin meets a call.

use std::sync::Arc;
use std::time::Instant;

use crate::canned::{COMPLETED, Canned, REPLY_TEXT};
use crate::clock::{Failure, guarded};
use crate::component::Component;
use crate::engine::Sandbox;
use crate::error::{ErrorKind, LoadError, LoadErrorKind};
use crate::explain::explain;
use crate::hook::{Hook, HookSet};
use crate::instance::{Instance, Refusal};
use crate::kv::{self, Grants};
use crate::limits::Limits;
use crate::manifest::Manifest;
use crate::plugin::Plugin;
use crate::state::Common;
use crate::verdict::{self, Window};
use crate::view::{Kind, Targets};

/// How a component is to be used.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    pub name: String,
    /// JSON. `None`: the operator gave none, which is `{}` to the plugin unless its manifest requires some.
    pub settings: Option<String>,
    pub limits: Limits,
    pub grants: Grants,
}

impl Sandbox {
    /// Runs guest code, yielding at every tick; needs a tokio runtime with timers. Takes at most `Limits::start` once for starting and
    /// `configure`, once for the manifest and once for each hook of the dry run.
    ///
    /// # Errors
    /// Every kind from `Memory` on.
    pub async fn load(&self, component: Arc<Component>, spec: Spec) -> Result<Arc<Plugin>, LoadError> {
        let Spec { name, settings, mut limits, grants } = spec;
        // The pool's slots are no larger; so the limit that a refusal names is the one that held.
        limits.memory = limits.memory.min(self.0.config.max_memory);
        check_memory(&component, &limits)?;
        // Until it is accepted nothing of the plugin is real: what it stores and counts is gone with the dry run.
        let rehearsal = Arc::new(Common::new(name.clone(), grants.rehearsed()));
        let deadline = Instant::now() + limits.start;
        let mut instance = Instance::start(&self.0, &component, &rehearsal, &limits, deadline)
            .await
            .map_err(|refusal| refused(refusal, LoadErrorKind::Start))?;
        let manifest = manifest(&mut instance, &name, &limits).await?;
        check_needs(&manifest, settings.is_some(), &grants)?;
        let settings = settings.unwrap_or_else(|| "{}".to_owned());
        let deadline = Instant::now() + limits.start;
        let wanted = instance
            .configure(&settings, &limits, deadline)
            .await
            .map_err(|refusal| refused(refusal, LoadErrorKind::Configure))?;
        let hooks = wanted_hooks(component.hooks(), wanted)?;
        for hook in hooks.iter() {
            dry_run(&mut instance, hook, &limits).await?;
        }
        // It has seen a call that never was; the plugin's calls start on others.
        drop(instance);
        let common = Arc::new(Common::new(name, grants));
        let plugin = Plugin::new(self.clone(), component, common, settings, limits, manifest, hooks);
        Ok(Arc::new(plugin))
    }
}

/// Whether the operator has given what the manifest says it cannot do without; all that is missing in one message.
fn check_needs(manifest: &Manifest, has_settings: bool, grants: &Grants) -> Result<(), LoadError> {
    let required = manifest.required_settings();
    let settings = (!has_settings && !required.is_empty())
        .then(|| format!("needs settings: {}; write them under `settings:` of the plugin", required.join(", ")));
    let missing = manifest.missing_grants(grants)?;
    let kind = if missing.is_empty() { LoadErrorKind::NeedsSettings } else { LoadErrorKind::NeedsGrant };
    let missing = missing.into_iter().map(|grant| {
        let reason = if grant.reason.is_empty() { String::new() } else { format!(" ({})", grant.reason) };
        format!("needs the grant `{}`{reason}; to allow it, add `{}` to the plugin", grant.name, kv::line(&grant.name))
    });
    let needs: Vec<String> = settings.into_iter().chain(missing).collect();
    if needs.is_empty() { Ok(()) } else { Err(LoadError::new(kind, needs.join("; "))) }
}

/// Says it in the operator's terms before the engine would in its own.
fn check_memory(component: &Component, limits: &Limits) -> Result<(), LoadError> {
    const PAGE: u64 = 64 << 10;
    let pages = component
        .pre
        .component()
        .resources_required()
        .and_then(|required| required.max_initial_memory_size)
        .unwrap_or(0);
    let bytes = pages.saturating_mul(PAGE);
    if bytes > limits.memory as u64 {
        return Err(LoadError::new(
            LoadErrorKind::Memory,
            format!("starts with {bytes} bytes of memory and its limit is {}; raise `limits.memory`", limits.memory),
        ));
    }
    Ok(())
}

fn refused(refusal: Refusal, otherwise: LoadErrorKind) -> LoadError {
    let kind = match refusal.kind {
        _ if refusal.settings => LoadErrorKind::Settings,
        ErrorKind::Memory => LoadErrorKind::Memory,
        ErrorKind::Overload => LoadErrorKind::Host,
        _ => otherwise,
    };
    LoadError::new(kind, refusal.message)
}

pub(crate) async fn manifest(instance: &mut Instance, name: &str, limits: &Limits) -> Result<Manifest, LoadError> {
    let Some(guest) = &instance.guests.about else { return Ok(Manifest::absent(name)) };
    let deadline = Instant::now() + limits.start;
    instance.store.data_mut().deadline = deadline;
    instance.store.set_epoch_deadline(1);
    match guarded(&instance.ticker, deadline, guest.call_manifest(&mut instance.store)).await {
        Ok(text) => Manifest::parse(&text, name),
        Err(failure) => {
            let (_, message) = explain(&failure, instance.store.data(), "`about.manifest`", limits.start);
            Err(LoadError::new(LoadErrorKind::Manifest, message))
        }
    }
}

/// Absent: all; a name that is no exported hook is a mistake that would leave calls unguarded.
fn wanted_hooks(exported: HookSet, wanted: Option<Vec<String>>) -> Result<HookSet, LoadError> {
    let Some(wanted) = wanted else { return Ok(exported) };
    wanted
        .iter()
        .map(|name| {
            Hook::parse(name).filter(|hook| exported.contains(*hook)).ok_or_else(|| {
                let name = crate::manifest::printable(name, 64);
                LoadError::new(
                    LoadErrorKind::Configure,
                    format!("`lifecycle.configure` asked for the hook `{name}`; the component exports: {exported}"),
                )
            })
        })
        .collect()
}

/// One hook on the canned call: a denial or a fault is an answer, anything else refuses the file.
async fn dry_run(instance: &mut Instance, hook: Hook, limits: &Limits) -> Result<(), LoadError> {
    let deadline = Instant::now() + limits.start;
    instance.begin(hook, Box::new(Canned), deadline);
    // Nobody made this call: a line about it would count as one about a real one.
    instance.store.data_mut().logs_left = 0;
    let ended = run_canned(instance, hook, deadline).await;
    instance.store.data_mut().end();
    let message = match ended {
        Ok(None) => return Ok(()),
        Ok(Some(why)) => format!("`{hook}`: {why}"),
        Err(failure) => explain(&failure, instance.store.data(), &format!("`{hook}`"), limits.start).1,
    };
    Err(LoadError::new(LoadErrorKind::DryRun, format!("failed on a plain call: {message}; fix the plugin")))
}

/// What is wrong with the verdict, if anything.
async fn run_canned(instance: &mut Instance, hook: Hook, deadline: Instant) -> Result<Option<String>, Failure> {
    let Instance { store, guests, ticker, .. } = instance;
    match hook {
        Hook::OnRequest => {
            let Some(guest) = &guests.on_request else { return Ok(None) };
            let given = guarded(ticker, deadline, guest.call_on_request(store)).await?;
            Ok(given.ok().and_then(|given| verdict::request(given).err()))
        }
        Hook::OnRoute => {
            let Some(guest) = &guests.on_route else { return Ok(None) };
            let count = Canned.count();
            let given = guarded(ticker, deadline, guest.call_on_route(store, count)).await?;
            Ok(given.ok().and_then(|given| verdict::route(given, count).err()))
        }
        Hook::OnResponse => {
            let Some(guest) = &guests.on_response else { return Ok(None) };
            let given = guarded(ticker, deadline, guest.call_on_response(store)).await?;
            Ok(given.ok().and_then(|given| verdict::response(given).err()))
        }
        Hook::OnDelta => {
            let Some(guest) = &guests.on_delta else { return Ok(None) };
            let window =
                Window { choice: 0, part: 0, kind: Kind::Text, name: None, text: REPLY_TEXT.to_owned(), last: true };
            let given = guarded(ticker, deadline, guest.call_on_delta(store, &window.into())).await?;
            Ok(given.ok().and_then(|given| verdict::delta(given).err()))
        }
        Hook::OnFinish => {
            let Some(guest) = &guests.on_finish else { return Ok(None) };
            guarded(ticker, deadline, guest.call_on_finish(store)).await?.ok();
            Ok(None)
        }
        Hook::OnComplete => {
            let Some(guest) = &guests.on_complete else { return Ok(None) };
            let batch = [COMPLETED.to_owned()];
            guarded(ticker, deadline, guest.call_on_complete(store, &batch)).await?.ok();
            Ok(None)
        }
    }
}
