//! Between the generated exports and the author's traits. Exists only in a component.

use crate::bindings::{delta, host, request, response, route, types};
use crate::call::{Backend, Call, Reply};
use crate::finished::Finished;
use crate::plugin::{OnComplete, OnDelta, OnFinish, OnRequest, OnResponse, OnRoute, Package, Plugin};
use crate::targets::Targets;
use crate::types::{DeltaVerdict, Denial, Fault, Kind, RequestVerdict, ResponseVerdict, Role, RouteVerdict, Window};
use std::cell::OnceCell;
use std::thread::LocalKey;

/// Where the configured plugin lives for the life of its instance.
pub type Slot<P> = LocalKey<OnceCell<P>>;

/// A panic becomes a trap that says nothing; its text must leave before.
fn name_panics() {
    std::panic::set_hook(Box::new(|info| {
        let what = info.payload_as_str().unwrap_or("a panic without text");
        let text = match info.location() {
            Some(at) => format!("panicked at {}:{}: {what}", at.file(), at.line()),
            None => format!("panicked: {what}"),
        };
        host::log(host::Level::Error, &text);
    }));
}

pub fn manifest<P: Plugin>(package: Package) -> String {
    name_panics();
    crate::plugin::manifest::<P>(package)
}

/// # Errors
/// The author's fault, or one that says which field of the settings is wrong.
pub fn configure<P: Plugin>(slot: &'static Slot<P>, settings: &str) -> Result<Option<Vec<String>>, types::Fault> {
    name_panics();
    let plugin = P::configure(crate::settings::parse(settings)?)?;
    let hooks = plugin.wants().map(|hooks| hooks.into_iter().map(|hook| hook.name().to_owned()).collect());
    slot.with(|cell| cell.set(plugin)).map_err(|_| types::Fault::Internal("configured twice".to_owned()))?;
    Ok(hooks)
}

fn with<P, V>(slot: &'static Slot<P>, run: impl FnOnce(&P) -> Result<V, Fault>) -> Result<V, types::Fault> {
    slot.with(|cell| match cell.get() {
        Some(plugin) => run(plugin).map_err(Into::into),
        None => Err(types::Fault::Internal("a hook ran before `configure`".to_owned())),
    })
}

/// # Errors
/// The author's fault.
pub fn on_request<P: OnRequest>(slot: &'static Slot<P>) -> Result<request::Verdict, types::Fault> {
    with(slot, |plugin| plugin.on_request(&mut Call::current())).map(|verdict| match verdict {
        RequestVerdict::Pass => request::Verdict::Pass,
        RequestVerdict::Deny(denial) => request::Verdict::Deny(denial.into()),
        RequestVerdict::Answer(reply) => request::Verdict::Answer(reply),
    })
}

/// # Errors
/// The author's fault.
pub fn on_route<P: OnRoute>(slot: &'static Slot<P>, count: u32) -> Result<route::Verdict, types::Fault> {
    let targets = Targets::new(count, Backend);
    with(slot, |plugin| plugin.on_route(&mut Call::current(), &targets)).map(|verdict| match verdict {
        RouteVerdict::Pass => route::Verdict::Pass,
        RouteVerdict::Order { targets, reason } => route::Verdict::Order(route::Order { targets, reason }),
        RouteVerdict::Deny(denial) => route::Verdict::Deny(denial.into()),
    })
}

/// # Errors
/// The author's fault.
pub fn on_response<P: OnResponse>(slot: &'static Slot<P>) -> Result<response::Verdict, types::Fault> {
    with(slot, |plugin| plugin.on_response(&mut Call::current(), &mut Reply::current())).map(|verdict| match verdict {
        ResponseVerdict::Pass => response::Verdict::Pass,
        ResponseVerdict::Deny(denial) => response::Verdict::Deny(denial.into()),
        ResponseVerdict::Retry(target) => response::Verdict::Retry(target),
    })
}

/// # Errors
/// The author's fault.
pub fn on_delta<P: OnDelta>(slot: &'static Slot<P>, window: delta::Window) -> Result<delta::Verdict, types::Fault> {
    let window = Window {
        choice: window.choice,
        part: window.part,
        kind: window.kind.into(),
        name: window.name,
        text: window.text,
        last: window.last,
    };
    with(slot, |plugin| plugin.on_delta(&mut Call::current(), &window)).map(|verdict| match verdict {
        DeltaVerdict::Release { hold } => delta::Verdict::Release(hold),
        DeltaVerdict::Replace { text, hold } => delta::Verdict::Replace(delta::Edit { text, hold }),
        DeltaVerdict::Finish(text) => delta::Verdict::Finish(text),
        DeltaVerdict::Stop(denial) => delta::Verdict::Stop(denial.into()),
    })
}

/// # Errors
/// The author's fault.
pub fn on_finish<P: OnFinish>(slot: &'static Slot<P>) -> Result<(), types::Fault> {
    with(slot, |plugin| plugin.on_finish(&Call::current(), &Reply::current()))
}

/// # Errors
/// The author's fault.
pub fn on_complete<P: OnComplete>(slot: &'static Slot<P>, batch: Vec<String>) -> Result<(), types::Fault> {
    let batch: Vec<Finished> = batch.into_iter().map(Finished::new).collect();
    with(slot, |plugin| plugin.on_complete(&batch))
}

impl From<Denial> for types::Denial {
    fn from(denial: Denial) -> Self {
        let headers = denial.headers.into_iter().map(|(name, value)| types::Header { name, value }).collect();
        types::Denial { status: denial.status, code: denial.code, message: denial.message, headers }
    }
}

impl From<Fault> for types::Fault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::InvalidConfig(text) => types::Fault::InvalidConfig(text),
            Fault::Invalid(text) => types::Fault::Invalid(text),
            Fault::Denied(text) => types::Fault::Denied(text),
            Fault::Unavailable(text) => types::Fault::Unavailable(text),
            Fault::Internal(text) => types::Fault::Internal(text),
        }
    }
}

impl From<types::Fault> for Fault {
    fn from(fault: types::Fault) -> Self {
        match fault {
            types::Fault::InvalidConfig(text) => Fault::InvalidConfig(text),
            types::Fault::Invalid(text) => Fault::Invalid(text),
            types::Fault::Denied(text) => Fault::Denied(text),
            types::Fault::Unavailable(text) => Fault::Unavailable(text),
            types::Fault::Internal(text) => Fault::Internal(text),
        }
    }
}

impl From<crate::bindings::text::Role> for Role {
    fn from(role: crate::bindings::text::Role) -> Self {
        use crate::bindings::text::Role as Raw;
        match role {
            Raw::System => Role::System,
            Raw::User => Role::User,
            Raw::Assistant => Role::Assistant,
            Raw::Tool => Role::Tool,
            Raw::Other => Role::Other,
        }
    }
}

impl From<crate::bindings::text::Kind> for Kind {
    fn from(kind: crate::bindings::text::Kind) -> Self {
        use crate::bindings::text::Kind as Raw;
        match kind {
            Raw::Text => Kind::Text,
            Raw::Reasoning => Kind::Reasoning,
            Raw::Refusal => Kind::Refusal,
            Raw::ToolArguments => Kind::ToolArguments,
            Raw::ToolResult => Kind::ToolResult,
            Raw::Other => Kind::Other,
        }
    }
}
