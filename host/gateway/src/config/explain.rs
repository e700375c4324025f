//! Where a value comes from: `sluice config explain`.
//!
//! It answers from the files as written, the command line and the environment's names. The text of a secret, and of a variable inside a text,
//! is never read into an answer: only whether it is there.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::providers::table::{ROWS, Row, row};

use super::check::Schema;
use super::error::{Report, nearest};
use super::fields::{self, Field, Shown};
use super::file::{File, PluginBlock};
use super::resolved::{Clients, Config};
use super::tree::{self, Node, Value};
use super::{ConfigErrors, DEFAULT_FILE, Overrides};

type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One field with its value and where that comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    pub path: String,
    /// What is written or counts without; `None` where nothing does. Never a secret.
    pub value: Option<String>,
    /// A place in a file, a variable of the environment, the command line or the default.
    pub origin: String,
    /// What counts where nothing is written.
    pub default: Option<String>,
    /// In words: its kind, range or choices.
    pub takes: String,
    pub meaning: String,
    /// An edit counts only after a restart.
    pub restart: bool,
    /// It holds other fields; what is said of them comes after it.
    pub section: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Unexplained {
    /// A file that cannot be read as YAML.
    File(ConfigErrors),
    /// No field has that path; near ones.
    Unknown(Vec<String>),
}

/// One file as written, and the fields that it holds.
struct Source {
    name: String,
    folder: PathBuf,
    tree: Node,
}

/// Explains the field at `path` and all below it; all fields without a path.
///
/// # Errors
/// See [`Unexplained`].
pub fn explain(
    file: Option<&Path>,
    path: Option<&str>,
    env: Env<'_>,
    overrides: &Overrides,
) -> Result<Vec<Explained>, Unexplained> {
    let default = Path::new(DEFAULT_FILE);
    let file = file.or_else(|| default.exists().then_some(default));
    let (schema, block) = (Schema::of::<File>(), Schema::of::<PluginBlock>());
    let mut main = match file {
        Some(file) => source(file)?,
        None => Source { name: String::new(), folder: PathBuf::new(), tree: tree::nothing() },
    };
    super::dotted::nest(&mut main.tree, &schema);
    let beside = beside(&main, overrides)?;
    let resolved = super::load(file, env, overrides).ok();
    let answer = Answer { env, overrides, resolved: resolved.as_ref(), main: &main };
    let mut all: Vec<Explained> = Vec::new();
    for field in fields::fields(&schema, Some(&main.tree), "") {
        all.push(answer.field(&schema, &field, &main));
    }
    for on in ROWS.iter().filter(|row| answer.turned_on(row)) {
        let mut own = Vec::new();
        if let Some(provider) = fields::part(&schema, &["providers", ""]) {
            fields::walk(&schema, provider, None, format!("providers.{}", on.name), &mut own);
        }
        all.extend(own.iter().map(|field| answer.field(&schema, field, &main)));
    }
    for (name, source) in &beside {
        for field in fields::fields(&block, Some(&source.tree), &format!("plugins.chain.{name}")) {
            all.push(answer.field(&block, &field, source));
        }
    }
    chosen(all, path)
}

/// The answers for `path`. Brackets are a way of writing: `keys[a].team` is also `keys.a.team`.
fn chosen(all: Vec<Explained>, path: Option<&str>) -> Result<Vec<Explained>, Unexplained> {
    let Some(path) = path.map(str::trim).filter(|path| !path.is_empty()) else {
        return Ok(all.into_iter().filter(|field| !field.path.is_empty()).collect());
    };
    let plain = |path: &str| path.replace('[', ".").replace([']', '"', '`'], "");
    let asked = plain(path);
    let under = format!("{asked}.");
    let (found, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|field| {
        let path = plain(&field.path);
        path == asked || path.starts_with(&under)
    });
    if !found.is_empty() {
        return Ok(found);
    }
    let paths: Vec<&str> = others.iter().map(|field| field.path.as_str()).filter(|path| !path.is_empty()).collect();
    let mut near: Vec<String> = nearest(path, &paths).into_iter().map(str::to_owned).collect();
    // The right field somewhere else, and the nearest section that is there.
    let last = path.rsplit('.').next().unwrap_or(path);
    near.extend(
        paths.iter().filter(|other| other.rsplit('.').next() == Some(last)).take(4).map(|path| (*path).to_owned()),
    );
    let mut parent = asked.as_str();
    while let (true, Some((above, _))) = (near.is_empty(), parent.rsplit_once('.')) {
        let children =
            paths.iter().filter(|path| plain(path).rsplit_once('.').is_some_and(|(section, _)| section == above));
        near.extend(children.take(8).map(|path| (*path).to_owned()));
        parent = above;
    }
    near.dedup();
    Err(Unexplained::Unknown(near))
}

