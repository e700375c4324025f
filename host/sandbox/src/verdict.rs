//! Verdicts as the gateway sees them: already checked, so that nothing a guest says can break a header, a log line or a status.

use crate::bindings::hooks::{on_delta, on_request, on_response, on_route};
use crate::bindings::imports::types;
use crate::host;
use crate::manifest::printable;
use crate::view::Kind;

const MAX_CODE: usize = 64;
const MAX_MESSAGE: usize = 2 << 10;
const MAX_HEADERS: usize = 16;
const MAX_HEADER_NAME: usize = 64;
const MAX_HEADER_VALUE: usize = 1 << 10;
const MAX_TARGET: usize = 256;
const MAX_REASON: usize = 256;

/// A refusal of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// 400 to 599.
    pub status: u16,
    /// At most 64 bytes without control characters; `denied` where the plugin gave none.
    pub code: String,
    /// At most 2 KiB without control characters. For the client.
    pub message: String,
    /// At most 16, names in lower case: `retry-after` and `x-` headers, values visible ASCII or spaces.
    pub headers: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestVerdict {
    Pass,
    Deny(Denial),
    /// A canonical reply; not checked to be JSON.
    Answer(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteVerdict {
    Pass,
    Order {
        /// Each below the count of targets, none twice; empty where none may serve the call.
        targets: Vec<usize>,
        /// At most 256 bytes without control characters.
        reason: String,
    },
    Deny(Denial),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseVerdict {
    Pass,
    Deny(Denial),
    /// On that target, or on the next one.
    Retry(Option<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeltaVerdict {
    /// All but the last n characters; more than there are holds everything.
    Release(u32),
    Replace {
        text: String,
        /// Characters at its end that are held back.
        hold: u32,
    },
    Finish(String),
    Stop(Denial),
}

/// What `on-delta` looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub choice: u32,
    pub part: u32,
    pub kind: Kind,
    /// The tool's name.
    pub name: Option<String>,
    pub text: String,
    pub last: bool,
}

impl From<Window> for on_delta::Window {
    fn from(window: Window) -> Self {
        on_delta::Window {
            choice: window.choice,
            part: window.part,
            kind: host::kind(window.kind),
            name: window.name,
            text: window.text,
            last: window.last,
        }
    }
}

/// An error is the text of a `BadVerdict`.
pub(crate) fn request(verdict: on_request::Verdict) -> Result<RequestVerdict, String> {
    Ok(match verdict {
        on_request::Verdict::Pass => RequestVerdict::Pass,
        on_request::Verdict::Deny(given) => RequestVerdict::Deny(denial(given)?),
        on_request::Verdict::Answer(reply) => RequestVerdict::Answer(reply),
    })
}

/// `count`: how many targets there are.
pub(crate) fn route(verdict: on_route::Verdict, count: u32) -> Result<RouteVerdict, String> {
    let order = match verdict {
        on_route::Verdict::Pass => return Ok(RouteVerdict::Pass),
        on_route::Verdict::Deny(given) => return Ok(RouteVerdict::Deny(denial(given)?)),
        on_route::Verdict::Order(order) => order,
    };
    let mut seen = vec![false; count as usize];
    let mut targets = Vec::with_capacity(order.targets.len().min(seen.len()));
    for target in order.targets {
        match seen.get_mut(target as usize) {
            None => return Err(format!("target {target} is not there: this call has {count}, from 0")),
            Some(true) => return Err(format!("target {target} is named twice")),
            Some(named) => *named = true,
        }
        targets.push(target as usize);
    }
    Ok(RouteVerdict::Order { targets, reason: printable(&order.reason, MAX_REASON) })
}

pub(crate) fn response(verdict: on_response::Verdict) -> Result<ResponseVerdict, String> {
    Ok(match verdict {
        on_response::Verdict::Pass => ResponseVerdict::Pass,
        on_response::Verdict::Deny(given) => ResponseVerdict::Deny(denial(given)?),
        on_response::Verdict::Retry(target) => {
            if let Some(target) = &target
                && (target.is_empty() || target.len() > MAX_TARGET || target.contains(char::is_control))
            {
                return Err(format!(
                    "the target of `retry` must be a name of at most {MAX_TARGET} bytes without control characters"
                ));
            }
            ResponseVerdict::Retry(target)
        }
    })
}

pub(crate) fn delta(verdict: on_delta::Verdict) -> Result<DeltaVerdict, String> {
    Ok(match verdict {
        on_delta::Verdict::Release(hold) => DeltaVerdict::Release(hold),
        on_delta::Verdict::Replace(edit) => DeltaVerdict::Replace { text: edit.text, hold: edit.hold },
        on_delta::Verdict::Finish(text) => DeltaVerdict::Finish(text),
        on_delta::Verdict::Stop(given) => DeltaVerdict::Stop(denial(given)?),
    })
}

fn denial(given: types::Denial) -> Result<Denial, String> {
    if !(400..=599).contains(&given.status) {
        return Err(format!("a denial has a status from 400 to 599, not {}", given.status));
    }
    if given.headers.len() > MAX_HEADERS {
        return Err(format!("a denial has at most {MAX_HEADERS} headers, not {}", given.headers.len()));
    }
    let code = match printable(&given.code, MAX_CODE) {
        code if code.is_empty() => "denied".to_owned(),
        code => code,
    };
    let headers = given.headers.into_iter().map(header).collect::<Result<_, _>>()?;
    Ok(Denial { status: given.status, code, message: printable(&given.message, MAX_MESSAGE), headers })
}

fn header(given: types::Header) -> Result<(String, String), String> {
    let name = given.name.to_ascii_lowercase();
    let shown = printable(&name, MAX_HEADER_NAME);
    let token = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    let ours = name == "retry-after" || name.strip_prefix("x-").is_some_and(|rest| !rest.is_empty());
    if !ours || name.len() > MAX_HEADER_NAME || !name.bytes().all(token) {
        return Err(format!("a denial may have the header `retry-after` and `x-` headers, not `{shown}`"));
    }
    if given.value.len() > MAX_HEADER_VALUE || !given.value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(format!(
            "the value of the denial's header `{shown}` must be at most {MAX_HEADER_VALUE} bytes of visible ASCII"
        ));
    }
    Ok((name, given.value.trim().to_owned()))
}

/// What kind of fault, and what it says.
pub(crate) fn fault(fault: types::Fault) -> (&'static str, String) {
    let (word, text) = match fault {
        types::Fault::InvalidConfig(text) => ("invalid-config", text),
        types::Fault::Invalid(text) => ("invalid", text),
        types::Fault::Denied(text) => ("denied", text),
        types::Fault::Unavailable(text) => ("unavailable", text),
        types::Fault::Internal(text) => ("internal", text),
    };
    (word, printable(&text, MAX_MESSAGE))
}
