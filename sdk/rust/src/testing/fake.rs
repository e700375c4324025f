//! The fake call: made by a test, shown to hooks, read by the test.

use super::state::{Backend, During, State};
use super::stream::{Outcome, Stream};
use super::targets::{self, FakeTarget};
use crate::call::{Call, Reply};
use crate::plugin::{OnDelta, OnFinish, OnRequest, OnResponse, OnRoute};
use crate::targets::Targets;
use crate::types::{Denial, Fault, RequestVerdict, ResponseVerdict, RouteVerdict};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A call that is not one.
pub struct FakeCall {
    state: Rc<RefCell<State>>,
}

impl FakeCall {
    /// A chat whose canonical request is this JSON.
    pub fn chat(request: Value) -> Self {
        let streaming = request.get("stream").and_then(Value::as_bool).unwrap_or(false);
        let state = State {
            id: "fake-1".to_owned(),
            dialect: "openai-chat".to_owned(),
            operation: "chat".to_owned(),
            prefix: None,
            streaming,
            attempt: 1,
            remaining_ms: 60_000,
            caller: BTreeMap::new(),
            headers: BTreeMap::new(),
            reply_headers: BTreeMap::new(),
            remembered: BTreeMap::new(),
            tags: BTreeMap::new(),
            target: "fake/model".to_owned(),
            targets: Vec::new(),
            estimated_tokens: None,
            request,
            reply: json!({ "object": "chat.completion", "choices": [] }),
            replied: false,
            outcome: None,
            during: During::Request,
        };
        FakeCall { state: Rc::new(RefCell::new(state)) }
    }

    /// A chat with one user message.
    pub fn asking(text: &str) -> Self {
        Self::chat(json!({ "model": "fake", "messages": [{ "role": "user", "content": text }] }))
    }

    fn with(self, change: impl FnOnce(&mut State)) -> Self {
        change(&mut self.state.borrow_mut());
        self
    }