fn source(path: &Path) -> Result<Source, Unexplained> {
    let mut report = Report::new(path.display().to_string());
    let tree = super::read(path, &mut report).and_then(|text| tree::parse(&text, &mut report));
    match (tree, report.finish()) {
        (Some(tree), Ok(_)) => {
            let folder = path.parent().unwrap_or(Path::new("")).to_owned();
            Ok(Source { name: path.display().to_string(), folder, tree })
        }
        (_, Err(errors)) => Err(Unexplained::File(errors)),
        (None, Ok(_)) => Err(Unexplained::File(super::unexplained(path))),
    }
}

/// The files beside plugins, by the plugin's name.
fn beside(main: &Source, overrides: &Overrides) -> Result<Vec<(String, Source)>, Unexplained> {
    let written = main.tree.get("plugins").and_then(|entry| entry.node.get("dir"));
    let dir = match (&overrides.plugins_dir, written.map(|entry| &entry.node.value)) {
        (Some(dir), _) => dir.clone(),
        (None, Some(Value::Text(dir))) => main.folder.join(dir),
        _ => main.folder.join("plugins"),
    };
    let mut out = Vec::new();
    for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(stem) = name.strip_suffix(".yaml").filter(|stem| !stem.is_empty() && !stem.starts_with('.')) {
            out.push((stem.to_owned(), source(&entry.path())?));
        }
    }
    out.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(out)
}

/// The texts of a field that takes one or a list of them.
fn texts(field: &Field<'_>) -> Vec<String> {
    let text = |node: &Node| match &node.value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    match field.node.map(|node| (node, &node.value)) {
        Some((_, Value::List(items))) => items.iter().filter_map(text).collect(),
        Some((node, _)) => text(node).into_iter().collect(),
        None => {
            let default = field.schema.get("default").and_then(Json::as_array);
            default.into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
        }
    }
}

struct Answer<'a> {
    env: Env<'a>,
    overrides: &'a Overrides,
    /// Where the configuration can be used as a whole.
    resolved: Option<&'a Config>,
    main: &'a Source,
}

