//! `${NAME}` and `${NAME:-default}` inside texts.
//!
//! A missing variable without a default is an error, never an empty text. What was expanded is never part of an error. The default is
//! taken as it is written: variables are not expanded inside it.

/// Expands the variables of `text`: `None` if it has none. `$${` stands for a plain `${`; any other `$` for itself.
///
/// # Errors
/// A message and a suggestion.
pub(super) fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>, (String, String)> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        let after = from.strip_prefix("${").unwrap_or_default();
        if let Some(plain) = before.strip_suffix('$') {
            out.push_str(plain);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let Some((variable, tail)) = after.split_once('}') else {
            return Err(("`${` without a closing `}`".to_owned(), "write `$${` for a plain `${`".to_owned()));
        };
        let (name, default) = match variable.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (variable, None),
        };
        if !is_name(name) {
            let message = "`${...}` holds no name of a variable".to_owned();
            return Err((message, "write `${NAME}`, or `$${` for a plain `${`".to_owned()));
        }
        // As in a shell, `:-` also covers a variable that is set but empty.
        match (env(name).filter(|value| !value.is_empty()), default) {
            (Some(value), _) => out.push_str(&value),
            (None, Some(default)) => out.push_str(default),
            (None, None) => {
                let message = format!("environment variable {name} is not set");
                return Err((message, format!("set it or write `${{{name}:-default}}`")));
            }
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok(Some(out))
}

/// The names of the variables in `text`, each with whether it has a default.
pub(super) fn variables(text: &str) -> Vec<(String, bool)> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        let after = from.strip_prefix("${").unwrap_or_default();
        rest = after;
        let Some((variable, tail)) = after.split_once('}').filter(|_| !before.ends_with('$')) else { continue };
        let (name, default) = match variable.split_once(":-") {
            Some((name, _)) => (name, true),
            None => (variable, false),
        };
        if is_name(name) {
            out.push((name.to_owned(), default));
        }
        rest = tail;
    }
    out
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.len() <= 256
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("h.example".to_owned()),
            "TRICK" => Some("${HOST}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_expand_once_and_dollars_stay() {
        for (text, expected) in [
            ("http://${HOST}/v1", Some("http://h.example/v1")),
            ("${HOST}${HOST}", Some("h.exampleh.example")),
            ("${NO:-x}-${EMPTY:-y}-${HOST:-z}", Some("x-y-h.example")),
            ("${NO:-}", Some("")),
            ("$${HOST}", Some("${HOST}")),
            ("${TRICK}", Some("${HOST}")),
            ("$HOST costs 5$", None),
        ] {
            assert_eq!(expand(text, &env).unwrap().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn variables_are_named_as_they_are_expanded() {
        let found =
            |text: &str| variables(text).into_iter().map(|(name, has)| format!("{name}{has}")).collect::<Vec<_>>();
        assert_eq!(found("http://${HOST}/${PATH_1:-v1}"), ["HOSTfalse", "PATH_1true"]);
        assert_eq!(found("$${HOST} ${a b} ${OPEN $HOST"), [] as [&str; 0]);
    }

    #[test]
    fn what_cannot_expand_is_an_error() {
        for (text, part) in [
            ("a${NO}b", "NO is not set"),
            ("${EMPTY}", "EMPTY is not set"),
            ("${HOST", "closing"),
            ("${}", "no name"),
            ("${a b}", "no name"),
        ] {
            assert!(expand(text, &env).unwrap_err().0.contains(part), "{text}");
        }
    }
}
