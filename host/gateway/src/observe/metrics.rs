//! Every metric of the gateway: one list of names, handles resolved before the first call.
//!
//! Label sets are bounded: providers and plugins come from the configuration, everything else from the enums here. A model name or
//! anything else that a client writes is never a label.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    TextEncoder,
};
use serde_json::{Value, json};
use sluice_dialect::usage::Usage;
use sluice_sandbox::{ErrorKind, Hook};

use super::book::{Book, Listed};
use super::record::Outcome;
use super::targets::Gauges;

const FAST: &[f64] = &[5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 5e-2, 0.1, 0.5, 1.0];
const SLOW: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const HOOK: &[f64] = &[1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 0.5, 2.0];

/// At most this many names a plugin may make with `host.count`.
const COUNT_NAMES: usize = 32;

pub struct Metrics {
    registry: Book,
    requests: IntCounterVec,
    tokens: IntCounterVec,
    plugin_seconds: HistogramVec,
    plugin_errors: IntCounterVec,
    plugin_counts: IntCounterVec,
    plugin_rollbacks: IntCounterVec,
    breaker_open: IntGaugeVec,
    kv_bytes: IntGaugeVec,
    kv_evictions: IntCounterVec,
    pub overhead: Histogram,
    pub first_token: Histogram,
    pub in_flight: IntGauge,
    pub log_dropped: IntCounter,
    /// Calls that no `on-finish`, and documents that no `on-complete`, will see.
    pub finish_dropped: IntCounter,
    pub complete_dropped: IntCounter,
    pub stale_config: IntGauge,
    pub stale_plugins: IntGauge,
    pub config_generations: IntGauge,
    pub generation: IntGauge,
    pub generations: IntGauge,
    pub targets: Gauges,
    plugins: Mutex<BTreeMap<String, Arc<PluginMetrics>>>,
}

/// The counters of calls to one provider.
pub struct ProviderMetrics {
    requests: [IntCounter; Outcome::ALL.len()],
    tokens: [IntCounter; 5],
}

/// The counters of one plugin; they outlive its versions.
pub struct PluginMetrics {
    seconds: [Histogram; Hook::ALL.len()],
    errors: [IntCounter; ErrorKind::ALL.len()],
    counts: IntCounterVec,
    rollbacks: IntCounter,
    name: String,
    names: Mutex<BTreeMap<String, IntCounter>>,
    last_error: Mutex<Option<String>>,
    /// Breakers of the plugin that are not closed; those of earlier versions count while calls end on them.
    pub breaker_open: IntGauge,
    pub kv: KvMetrics,
}

/// What operators see of a plugin's keys and values.
#[derive(Clone)]
pub struct KvMetrics {
    pub bytes: IntGauge,
    pub evictions: IntCounter,
}

impl Metrics {
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Book::default();
        let counters = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| -> Result<Histogram, prometheus::Error> {
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok(histogram)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let gauges = |name: &str, help: &str| -> Result<IntGaugeVec, prometheus::Error> {
            let gauge = IntGaugeVec::new(Opts::new(name, help), &["plugin"])?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let plugin_seconds = HistogramVec::new(
            HistogramOpts::new("sluice_plugin_seconds", "Time of one hook of one plugin.").buckets(HOOK.to_vec()),
            &["plugin", "hook"],
        )?;
        registry.register(Box::new(plugin_seconds.clone()))?;
        let log_dropped = IntCounter::new("sluice_log_lines_dropped_total", "Access-log lines lost to a slow reader.")?;
        registry.register(Box::new(log_dropped.clone()))?;
        let finish_dropped = counters(
            "sluice_finish_dropped_total",
            "Finished calls that found no room in the queue of a hook.",
            &["hook"],
        )?;
        let stale = IntGaugeVec::new(
            Opts::new("sluice_config_stale", "What serves an earlier version because its file is bad."),
            &["kind"],
        )?;
        registry.register(Box::new(stale.clone()))?;
        Ok(Metrics {
            finish_dropped: finish_dropped.with_label_values(&[Hook::OnFinish.as_str()]),
            complete_dropped: finish_dropped.with_label_values(&[Hook::OnComplete.as_str()]),
            requests: counters("sluice_requests_total", "Calls by provider and outcome.", &["provider", "outcome"])?,
            tokens: counters("sluice_tokens_total", "Tokens as providers report them.", &["provider", "class"])?,
            plugin_errors: counters("sluice_plugin_errors_total", "Hooks that failed.", &["plugin", "kind"])?,
            plugin_counts: counters("sluice_plugin_count_total", "Counted by plugins.", &["plugin", "name"])?,
            plugin_rollbacks: counters(
                "sluice_plugin_rollbacks_total",
                "New versions that failed too often and were taken back.",
                &["plugin"],
            )?,
            breaker_open: gauges("sluice_plugin_breaker_open", "Circuit breakers of a plugin that are not closed.")?,
            kv_bytes: gauges("sluice_kv_bytes", "What a plugin's keys and values take.")?,
            kv_evictions: counters("sluice_kv_evictions_total", "Keys dropped for want of room.", &["plugin"])?,
            overhead: histogram(
                "sluice_overhead_seconds",
                "Time of a call, less waiting for provider and client; not of calls that broke off.",
                FAST,
            )?,
            first_token: histogram(
                "sluice_time_to_first_token_seconds",
                "From a streamed call's arrival to its first released content.",
                SLOW,
            )?,
            in_flight: gauge("sluice_calls_in_flight", "Calls being served.")?,
            stale_config: stale.with_label_values(&["config"]),
            stale_plugins: stale.with_label_values(&["plugin"]),
            config_generations: gauge(
                "sluice_config_generations",
                "Configurations that are in force or still serve calls that began under them.",
            )?,
            generations: gauge(
                "sluice_chain_generations",
                "Plugin chains that are live or still serve calls that began on them.",
            )?,
            generation: gauge("sluice_chain_generation", "Number of the live plugin chain.")?,
            plugin_seconds,
            log_dropped,
            plugins: Mutex::new(BTreeMap::new()),
            targets: Gauges::new(&registry)?,
            registry,
        })
    }

    pub fn provider(&self, name: &str) -> ProviderMetrics {
        ProviderMetrics {
            requests: Outcome::ALL.map(|outcome| self.requests.with_label_values(&[name, outcome.as_str()])),
            tokens: Usage::CLASSES.map(|class| self.tokens.with_label_values(&[name, class])),
        }
    }

    /// The same handles for every version of a plugin, so that a reload does not lose counts.
    pub fn plugin(&self, name: &str) -> Arc<PluginMetrics> {
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        let made = plugins.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(PluginMetrics {
                seconds: Hook::ALL.map(|hook| self.plugin_seconds.with_label_values(&[name, hook.as_str()])),
                errors: ErrorKind::ALL.map(|kind| self.plugin_errors.with_label_values(&[name, kind.as_str()])),
                counts: self.plugin_counts.clone(),
                rollbacks: self.plugin_rollbacks.with_label_values(&[name]),
                name: name.to_owned(),
                names: Mutex::new(BTreeMap::new()),
                last_error: Mutex::new(None),
                breaker_open: self.breaker_open.with_label_values(&[name]),
                kv: KvMetrics {
                    bytes: self.kv_bytes.with_label_values(&[name]),
                    evictions: self.kv_evictions.with_label_values(&[name]),
                },
            })
        });
        Arc::clone(made)
    }

    /// Every metric there is, whether it has been counted or not.
    pub fn list(&self) -> Vec<Listed> {
        self.registry.list()
    }

    /// Prometheus text format.
    pub fn render(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 * 1024);
        // Writing to memory cannot fail; a broken metric would show as an empty page.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut out);
        out
    }
}