    /// With a client request header.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        self.with(|state| {
            state.headers.insert(name.to_ascii_lowercase(), value.to_owned());
        })
    }

    /// With a fact about the caller: `key`, `team`, `user`, `label.NAME`.
    #[must_use]
    pub fn caller(self, field: &str, value: &str) -> Self {
        self.with(|state| {
            state.caller.insert(field.to_owned(), value.to_owned());
        })
    }

    /// In another of the client's dialects; the request stays canonical.
    #[must_use]
    pub fn dialect(self, dialect: &str) -> Self {
        self.with(|state| dialect.clone_into(&mut state.dialect))
    }

    /// On a path that names this provider.
    #[must_use]
    pub fn prefix(self, provider: &str) -> Self {
        self.with(|state| state.prefix = Some(provider.to_owned()))
    }

    /// With a tag that an earlier plugin left.
    #[must_use]
    pub fn tag(self, key: &str, value: &str) -> Self {
        self.with(|state| {
            state.tags.insert(key.to_owned(), value.to_owned());
        })
    }

    /// In that attempt, 1 for the first.
    #[must_use]
    pub fn attempt(self, attempt: u32) -> Self {
        self.with(|state| state.attempt = attempt)
    }

    /// Answered by this canonical reply.
    #[must_use]
    pub fn replied(self, reply: Value) -> Self {
        self.with(|state| {
            state.reply = reply;
            state.replied = true;
        })
    }

    /// Answered by one assistant message.
    #[must_use]
    pub fn replied_text(self, text: &str) -> Self {
        let message = json!({ "role": "assistant", "content": text });
        self.replied(json!({
            "object": "chat.completion",
            "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12 },
        }))
    }

    /// Ended so, for `on_finish`. Without: `ok` where there is a reply, else `denied`.
    #[must_use]
    pub fn outcome(self, outcome: &str) -> Self {
        self.with(|state| state.outcome = Some(outcome.to_owned()))
    }

    /// Answered by that target, `provider/model`.
    #[must_use]
    pub fn target(self, target: &str) -> Self {
        self.with(|state| target.clone_into(&mut state.target))
    }

    /// With one more target that could serve it.
    #[must_use]
    pub fn offered(self, target: FakeTarget) -> Self {
        self.with(|state| state.targets.push(target))
    }

    /// With a prompt of so many tokens, as every target counts it. Without: a quarter of the request's bytes.
    #[must_use]
    pub fn estimated_tokens(self, tokens: u32) -> Self {
        self.with(|state| state.estimated_tokens = Some(tokens))
    }

    pub(super) fn backend(&self) -> Backend {
        Backend(Rc::clone(&self.state))
    }

    /// Runs a hook as a transaction: what it edits is kept only where it returns a verdict the gateway takes.
    pub(super) fn transact<V>(
        &self,
        during: During,
        hook: impl FnOnce(&mut Call) -> Result<V, Fault>,
        denial: impl FnOnce(&V) -> Option<&Denial>,
    ) -> Result<V, Fault> {
        let before = self.state.borrow().clone();
        self.state.borrow_mut().during = during;
        let result = hook(&mut Call::of(self.backend())).and_then(|verdict| match denial(&verdict) {
            Some(denial) => checked(denial).map(|()| verdict),
            None => Ok(verdict),
        });
        if result.is_err() {
            *self.state.borrow_mut() = before;
        }
        result
    }

    /// Runs the hook on the request.
    ///
    /// # Errors
    /// The plugin's fault, or what the gateway would find wrong with its verdict.
    pub fn on_request<P: OnRequest>(&mut self, plugin: &P) -> Result<RequestVerdict, Fault> {
        let verdict = self.transact(
            During::Request,
            |call| plugin.on_request(call),
            |verdict| match verdict {
                RequestVerdict::Deny(denial) => Some(denial),
                _ => None,
            },
        )?;
        if let RequestVerdict::Answer(reply) = &verdict {
            let reply: Value = serde_json::from_str(reply)
                .map_err(|error| Fault::Invalid(format!("the answer is not JSON: {error}")))?;
            if !reply.is_object() {
                return Err(Fault::Invalid("the answer is not a JSON object".to_owned()));
            }
        }
        Ok(verdict)
    }

    /// Runs the hook on the targets offered.
    ///
    /// # Errors
    /// As [`FakeCall::on_request`].
    pub fn on_route<P: OnRoute>(&mut self, plugin: &P) -> Result<RouteVerdict, Fault> {
        let count = u32::try_from(self.state.borrow().targets.len()).unwrap_or(u32::MAX);
        let offered = Targets::new(count, self.backend());
        self.transact(
            During::Route,
            |call| plugin.on_route(call, &offered).and_then(|verdict| targets::checked(verdict, count)),
            |verdict| match verdict {
                RouteVerdict::Deny(denial) => Some(denial),
                _ => None,
            },
        )
    }

    /// As [`FakeCall::on_route`], by names, for tests of who comes first: none where the plugin passes.
    ///
    /// # Errors
    /// As [`FakeCall::on_route`], and where the plugin refuses the call.
    pub fn routed<P: OnRoute>(&mut self, plugin: &P) -> Result<Option<Vec<String>>, Fault> {
        match self.on_route(plugin)? {
            RouteVerdict::Pass => Ok(None),
            RouteVerdict::Deny(denial) => Err(Fault::Invalid(format!("refused: {}", denial.message))),
            RouteVerdict::Order { targets, .. } => {
                let state = self.state.borrow();
                let name = |at: &u32| state.targets.get(*at as usize).map(|target| target.name.clone());
                Ok(Some(targets.iter().filter_map(name).collect()))
            }
        }
    }

    /// Runs the hook on the reply.
    ///
    /// # Errors
    /// As [`FakeCall::on_request`].
    pub fn on_response<P: OnResponse>(&mut self, plugin: &P) -> Result<ResponseVerdict, Fault> {
        let mut reply = Reply::of(self.backend());
        self.transact(
            During::Response,
            |call| plugin.on_response(call, &mut reply),
            |verdict| match verdict {
                ResponseVerdict::Deny(denial) => Some(denial),
                _ => None,
            },
        )
    }

    /// Runs the hook on the call as it is over, with what the other hooks remembered.
    ///
    /// # Errors
    /// The plugin's fault.
    pub fn on_finish<P: OnFinish>(&mut self, plugin: &P) -> Result<(), Fault> {
        let reply = Reply::of(self.backend());
        self.transact(During::Finish, |call| plugin.on_finish(call, &reply), |()| None)
    }

    /// Streams these chunks of one text through the hook; for other kinds see [`Stream`].
    pub fn stream<P: OnDelta>(&mut self, plugin: &P, chunks: &[&str]) -> Outcome {
        Stream::new().run_on(self, plugin, chunks)
    }

    /// The request as hooks left it.
    pub fn request(&self) -> Value {
        self.state.borrow().request.clone()
    }

    /// The reply as hooks left it.
    pub fn reply(&self) -> Value {
        self.state.borrow().reply.clone()
    }

    /// The reply's first text.
    pub fn reply_text(&self) -> String {
        let content = self.state.borrow().reply.pointer("/choices/0/message/content").cloned();
        content.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Headers that hooks set for the client.
    pub fn reply_headers(&self) -> BTreeMap<String, String> {
        self.state.borrow().reply_headers.clone()
    }

    /// Tags on the call.
    pub fn tags(&self) -> BTreeMap<String, String> {
        self.state.borrow().tags.clone()
    }
}

/// What the gateway checks of a denial.
pub(super) fn checked(denial: &Denial) -> Result<(), Fault> {
    if !(400..=599).contains(&denial.status) {
        return Err(Fault::Invalid(format!("a denial with status {}: it must be 400 to 599", denial.status)));
    }
    for (name, value) in &denial.headers {
        let name = name.to_ascii_lowercase();
        if name != "retry-after" && !name.starts_with("x-") {
            return Err(Fault::Invalid(format!("a denial with header {name:?}: only retry-after and x- headers")));
        }
        if value.chars().any(|c| c.is_control()) {
            return Err(Fault::Invalid(format!("the value of {name} has control characters")));
        }
    }
    Ok(())
}
