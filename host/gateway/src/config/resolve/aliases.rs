//! `aliases:`: every alias to the name it finally stands for.

use std::collections::{HashMap, HashSet};

use crate::config::error::At;
use crate::config::file;
use crate::config::scalar::Named;
use crate::config::tree::shorten;
use crate::providers::table::{ROWS, Row};

use super::Context;

/// A longer chain is a mistake, and following chains of any length would take the square of their number.
const LONGEST: usize = 16;

impl Context<'_> {
    pub(super) fn aliases(
        &mut self,
        written: &Named<String>,
        providers: &Named<file::Provider>,
        root: At<'_>,
    ) -> Vec<(String, String)> {
        let at = root.key("aliases");
        // Broken providers count as known: their own errors are enough.
        let mut known = root.key("providers").names();
        let on = ROWS
            .iter()
            .filter(|row| !known.contains(&row.name) && !row.base_url.contains('{') && self.is_on(row))
            .map(|row| row.name);
        known.extend(on.collect::<Vec<_>>());
        let models: HashSet<&str> =
            providers.0.iter().flat_map(|(_, provider)| &provider.models).map(String::as_str).collect();
        let targets: HashMap<&str, &str> =
            written.0.iter().map(|(alias, target)| (alias.as_str(), target.as_str())).collect();
        let routes = root.key("routes").names();
        let mut out = Vec::new();
        for (alias, target) in &written.0 {
            if alias.trim().is_empty() {
                self.report.error(at.name(alias).place(), "an alias needs a name");
            }
            let Some(end) = self.follow(alias, &targets, at) else { continue };
            // Only the alias that names the target itself is at fault, not those that lead to it.
            if end == target && !routes.contains(&end) {
                self.target(end, &known, &models, at.key(alias));
            }
            out.push((alias.clone(), end.to_owned()));
        }
        out
    }

    /// Whether the environment alone turns a built-in provider on.
    fn is_on(&self, row: &Row) -> bool {
        row.key_env.iter().any(|name| (self.env)(name).is_some_and(|key| !key.trim().is_empty()))
    }

    /// The name at the end of the chain that begins with `alias`. A cycle is reported at each alias on it, not at those that lead to it.
    fn follow<'t>(&mut self, alias: &'t str, targets: &HashMap<&'t str, &'t str>, at: At<'_>) -> Option<&'t str> {
        let place = at.key(alias).place();
        let mut path = vec![alias];
        let mut last = alias;
        while let Some(next) = targets.get(last) {
            last = next;
            if path.contains(&last) {
                if last == alias {
                    path.push(last);
                    let chain = path.iter().map(|name| shorten(name)).collect::<Vec<_>>().join(" -> ");
                    let message = format!("alias `{}` leads back to itself: {chain}", shorten(alias));
                    self.report.error(place, message);
                }
                return None;
            }
            if path.len() > LONGEST && targets.contains_key(last) {
                let message = format!("alias `{}` leads through more than {LONGEST} others", shorten(alias));
                self.report.error(place, message);
                return None;
            }
            path.push(last);
        }
        Some(last)
    }

    fn target(&mut self, target: &str, known: &[&str], models: &HashSet<&str>, at: At<'_>) {
        if models.contains(target) {
            return;
        }
        let shown = at.shown(target);
        match target.split_once('/') {
            Some((provider, model)) if known.contains(&provider) => {
                if model.is_empty() {
                    self.report.error(at.place(), format!("`{shown}` names no model"));
                }
            }
            Some((provider, _)) => {
                let message = match at.written() {
                    Some(_) => format!("`{shown}` names no configured provider"),
                    None => format!("there is no provider `{}`", shorten(provider)),
                };
                let suggestion = match crate::config::error::nearest(provider, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "write `PROVIDER/MODEL` with a configured provider".to_owned(),
                };
                self.report.suggest(at.place(), message, suggestion);
            }
            // A bare name goes to the only provider there is.
            None if known.len() == 1 && !target.trim().is_empty() => {}
            None => {
                let message = format!("`{shown}` is neither an alias nor a model that a provider lists");
                self.report.suggest(at.place(), message, "write `PROVIDER/MODEL`");
            }
        }
    }
}
