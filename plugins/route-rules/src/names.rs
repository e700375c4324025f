//! Which facts of a call an expression reads, so that a call pays for those and no others, and a name that is not there is found before the
//! first call needs it.

use std::collections::BTreeSet;

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr, LiteralValue};

/// A name that cannot be used: the expression's id, and why.
pub(crate) type Wrong = (u64, String);

const KNOWN: &str = "model, operation, dialect, stream, tokens, caller.key, caller.team, caller.user, caller.labels.NAME, headers['NAME'], \
                     tags['NAME'], time.hour, time.minute, time.weekday, prompt.text, prompt.bytes, prompt.turns and prompt.tools";

/// What some expressions read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// First words of the names read.
    pub(crate) roots: BTreeSet<String>,
    pub(crate) headers: BTreeSet<String>,
    pub(crate) labels: BTreeSet<String>,
    pub(crate) tags: BTreeSet<String>,
    /// Functions called, without operators and macros.
    pub(crate) functions: Vec<(u64, String)>,
}

impl Names {
    /// Adds those of one expression.
    ///
    /// # Errors
    /// It reads what is not there, or walks a list within walking another one.
    pub(crate) fn read(&mut self, expression: &IdedExpr) -> Result<(), Wrong> {
        self.walk(expression, &mut Vec::new())
    }

    /// Adds what another expression reads; its functions have been looked at by then.
    pub(crate) fn join(&mut self, other: Names) {
        self.roots.extend(other.roots);
        self.headers.extend(other.headers);
        self.labels.extend(other.labels);
        self.tags.extend(other.tags);
    }

    fn walk<'e>(&mut self, at: &'e IdedExpr, scope: &mut Vec<&'e str>) -> Result<(), Wrong> {
        if let Some(path) = path(at) {
            let root = path.first().copied().unwrap_or_default();
            // A macro's own variables: the one that it names, and one of the library's for what it has gathered.
            let own = root.starts_with('@') || scope.contains(&root);
            return if own { Ok(()) } else { self.name(&path).map_err(|why| (start(at), why)) };
        }
        match &at.expr {
            Expr::Call(call) => {
                if call.func_name.starts_with(|first: char| first.is_ascii_alphabetic()) {
                    self.functions.push((at.id, call.func_name.clone()));
                }
                call.target.iter().map(AsRef::as_ref).chain(&call.args).try_for_each(|part| self.walk(part, scope))
            }
            Expr::Comprehension(macros) => {
                if !scope.is_empty() {
                    return Err((at.id, "a macro such as exists cannot stand within another one".to_owned()));
                }
                self.walk(&macros.iter_range, scope)?;
                scope.push(&macros.iter_var);
                scope.extend(macros.iter_var2.as_deref());
                scope.push(&macros.accu_var);
                for part in [&macros.accu_init, &macros.loop_cond, &macros.loop_step, &macros.result] {
                    self.walk(part, scope)?;
                }
                scope.clear();
                Ok(())
            }
            Expr::List(list) => list.elements.iter().try_for_each(|part| self.walk(part, scope)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.walk(&entry.key, scope).and_then(|()| self.walk(&entry.value, scope))
                }
                EntryExpr::StructField(field) => self.walk(&field.value, scope),
            }),
            Expr::Select(select) if select.test => Err((
                at.id,
                "has() says nothing here: what a call does not have is an empty text, so compare with ''".to_owned(),
            )),
            Expr::Select(select) => self.walk(&select.operand, scope),
            Expr::Struct(_) => Err((at.id, "messages cannot be made here".to_owned())),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Ok(()),
        }
    }

    fn name(&mut self, path: &[&str]) -> Result<(), String> {
        let one = |set: &mut BTreeSet<String>, name: &str| {
            set.insert(name.to_owned());
            Ok(())
        };
        let root = path.first().copied().unwrap_or_default();
        self.roots.insert(root.to_owned());
        match path {
            ["model" | "operation" | "dialect" | "stream" | "tokens"]
            | ["caller", "key" | "team" | "user"]
            | ["time", "hour" | "minute" | "weekday"]
            | ["prompt", "text" | "bytes" | "turns" | "tools"] => Ok(()),
            ["caller", "labels", name] => one(&mut self.labels, name),
            ["headers", name] => one(&mut self.headers, name),
            ["tags", name] => one(&mut self.tags, name),
            ["headers" | "tags"] | ["caller", "labels"] => {
                Err(format!("`{}` is read by names written out, as in {}['x-tier']", path.join("."), path.join(".")))
            }
            _ => Err(format!("there is no `{}`; there are {KNOWN}", path.join("."))),
        }
    }
}

/// The id of the first of a path's names: the whole path's own place is that of its last dot.
fn start(path: &IdedExpr) -> u64 {
    match &path.expr {
        Expr::Select(select) => start(&select.operand),
        Expr::Call(call) => call.args.first().map_or(path.id, start),
        _ => path.id,
    }
}

/// The names of `a.b['c']`, where it is nothing but names.
fn path(at: &IdedExpr) -> Option<Vec<&str>> {
    match &at.expr {
        Expr::Ident(name) => Some(vec![name]),
        Expr::Select(select) if !select.test => {
            let mut names = path(&select.operand)?;
            names.push(&select.field);
            Some(names)
        }
        Expr::Call(call) if call.func_name == "_[_]" && call.target.is_none() => {
            let [of, name] = call.args.as_slice() else { return None };
            let Expr::Literal(LiteralValue::String(name)) = &name.expr else { return None };
            let mut names = path(of)?;
            names.push(name.inner());
            Some(names)
        }
        _ => None,
    }
}
