//! The registry of metrics, which remembers what was registered: the reference in `docs/metrics.md` is made from it, and a metric that
//! nobody has counted yet, which a page of metrics does not show, is in it too.

use std::sync::{Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{Error, Registry};

/// One metric, as its reference shows it.
#[derive(Clone, Debug)]
pub struct Listed {
    pub name: String,
    pub kind: &'static str,
    pub labels: Vec<String>,
    pub help: String,
}

#[derive(Default)]
pub struct Book {
    registry: Registry,
    listed: Mutex<Vec<Listed>>,
}

impl Book {
    /// As [`Registry::register`].
    pub fn register(&self, collector: Box<dyn Collector>) -> Result<(), Error> {
        let kind = match collector.collect().first().map(MetricFamily::get_field_type) {
            Some(MetricType::COUNTER) => "counter",
            Some(MetricType::HISTOGRAM) => "histogram",
            _ => "gauge",
        };
        let listed = collector.desc().into_iter().map(|desc| Listed {
            name: desc.fq_name.clone(),
            kind,
            labels: desc.variable_labels.clone(),
            help: desc.help.clone(),
        });
        self.listed.lock().unwrap_or_else(PoisonError::into_inner).extend(listed);
        self.registry.register(collector)
    }

    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// Every metric there is, by name.
    pub fn list(&self) -> Vec<Listed> {
        let mut all = self.listed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use super::super::metrics::Metrics;

    const INTRODUCTION: &str = "\
# Metrics

Made from the program's own list; do not edit. `GET /metrics` gives them in the Prometheus text format, to a caller with a key or the
admin token, or from this machine where neither is configured.

Every label takes its values from the configuration or from a fixed list, never from what a client writes: no model name, header, path
or user can make a new series. `target` is `PROVIDER/MODEL` where the configuration names the model, else `PROVIDER/*`; `provider` is the name of a configured provider, empty for calls that asked none; `plugin` the name of a
plugin; `key` of a provider's key; `hook`, `kind` (of a failure), `outcome` and `class` (of tokens or of an attempt) are words of Sluice's own; `name` is what a plugin counts with
`host.count`, at most 32 names each. A metric with labels appears with the first value it takes.

**Whose time is it?** `sluice_overhead_seconds`, `overhead_us` in the access log and `sluice;dur=` in the `server-timing` header of a
reply are the time of a call from the first byte of its request to the end of its reply, less two kinds of waiting: for the provider
(`upstream;dur=`: connecting, its head, its body) and for the client (for the rest of a request that did not arrive in one piece, and for
a client that takes the events of a stream more slowly than they come). Parsing, plugins, routing, translation and the event loop's own
delays are all in it. A stream's header tells what was known when its head went out. Calls that were broken off in the middle of such a
wait (the client left, the gateway stopped) are not counted: how much of it was waiting is not known.

| metric | kind | labels | |
|---|---|---|---|
";

    #[test]
    fn the_reference_is_up_to_date() {
        let mut text = INTRODUCTION.to_owned();
        for metric in Metrics::new().unwrap().list() {
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            writeln!(text, "| `{}` | {} | {} | {} |", metric.name, metric.kind, labels.join(", "), metric.help)
                .unwrap();
        }
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
        if std::env::var_os("SLUICE_BLESS").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let there = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            there == text,
            "docs/metrics.md is out of date: run the tests once with SLUICE_BLESS=1 to write it anew"
        );
    }

    #[test]
    fn names_and_labels_are_as_prometheus_wants_them() {
        let all = Metrics::new().unwrap().list();
        assert!(all.len() >= 10, "{all:?}");
        for metric in &all {
            assert!(metric.name.starts_with("sluice_"), "{metric:?}");
            assert_eq!(metric.name.ends_with("_total"), metric.kind == "counter", "{metric:?}");
            assert!(metric.help.ends_with('.') && metric.help.len() > 10, "{metric:?}");
        }
    }
}
