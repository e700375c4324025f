//! `plugins:` and the block of one plugin, wherever it is written. Whether a component exists is the plugin directory's to say.

use std::collections::BTreeMap;

use crate::config::Overrides;
use crate::config::error::{At, Report};
use crate::config::file;
use crate::config::resolved::{OnError, PluginBlock, PluginLimits, Plugins, Streams};
use crate::config::tree::shorten;

use super::{Context, bytes};

const LEAST_MEMORY: u64 = 1 << 20;
const MOST_MEMORY: u64 = 4 << 30;

impl Context<'_> {
    pub(super) fn plugins(&mut self, written: file::Plugins, at: At<'_>, overrides: &Overrides) -> Plugins {
        if written.dir.trim().is_empty() {
            self.report.error(at.key("dir").place(), "expected a directory, found an empty text");
        }
        for (i, name) in written.required.iter().enumerate() {
            plugin_name(name, at.key("required").item(i), self.report);
        }
        let mut chain = BTreeMap::new();
        let chain_at = at.key("chain");
        for (name, written_block) in written.chain.0 {
            plugin_name(&name, chain_at.name(&name), self.report);
            let block = block(written_block, chain_at.key(&name), self.report);
            let required = written.required.iter().position(|required| *required == name);
            if let Some(i) = required.filter(|_| !block.enabled) {
                let place = at.key("required").item(i).place();
                self.report.error(place, format!("plugin `{}` is required, yet not enabled", shorten(&name)));
            }
            chain.insert(name, block);
        }
        let dir = overrides.plugins_dir.clone().unwrap_or_else(|| self.dir.join(&written.dir));
        Plugins { dir, required: written.required, chain }
    }
}

/// A plugin's name is a file's stem, so it must not lead out of the directory.
fn plugin_name(name: &str, at: At<'_>, report: &mut Report) {
    let bad =
        name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) || name.chars().any(char::is_control);
    if bad || name.len() > 128 {
        report.error(at.place(), format!("`{}` cannot be a plugin's name", at.shown(name)));
    } else if let Some(stem) = name.strip_suffix(".wasm") {
        report.suggest(at.place(), "a plugin's name has no `.wasm`", format!("did you mean `{}`?", shorten(stem)));
    }
}

pub(super) fn block(written: file::PluginBlock, at: At<'_>, report: &mut Report) -> PluginBlock {
    if let Some(component) = &written.component {
        let at = at.key("component");
        let stem = component.strip_suffix(".wasm").unwrap_or_default();
        if stem.is_empty() || component.starts_with('.') || component.contains(['/', '\\']) {
            let message = format!("expected a file in the plugin directory, found `{}`", at.shown(component));
            report.suggest(at.place(), message, "write it as `NAME.wasm`");
        }
    }
    let memory = written.limits.memory.0;
    if !(LEAST_MEMORY..=MOST_MEMORY).contains(&memory) {
        report.error(at.key("limits").key("memory").place(), "expected a size from 1MiB to 4GiB");
    }
    let limits = &written.limits;
    PluginBlock {
        component: written.component,
        order: written.order,
        enabled: written.enabled,
        on_error: written.on_error.map(|on_error| match on_error {
            file::OnError::Closed => OnError::Closed,
            file::OnError::Open => OnError::Open,
        }),
        streams: written.streams.map(|streams| match streams {
            file::Streams::Hold => Streams::Hold,
            file::Streams::Skip => Streams::Skip,
            file::Streams::Refuse => Streams::Refuse,
        }),
        settings: written.settings.map(|settings| settings.to_string()),
        limits: PluginLimits {
            wall: limits.wall.0,
            delta: limits.delta.0,
            start: limits.start.0,
            memory: bytes(limits.memory),
            concurrency: limits.concurrency as usize,
        },
    }
}

/// The block of a plugin that nobody wrote one for.
pub(in crate::config) fn default_block() -> PluginBlock {
    block(file::PluginBlock::default(), At::nowhere(), &mut Report::default())
}
