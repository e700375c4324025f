//! Which calls a plugin's `match` fits, and a small memory of what such answers led to. What follows from them is the chain's (`chain`).

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderMap;

use crate::config::{Match, glob};
use crate::governance::caller::Caller;

/// What is known of a call before any plugin has run.
pub struct CallFacts<'a> {
    pub operation: &'a str,
    /// The names of the model: as the client wrote it, and as `provider/model`. Empty where the call names none.
    pub models: &'a [String],
    pub caller: Option<&'a Caller>,
    pub headers: &'a HeaderMap,
}

impl CallFacts<'_> {
    /// Everything that `wanted` asks for holds. What the call does not have (an anonymous caller's key, a header that was not sent) fits
    /// no pattern.
    pub fn fit(&self, wanted: &Match) -> bool {
        let caller = self.caller;
        let asked = |patterns: &[String], found: Option<&str>| {
            patterns.is_empty() || found.is_some_and(|found| matches(patterns, found))
        };
        asked(&wanted.operation, Some(self.operation))
            && asked(&wanted.key, caller.map(|caller| &*caller.key))
            && asked(&wanted.team, caller.and_then(|caller| caller.team.as_deref()))
            && (wanted.model.is_empty() || self.models.iter().any(|model| matches(&wanted.model, model)))
            && wanted.label.iter().all(|(name, patterns)| {
                caller.and_then(|caller| caller.label(name)).is_some_and(|value| matches(patterns, value))
            })
            && wanted.header.iter().all(|(name, patterns)| {
                let mut values = self.headers.get_all(name).iter();
                values.any(|value| matches(patterns, &String::from_utf8_lossy(value.as_bytes())))
            })
    }
}

fn matches(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| glob(pattern, text))
}

/// Results kept by which conditions fitted. What decides is partly in clients' hands (model, headers), so their number must not be.
const KEPT: usize = 32;

/// The last few distinct results, read without a lock.
pub struct Kept<T>(ArcSwap<Vec<(Vec<bool>, Arc<T>)>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Kept(ArcSwap::default())
    }
}

impl<T> Kept<T> {
    /// The result for `fits`, made if it is not kept; the oldest one goes where there are too many.
    pub fn get_or_make(&self, fits: Vec<bool>, make: impl FnOnce(&[bool]) -> T) -> Arc<T> {
        if let Some((_, found)) = self.0.load().iter().find(|(key, _)| *key == fits) {
            return Arc::clone(found);
        }
        let made = Arc::new(make(&fits));
        self.0.rcu(|kept| {
            // Another thread may have been here first: two of one kind would do no harm, yet fill the list.
            let others: Vec<_> = kept.iter().filter(|(key, _)| *key != fits).collect();
            let room = others.len().saturating_sub(KEPT - 1);
            others.into_iter().skip(room).cloned().chain([(fits.clone(), Arc::clone(&made))]).collect::<Vec<_>>()
        });
        made
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::config::ClientKey;

    fn list(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(ToString::to_string).collect()
    }

    fn caller() -> Caller {
        Caller::from(&ClientKey {
            name: "search-prod".into(),
            team: Some("search".into()),
            labels: [("region".to_owned(), "eu".to_owned())].into(),
            ..ClientKey::default()
        })
    }

    fn fits(wanted: &Match, caller: Option<&Caller>) -> bool {
        let mut headers = HeaderMap::new();
        headers.append("x-app", "one".parse().unwrap());
        headers.append("x-app", "two".parse().unwrap());
        let models = list(&["fast", "openai/gpt-4o"]);
        CallFacts { operation: "chat", models: &models, caller, headers: &headers }.fit(wanted)
    }

    #[test]
    fn each_condition_fits_by_any_of_its_patterns() {
        let (caller, any) = (caller(), Match::default());
        let label = |value: &str| vec![("region".to_owned(), list(&[value]))];
        let header = |name: &'static str, value: &str| vec![(http::HeaderName::from_static(name), list(&[value]))];
        for (wanted, due) in [
            (any.clone(), true),
            (Match { model: list(&["x", "openai/*"]), ..any.clone() }, true),
            (Match { model: list(&["fast"]), ..any.clone() }, true),
            (Match { model: list(&["gpt-4o"]), ..any.clone() }, false),
            (Match { operation: list(&["chat"]), ..any.clone() }, true),
            (Match { operation: list(&["embeddings"]), ..any.clone() }, false),
            (Match { key: list(&["search-*"]), team: list(&["*"]), ..any.clone() }, true),
            (Match { key: list(&["search-*"]), team: list(&["ads"]), ..any.clone() }, false),
            (Match { label: label("e*"), ..any.clone() }, true),
            (Match { label: label("us"), ..any.clone() }, false),
            (Match { header: header("x-app", "two"), ..any.clone() }, true),
            (Match { header: header("x-app", "three"), ..any.clone() }, false),
            (Match { header: header("x-other", "*"), ..any }, false),
        ] {
            assert_eq!(fits(&wanted, Some(&caller)), due, "{wanted:?}");
        }
    }

    #[test]
    fn an_anonymous_caller_fits_no_pattern_on_callers() {
        let any = Match::default();
        for wanted in [
            Match { key: list(&["*"]), ..any.clone() },
            Match { team: list(&["*"]), ..any.clone() },
            Match { label: vec![("region".into(), list(&["*"]))], ..any.clone() },
        ] {
            assert!(!fits(&wanted, None), "{wanted:?}");
        }
        assert!(fits(&any, None));
    }

    #[test]
    fn few_results_are_kept_and_each_is_made_once_while_it_is() {
        let kept = Kept::default();
        let key = |number: usize| (0..12).map(|bit| number >> bit & 1 == 1).collect::<Vec<bool>>();
        for number in 0..1000 {
            assert_eq!(*kept.get_or_make(key(number), |_| number), number);
            let again = kept.get_or_make(key(number), |_| panic!("made twice"));
            assert_eq!(*again, number);
            assert!(kept.0.load().len() <= KEPT);
        }
        assert_eq!(*kept.get_or_make(key(0), |_| 7), 7, "the oldest has gone");
    }
}