impl Answer<'_> {
    fn field(&self, schema: &Schema, field: &Field<'_>, source: &Source) -> Explained {
        let default = fields::default(schema, field.schema);
        let value = if field.section { Shown::nothing() } else { fields::value(schema, field) };
        let (value, origin) = match field.node {
            Some(node) => (self.checked(node, value, source), self.place(node, source)),
            None => (value.text, self.default_origin(field)),
        };
        let (value, origin) = self.otherwise(field, source).unwrap_or((value, origin));
        let meaning = field.schema.get("description").and_then(Json::as_str).unwrap_or_default().replace('\n', " ");
        Explained {
            path: field.path.clone(),
            value,
            origin,
            default: default.text,
            takes: fields::takes(schema, field.schema),
            meaning,
            restart: super::diff::needs_restart(&field.path),
            section: field.section,
        }
    }

    /// A secret's reference with whether there is something behind it.
    fn checked(&self, node: &Node, value: Shown, source: &Source) -> Option<String> {
        let text = value.text?;
        let Value::Text(raw) = &node.value else { return Some(text) };
        if let Some(name) = raw.strip_prefix("env:") {
            return Some(format!("{text} ({})", self.state_of(name.trim())));
        }
        if let Some(path) = raw.strip_prefix("file:") {
            let there = std::fs::metadata(source.folder.join(path.trim())).is_ok_and(|meta| meta.is_file());
            return Some(format!("{text} ({})", if there { "there" } else { "no such file" }));
        }
        Some(text)
    }

    fn state_of(&self, variable: &str) -> &'static str {
        match (self.env)(variable) {
            None => "not set",
            Some(text) if text.trim().is_empty() => "empty",
            Some(_) => "set",
        }
    }

    /// The place, and the variables that the text there takes.
    fn place(&self, node: &Node, source: &Source) -> String {
        let mut out = format!("{}:{}:{}", source.name, node.place.line, node.place.column);
        let mut texts = Vec::new();
        match &node.value {
            Value::Text(text) => texts.push(text.as_str()),
            Value::List(items) => texts.extend(items.iter().filter_map(|item| match &item.value {
                Value::Text(text) => Some(text.as_str()),
                _ => None,
            })),
            _ => {}
        }
        for (name, fallback) in texts.into_iter().flat_map(super::expand::variables) {
            let state = match (self.state_of(&name), fallback) {
                ("set", _) => "set",
                (_, true) => "not set: what is written behind `:-` counts",
                (_, false) => "not set",
            };
            out.push_str(&format!(", with the environment's {name} ({state})"));
        }
        out
    }

    fn default_origin(&self, field: &Field<'_>) -> String {
        let parent = field.path.strip_prefix("providers.").and_then(|rest| rest.split('.').next());
        let on = ROWS.iter().find(|row| parent == Some(row.name) && self.turned_on(row));
        match on.filter(|row| field.path == format!("providers.{}", row.name)) {
            Some(row) => format!("environment: {} is set", self.key_of(row).unwrap_or_default()),
            None if field.section && self.main.name.is_empty() => "nowhere: there is no configuration file".to_owned(),
            None if field.section => "nowhere".to_owned(),
            None => "default".to_owned(),
        }
    }

    /// Whether the environment alone turns a provider on.
    fn turned_on(&self, row: &'static Row) -> bool {
        let written = self.main.tree.get("providers").is_some_and(|entry| entry.node.get(row.name).is_some());
        !written && self.key_of(row).is_some()
    }

    /// The variable that a built-in provider takes its key from.
    fn key_of(&self, row: &'static Row) -> Option<&'static str> {
        row.key_env.iter().copied().find(|name| self.state_of(name) == "set")
    }

    /// What stands over the file, or in for it: the command line, the environment, a built-in row.
    fn otherwise(&self, field: &Field<'_>, source: &Source) -> Option<(Option<String>, String)> {
        let written = field.node.map(|node| self.place(node, source));
        match (field.path.as_str(), written) {
            ("server.listen", written) => self.listen(texts(field), written),
            ("plugins.dir", _) => {
                let dir = self.overrides.plugins_dir.as_ref()?;
                Some((Some(dir.display().to_string()), "command line: --plugins".to_owned()))
            }
            ("server.threads", None) => {
                let threads = self.resolved?.server.threads;
                Some((Some(threads.to_string()), "default: one per core of this machine".to_owned()))
            }
            ("server.clients", None) => {
                let (value, why) = match self.resolved?.server.clients {
                    Clients::Keys if self.resolved?.keys.is_empty() => {
                        ("keys", "an address beyond loopback is listened on")
                    }
                    Clients::Keys => ("keys", "`keys:` has entries"),
                    Clients::Open => ("open", "it is written"),
                    Clients::Loopback => ("anonymous calls on loopback", "there are no `keys:`"),
                };
                Some((Some(value.to_owned()), format!("default: {why}")))
            }
            ("network.proxy", None) => self.variable(&["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"]),
            ("network.no_proxy", None) => self.variable(&["NO_PROXY"]),
            ("network.ca", None) => self.variable(&["SSL_CERT_FILE"]),
            (path, None) => self.built_in(path.strip_prefix("providers.")?),
            _ => None,
        }
    }

    /// `addresses` as written or by default, `written` where.
    fn listen(&self, addresses: Vec<String>, written: Option<String>) -> Option<(Option<String>, String)> {
        let Overrides { listen, port, .. } = self.overrides;
        if listen.is_empty() && port.is_none() {
            return None;
        }
        let from = match (listen.is_empty(), &written) {
            (false, _) => "--listen".to_owned(),
            (true, Some(place)) => format!("at the addresses of {place}"),
            (true, None) => "at the default addresses".to_owned(),
        };
        let mut addresses = if listen.is_empty() { addresses } else { listen.clone() };
        let Some(port) = port else {
            return Some((Some(format!("[{}]", addresses.join(", "))), format!("command line: {from}")));
        };
        for address in &mut addresses {
            let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
            *address = format!("{host}:{port}");
        }
        Some((Some(format!("[{}]", addresses.join(", "))), format!("command line: --port {port}, {from}")))
    }

    /// The first of these variables that is set, in capitals or small letters.
    fn variable(&self, names: &[&str]) -> Option<(Option<String>, String)> {
        let spellings = names.iter().flat_map(|name| [(*name).to_owned(), name.to_ascii_lowercase()]);
        let name = spellings.into_iter().find(|name| self.state_of(name) == "set")?;
        let text = (self.env)(&name)?;
        Some((Some(fields::without_user(text.trim())), format!("environment: {name}")))
    }

    /// `NAME.FIELD` of a provider that takes the field from its row.
    fn built_in(&self, path: &str) -> Option<(Option<String>, String)> {
        let (name, field) = path.rsplit_once('.')?;
        let entry = self.main.tree.get("providers").and_then(|entry| entry.node.get(name));
        let like = entry.and_then(|entry| entry.node.get("like")).and_then(|entry| match &entry.node.value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        });
        let row = row(like.unwrap_or(name))?;
        let origin = format!("built in, as {}", row.name);
        match field {
            "base_url" => Some((Some(row.base_url.to_owned()), origin)),
            "dialect" => Some((Some(row.preferred().as_str().to_owned()), origin)),
            "keys" => {
                let provider = self.resolved?.providers.iter().find(|provider| provider.name == name)?;
                let key = provider.keys.first().filter(|key| row.key_env.contains(&key.name.as_str()))?;
                Some((Some(format!("env:{} (set)", key.name)), format!("environment: {}", key.name)))
            }
            _ => None,
        }
    }
}
