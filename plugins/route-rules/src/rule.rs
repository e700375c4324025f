//! One rule: its expression, checked before any call, and where it sends a call.

use std::sync::Arc;

use cel::common::ast::SourceInfo;
use cel::{Context, Env, ExecutionError, Program, Value};
use serde::Deserialize;
use sluice::Fault;

use crate::facts;
use crate::names::Names;

const LONGEST: usize = 2 << 10;
const PATTERNS: usize = 50;
const TEXT: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    when: String,
    #[serde(rename = "use")]
    patterns: Vec<String>,
    #[serde(default)]
    reason: Option<String>,
}

pub(crate) struct Rule {
    at: usize,
    when: Program,
    pub(crate) patterns: Vec<String>,
    pub(crate) reason: String,
}

impl Rule {
    /// Adds to `names` what the expression reads.
    ///
    /// # Errors
    /// Says which field is wrong, and where in the expression.
    pub(crate) fn new(at: usize, written: Written, env: &Arc<Env>, names: &mut Names) -> Result<Rule, Fault> {
        let Written { when, patterns, reason } = written;
        let wrong = |text: String| Fault::config(format!("settings.rules[{at}].{text}"));
        if when.len() > LONGEST {
            return Err(wrong(format!("when: has {} bytes; at most {LONGEST} are read", when.len())));
        }
        let fits = |text: &String| !text.is_empty() && text.len() <= TEXT;
        if patterns.is_empty() || patterns.len() > PATTERNS || !patterns.iter().all(fits) {
            return Err(wrong(format!("use: must name 1 to {PATTERNS} targets, each with 1 to {TEXT} bytes")));
        }
        let reason = reason.unwrap_or_else(|| format!("rule {}", at + 1));
        if !fits(&reason) {
            return Err(wrong(format!("reason: must have 1 to {TEXT} bytes")));
        }
        let program = env.compile(&when).map_err(|errors| {
            let first = errors.errors.first().map(|error| format!("{}:{}: {}", error.pos.0, error.pos.1, error.msg));
            wrong(format!("when: {}", first.unwrap_or_else(|| "is no expression".to_owned())))
        })?;
        let mut own = Names::default();
        let misnamed = own
            .read(program.expression())
            .and_then(|()| own.functions.iter().try_for_each(|called| known(called, env)));
        if let Err((id, why)) = misnamed {
            return Err(wrong(format!("when: {}{why}", place(program.source_info(), id))));
        }
        let rule = Rule { at, when: program, patterns, reason };
        let mut nobody = Context::with_env(Arc::clone(env));
        facts::of_nobody(&mut nobody, &own);
        match rule.when.execute(&nobody) {
            Ok(Value::Bool(_)) => {}
            Ok(other) => return Err(wrong(format!("when: is a {}, not true or false", other.type_of()))),
            Err(error) if is_of_types(&error) => return Err(wrong(format!("when: {error}"))),
            // A call with other facts may do better than nobody's.
            Err(_) => {}
        }
        names.join(own);
        Ok(rule)
    }

    /// # Errors
    /// The expression cannot be computed for this call. The text has nothing of the call.
    pub(crate) fn holds(&self, context: &Context<'_, '_>) -> Result<bool, Fault> {
        let why = match self.when.execute(context) {
            Ok(Value::Bool(holds)) => return Ok(holds),
            Ok(other) => format!("it is a {}, not true or false", other.type_of()),
            Err(ExecutionError::NoSuchOverload(error)) => error.to_string(),
            Err(ExecutionError::FunctionError { function, .. }) => format!("`{function}` failed"),
            Err(ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_)) => {
                "division by zero".to_owned()
            }
            Err(ExecutionError::Overflow(..)) => "a number is too large".to_owned(),
            Err(_) => "it cannot be computed".to_owned(),
        };
        Err(Fault::internal(format!("rules[{}].when, on this call: {why}", self.at)))
    }
}

/// A name that the library has functions under cannot be given to another one: the only way to ask whether there are any.
fn known(called: &(u64, String), env: &Arc<Env>) -> Result<(), (u64, String)> {
    let (id, name) = called;
    match Context::with_env(Arc::clone(env)).add_function(name, || true) {
        Err(_) => Ok(()),
        Ok(()) => Err((*id, format!("there is no function `{name}`"))),
    }
}

/// Errors that every call would meet.
fn is_of_types(error: &ExecutionError) -> bool {
    use ExecutionError::{
        InvalidArgumentCount, MissingArgumentOrTarget, NoSuchOverload, UndeclaredReference, UnexpectedType,
        UnsupportedBinaryOperator, UnsupportedIndex, UnsupportedKeyType, UnsupportedTargetType, ValuesNotComparable,
    };
    matches!(
        error,
        InvalidArgumentCount { .. }
            | MissingArgumentOrTarget
            | NoSuchOverload(_)
            | UndeclaredReference(_)
            | UnexpectedType { .. }
            | UnsupportedBinaryOperator(..)
            | UnsupportedIndex(..)
            | UnsupportedKeyType(_)
            | UnsupportedTargetType { .. }
            | ValuesNotComparable(..)
    )
}

/// `LINE:COLUMN: ` of a part of the expression, both from 1, as the parser's own errors count.
fn place(source: &SourceInfo, id: u64) -> String {
    let start = source.offset_for(id).map_or(0, |(start, _)| start as usize);
    let before: String = source.source.chars().take(start).collect();
    let (line, column) =
        (before.matches('\n').count() + 1, before.chars().rev().take_while(|c| *c != '\n').count() + 1);
    format!("{line}:{column}: ")
}