impl ProviderMetrics {
    pub fn ended(&self, outcome: Outcome, usage: Option<&Usage>) {
        if let Some(counter) = self.requests.get(outcome as usize) {
            counter.inc();
        }
        if let Some(usage) = usage {
            for (counter, amount) in self.tokens.iter().zip(usage.classes()).filter(|(_, amount)| *amount > 0) {
                counter.inc_by(amount);
            }
        }
    }
}

impl ProviderMetrics {
    /// Calls by outcome and tokens by class, without those that never occurred.
    pub fn render(&self) -> Value {
        let counts = |names: &[&str], counters: &[IntCounter]| -> serde_json::Map<String, Value> {
            let pairs = names.iter().zip(counters).map(|(name, counter)| ((*name).to_owned(), counter.get()));
            pairs.filter(|(_, count)| *count > 0).map(|(name, count)| (name, json!(count))).collect()
        };
        let outcomes = Outcome::ALL.map(Outcome::as_str);
        json!({ "calls": counts(&outcomes, &self.requests), "tokens": counts(&Usage::CLASSES, &self.tokens) })
    }
}

impl PluginMetrics {
    /// `spent` is zero for a hook that was not run, which is none.
    pub fn ran(&self, hook: Hook, spent: Duration) {
        if spent.is_zero() {
            return;
        }
        if let Some(histogram) = self.seconds.get(hook as usize) {
            histogram.observe(spent.as_secs_f64());
        }
    }

    pub fn failed(&self, kind: ErrorKind, message: &str) {
        if let Some(counter) = self.errors.get(kind as usize) {
            counter.inc();
        }
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{}: {message}", kind.as_str()));
    }

    /// A hook was not run because the breaker is open.
    pub fn not_run(&self) {
        if let Some(counter) = self.errors.get(ErrorKind::BreakerOpen as usize) {
            counter.inc();
        }
    }

    /// A version was taken back.
    pub fn rolled_back(&self) {
        self.rollbacks.inc();
    }

    pub fn count(&self, name: &str, by: u64) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = names.get(name) {
            counter.inc_by(by);
        } else if names.len() < COUNT_NAMES {
            let counter = self.counts.with_label_values(&[self.name.as_str(), name]);
            counter.inc_by(by);
            names.insert(name.to_owned(), counter);
        }
    }

    /// For `/api/plugins`.
    pub fn render(&self) -> Value {
        let hooks: serde_json::Map<String, Value> = Hook::ALL
            .iter()
            .zip(&self.seconds)
            .map(|(hook, seconds)| {
                let (count, sum) = (seconds.get_sample_count(), seconds.get_sample_sum());
                let mean = if count == 0 { 0.0 } else { sum * 1e6 / count as f64 };
                (hook.as_str().to_owned(), json!({ "runs": count, "mean_us": (mean * 100.0).round() / 100.0 }))
            })
            .collect();
        let errors: serde_json::Map<String, Value> = ErrorKind::ALL
            .iter()
            .zip(&self.errors)
            .map(|(kind, counter)| (kind.as_str().to_owned(), json!(counter.get())))
            .collect();
        let last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        json!({ "hooks": hooks, "errors": errors, "last_error": last })
    }
}
