//! `sluice config explain`: what a field is, and where its value comes from.

use std::process::ExitCode;

use clap::Args;

use crate::config::{self, Explained, Unexplained};

#[derive(Args, Debug)]
pub struct Explain {
    /// A field (`providers.openai.timeouts.idle`, `keys[search-prod].team`) or a section; without it: all.
    path: Option<String>,
    /// As `serve` would be told.
    #[command(flatten)]
    chosen: super::Chosen,
}

pub fn run(asked: &Explain) -> ExitCode {
    let env = |name: &str| std::env::var(name).ok();
    let overrides = asked.chosen.overrides();
    let file = asked.chosen.config.as_deref();
    match config::explain(file, asked.path.as_deref(), &env, &overrides) {
        Ok(fields) => {
            if config::load(file, &env, &overrides).is_err() {
                eprintln!("note: this configuration cannot be used as it is; `sluice check` says why");
            }
            super::print(&text(&fields))
        }
        Err(Unexplained::File(errors)) => {
            eprintln!("{errors}");
            ExitCode::from(2)
        }
        Err(Unexplained::Unknown(near)) => {
            let path = asked.path.as_deref().unwrap_or_default();
            eprintln!("there is no `{path}` here");
            for near in near {
                eprintln!("  {near}");
            }
            eprintln!("`sluice config explain` lists every field; docs/config.md has those that are not written yet");
            ExitCode::from(2)
        }
    }
}

/// One field at length, several a line each.
fn text(fields: &[Explained]) -> String {
    let value = |field: &Explained| field.value.clone().unwrap_or_else(|| "nothing".to_owned());
    let mut out = String::new();
    let mut listed = fields;
    if let [first, below @ ..] = fields
        && !first.path.is_empty()
        && (below.is_empty() || fields.iter().all(|field| field.path.starts_with(&first.path)))
    {
        listed = below;
        out.push_str(&first.path);
        if !first.section {
            out.push_str(&format!(" = {}", value(first)));
        }
        out.push_str(&format!("\n  from     {}\n", first.origin));
        if let Some(default) = first.default.as_ref().filter(|default| first.value.as_ref() != Some(*default)) {
            out.push_str(&format!("  default  {default}\n"));
        }
        out.push_str(&format!("  takes    {}\n", first.takes));
        if !first.section {
            let when = if first.restart { "counts after a restart" } else { "is live at once" };
            out.push_str(&format!("  an edit  {when}\n"));
        }
        if !first.meaning.is_empty() {
            out.push_str(&format!("  {}\n", first.meaning));
        }
    }
    for field in listed.iter().filter(|field| !field.section) {
        out.push_str(&format!("{} = {}  # {}\n", field.path, value(field), field.origin));
    }
    out
}
