//! `catalog:`: what the operator knows of models, given to the providers that serve them.

use crate::config::error::At;
use crate::config::file::CatalogEntry;
use crate::config::resolved::Provider;
use crate::config::scalar::Named;
use crate::config::tree::shorten;
use crate::providers::catalog::{self, Model};

use super::Context;

impl Context<'_> {
    pub(super) fn catalog(&mut self, written: Named<CatalogEntry>, providers: &mut [Provider], at: At<'_>) {
        for (name, entry) in written.0 {
            let known = name.split_once('/').filter(|(_, model)| !model.is_empty());
            let found = known.and_then(|(provider, model)| {
                let provider = providers.iter_mut().find(|known| known.name == provider)?;
                Some((provider, model))
            });
            match found {
                Some((provider, model)) => {
                    let listed = provider.row.and_then(|row| catalog::find(row.name, model));
                    provider.catalog.push((model.to_owned(), told(entry, listed)));
                }
                None => {
                    let message = format!("`{}` names no model of a configured provider", shorten(&name));
                    self.report.suggest(at.name(&name).place(), message, "write `PROVIDER/MODEL`");
                }
            }
        }
    }
}

fn told(entry: CatalogEntry, listed: Option<&Model>) -> Model {
    let mut model = listed.cloned().unwrap_or_default();
    model.window = entry.context_window.or(model.window);
    model.output = entry.max_output.or(model.output);
    if let Some(sampling) = entry.sampling {
        model.refuses_sampling = !sampling;
    }
    if let Some(reasoning) = entry.reasoning {
        (model.reasoning, model.refuses_reasoning) = (reasoning, !reasoning);
    }
    for (has, denied, said) in [
        (&mut model.vision, &mut model.denied.vision, entry.vision),
        (&mut model.tools, &mut model.denied.tools, entry.tools),
        (&mut model.audio, &mut model.denied.audio, entry.audio),
        (&mut model.schema, &mut model.denied.schema, entry.json_schema),
    ] {
        if let Some(said) = said {
            (*has, *denied) = (said, !said);
        }
    }
    let price = &mut model.price;
    for (own, said) in [
        (&mut price.input, entry.input_price),
        (&mut price.cache_read, entry.cache_read_price),
        (&mut price.cache_write, entry.cache_write_price),
        (&mut price.output, entry.output_price),
    ] {
        *own = said.and_then(nano_dollars).or(*own);
    }
    model
}

fn nano_dollars(dollars: f64) -> Option<u64> {
    catalog::nano_dollars(&format!("{dollars:.9}"))
}
