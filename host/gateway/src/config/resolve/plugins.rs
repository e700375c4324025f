//! `plugins:` and the block of one plugin, wherever it is written. Whether a component exists is the plugin directory's to say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::config::Overrides;
use crate::config::error::{At, Report};
use crate::config::file;
use crate::config::resolved::{
    Breaker, CREDENTIALS, Grants, KvGrant, Match, OnError, PluginBlock, PluginLimits, Plugins, Streams,
};
use crate::config::scalar::{Named, OneOrMany};
use crate::config::tree::shorten;

use super::{Context, bytes};

const LEAST_MEMORY: u64 = 1 << 20;
const MOST_MEMORY: u64 = 4 << 30;
const LEAST_KV: u64 = 64 << 10;
const MOST_KV: u64 = 1 << 30;
const WINDOW: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(600));
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(60));

impl Context<'_> {
    pub(super) fn plugins(&mut self, written: file::Plugins, at: At<'_>, overrides: &Overrides) -> Plugins {
        if written.dir.trim().is_empty() {
            self.report.error(at.key("dir").place(), "expected a directory, found an empty text");
        }
        for (i, name) in written.required.iter().enumerate() {
            plugin_name(name, at.key("required").item(i), self.report);
        }
        let mut chain = BTreeMap::new();
        let mut texts = BTreeMap::new();
        let chain_at = at.key("chain");
        for (name, written_block) in written.chain.0 {
            plugin_name(&name, chain_at.name(&name), self.report);
            let block = block(written_block, chain_at.key(&name), self.report);
            let required = written.required.iter().position(|required| *required == name);
            if let Some(i) = required.filter(|_| !block.enabled) {
                let place = at.key("required").item(i).place();
                self.report.error(place, format!("plugin `{}` is required, yet not enabled", shorten(&name)));
            }
            texts.extend(chain_at.key(&name).as_written().map(|text| (name.clone(), Arc::from(text))));
            chain.insert(name, block);
        }
        let dir = overrides.plugins_dir.clone().unwrap_or_else(|| self.dir.join(&written.dir));
        Plugins { dir, required: written.required, chain, written: texts }
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
        matching: matching(written.matching, at.key("match"), report),
        grants: grants(&written.grants, at.key("grants"), report),
        breaker: breaker(&written.breaker, at.key("breaker"), report),
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

fn matching(written: file::Match, at: At<'_>, report: &mut Report) -> Match {
    let mut list = |field: &str, patterns| patterns_of(patterns, at.key(field), report);
    let (model, operation) = (list("model", written.model), list("operation", written.operation));
    let (key, team) = (list("key", written.key), list("team", written.team));
    let header = headers(written.header, at.key("header"), report);
    Match { model, operation, key, team, label: labels(written.label, at.key("label"), report), header }
}

pub(super) fn headers(
    written: Named<OneOrMany<String>>,
    at: At<'_>,
    report: &mut Report,
) -> Vec<(HeaderName, Vec<String>)> {
    let mut header = Vec::new();
    for (name, patterns) in written.0 {
        let patterns = patterns_of(Some(patterns), at.key(&name), report);
        let here = at.name(&name);
        let Ok(parsed) = name.parse::<HeaderName>() else {
            report.error(here.place(), format!("`{}` is not a header's name", here.shown(&name)));
            continue;
        };
        if CREDENTIALS.contains(&parsed.as_str()) {
            let message = format!("`{parsed}` holds a credential, which nothing is chosen by");
            report.suggest(here.place(), message, "match the caller's `key`, `team` or `label`");
        }
        header.push((parsed, patterns));
    }
    header
}

pub(super) fn labels(written: Named<OneOrMany<String>>, at: At<'_>, report: &mut Report) -> Vec<(String, Vec<String>)> {
    let mut one = |(name, patterns): (String, _)| {
        let patterns = patterns_of(Some(patterns), at.key(&name), report);
        (name, patterns)
    };
    written.0.into_iter().map(&mut one).collect()
}

/// No list asks for nothing; an empty one, or an empty pattern, would fit no call and look like any.
pub(super) fn patterns_of(written: Option<OneOrMany<String>>, at: At<'_>, report: &mut Report) -> Vec<String> {
    let Some(OneOrMany(patterns)) = written else { return Vec::new() };
    if patterns.is_empty() && !at.is_broken() && !at.has_broken() {
        report.suggest(at.place(), "expected a pattern, found an empty list", "leave the field out to fit every call");
    }
    for (i, pattern) in patterns.iter().enumerate() {
        if pattern.trim().is_empty() {
            report.error(at.item(i).place(), "expected a pattern, found an empty text");
        }
    }
    patterns
}

fn grants(written: &file::Grants, at: At<'_>, report: &mut Report) -> Grants {
    let kv = written.kv.as_ref().map(|kv| {
        if !(LEAST_KV..=MOST_KV).contains(&kv.max.0) {
            report.error(at.key("kv").key("max").place(), "expected a size from 64KiB to 1GiB");
        }
        KvGrant { max: bytes(kv.max) }
    });
    Grants { kv }
}

fn breaker(written: &file::Breaker, at: At<'_>, report: &mut Report) -> Option<Breaker> {
    let mut check = |field: &str, value: Duration, (least, most): (Duration, Duration), range: &str| {
        if !(least..=most).contains(&value) {
            report.error(at.key(field).place(), format!("expected a duration {range}"));
        }
        value
    };
    let window = check("window", written.window.0, WINDOW, "from 100ms to 10m");
    let pause = check("pause", written.pause.0, PAUSE, "from 10ms to 60s");
    written.enabled.then_some(Breaker { errors: written.errors, min: written.min, window, pause })
}

/// The block of a plugin that nobody wrote one for.
pub(in crate::config) fn default_block() -> PluginBlock {
    block(file::PluginBlock::default(), At::nowhere(), &mut Report::default())
}
