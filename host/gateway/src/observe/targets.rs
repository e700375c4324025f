//! Metrics of targets and of providers' keys, whose names come from the configuration alone. What they stand for is `routing`'s and the
//! providers'; here it is only shown.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGaugeVec, Opts};

use super::book::Book;
use super::record::{Attempt, Class};

/// What is told of all targets and keys together, made anew for each look: those that are gone are not told of any more.
pub struct Gauges {
    up: IntGaugeVec,
    in_flight: IntGaugeVec,
    first_token: GaugeVec,
    key_up: IntGaugeVec,
    attempts: IntCounterVec,
    /// Two looks at once must not see each other's half.
    looking: Mutex<()>,
}

/// One target, as it is told of.
pub struct Seen<'a> {
    pub target: &'a str,
    /// Calls go to it.
    pub up: bool,
    pub in_flight: u32,
    pub first_token: Option<Duration>,
}

impl Gauges {
    pub fn new(book: &Book) -> Result<Gauges, prometheus::Error> {
        let gauges = |name: &str, help: &str, labels: &[&str]| -> Result<IntGaugeVec, prometheus::Error> {
            let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
            book.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let first_token = GaugeVec::new(
            Opts::new("sluice_target_first_token_seconds", "Time to a target's first token, a peak average of late."),
            &["target"],
        )?;
        book.register(Box::new(first_token.clone()))?;
        let attempts = IntCounterVec::new(
            Opts::new("sluice_attempts_total", "Attempts at a target by how they went."),
            &["target", "class"],
        )?;
        book.register(Box::new(attempts.clone()))?;
        Ok(Gauges {
            up: gauges(
                "sluice_target_up",
                "1 where calls go to the target, 0 while it is ejected or drained.",
                &["target"],
            )?,
            in_flight: gauges("sluice_target_in_flight", "Attempts at a target that are under way.", &["target"])?,
            key_up: gauges(
                "sluice_provider_key_up",
                "1 where the key of a provider is used, 0 while it is out or cools down.",
                &["provider", "key"],
            )?,
            first_token,
            attempts,
            looking: Mutex::new(()),
        })
    }

    /// Sets all of them to what is so now, then does `look`.
    pub fn show<'a, T>(
        &self,
        targets: impl Iterator<Item = Seen<'a>>,
        keys: impl Iterator<Item = (&'a str, String, bool)>,
        look: impl FnOnce() -> T,
    ) -> T {
        let _one = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        self.up.reset();
        self.in_flight.reset();
        self.first_token.reset();
        self.key_up.reset();
        for seen in targets {
            self.up.with_label_values(&[seen.target]).set(i64::from(seen.up));
            self.in_flight.with_label_values(&[seen.target]).set(i64::from(seen.in_flight));
            if let Some(first) = seen.first_token {
                self.first_token.with_label_values(&[seen.target]).set(first.as_secs_f64());
            }
        }
        for (provider, key, up) in keys {
            self.key_up.with_label_values(&[provider, key.as_str()]).set(i64::from(up));
        }
        look()
    }

    /// The counters of these targets, resolved before the first call.
    pub fn tries<'a>(&self, targets: impl Iterator<Item = &'a Arc<str>>) -> Tries {
        let counters =
            |name: &Arc<str>| Class::ALL.map(|class| self.attempts.with_label_values(&[name, class.as_str()]));
        Tries(targets.map(|name| (Arc::clone(name), counters(name))).collect())
    }
}

/// Counters of attempts, by target and class.
#[derive(Default)]
pub struct Tries(HashMap<Arc<str>, [IntCounter; Class::ALL.len()]>);

impl Tries {
    /// Counts one that is over. One at a target that no configuration names (the demo provider's) is not counted.
    pub fn count(&self, attempt: &Attempt) {
        if let Some(counter) = self.0.get(&attempt.target).and_then(|counters| counters.get(attempt.class as usize)) {
            counter.inc();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn names(book: &Book) -> Vec<String> {
        let families = book.gather();
        let series = families.iter().flat_map(|family| {
            family.get_metric().iter().map(|metric| {
                let labels: Vec<_> = metric.get_label().iter().map(prometheus::proto::LabelPair::value).collect();
                format!("{} {} {}", family.name(), labels.join(" "), metric.get_gauge().get_value())
            })
        });
        series.collect()
    }

    #[test]
    fn what_is_gone_is_not_told_of_any_more() {
        let book = Book::default();
        let gauges = Gauges::new(&book).unwrap();
        let seen = |target, up| Seen { target, up, in_flight: 2, first_token: Some(Duration::from_millis(500)) };
        let first = gauges.show(
            [seen("a/x", true), seen("b/y", false)].into_iter(),
            [("a", "main".to_owned(), false)].into_iter(),
            || names(&book),
        );
        for part in [
            "sluice_target_up a/x 1",
            "sluice_target_up b/y 0",
            "sluice_target_in_flight a/x 2",
            "sluice_target_first_token_seconds b/y 0.5",
        ] {
            assert!(first.iter().any(|line| line == part), "{part}: {first:?}");
        }
        assert!(
            first.iter().any(|line| line.starts_with("sluice_provider_key_up ") && line.ends_with(" 0")),
            "{first:?}"
        );
        let second = gauges.show([seen("a/x", true)].into_iter(), [].into_iter(), || names(&book));
        assert!(!second.iter().any(|line| line.contains("b/y") || line.contains("key_up")), "{second:?}");
    }

    #[test]
    fn attempts_are_counted_by_target_and_class() {
        let gauges = Gauges::new(&Book::default()).unwrap();
        let name: Arc<str> = "a/x".into();
        let tries = gauges.tries([&name].into_iter());
        let attempt = |target: &str, class| Attempt { target: target.into(), class, ..Attempt::default() };
        for class in [Class::Ok, Class::Timeout, Class::Ok] {
            tries.count(&attempt("a/x", class));
        }
        tries.count(&attempt("nobody/x", Class::Ok));
        let count = |class: Class| gauges.attempts.with_label_values(&["a/x", class.as_str()]).get();
        assert_eq!([count(Class::Ok), count(Class::Timeout), count(Class::Error)], [2, 1, 0]);
    }
}
