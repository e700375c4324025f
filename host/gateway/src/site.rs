//! The gateway as the server sees it: who may ask, its own pages, and the calls that are handed on to the pipeline.
//!
//! Everything here is answered by the snapshot that the server took for the request.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use sluice_dialect::Dialect;
use sluice_dialect::failure::Failure;

use crate::app::{Core, Gateway};
use crate::exchange::{Handler, Inbound, Reply, Road};
use crate::governance::access;
use crate::governance::caller::Caller;
use crate::live;
use crate::observe;
use crate::observe::record::{Outcome, Record};
use crate::pipeline;
use crate::routing::ready;
use crate::server::{self, Options, Page, Site};
use crate::ui::{self, api, explain, targets};

impl Handler for Gateway {
    type Snapshot = Arc<Core>;

    async fn handle(self: Rc<Self>, core: Arc<Core>, inbound: Inbound) -> Reply {
        pipeline::run(self, core, inbound).await
    }
}

impl Site for Gateway {
    fn snapshot(&self) -> Arc<Core> {
        self.live.core()
    }

    fn options(core: &Arc<Core>) -> &Arc<Options> {
        &core.options
    }

    fn admit(&self, core: &Arc<Core>, headers: &HeaderMap) -> Result<Option<Caller>, Failure> {
        access::caller(&core.keys, core.config.server.clients, headers)
    }

    fn administer(&self, core: &Arc<Core>, headers: &HeaderMap) -> Result<bool, Failure> {
        access::admin(core.config.server.admin_token.as_ref(), headers)
    }

    fn turned_away(
        &self,
        core: &Arc<Core>,
        id: &str,
        started: Instant,
        road: Option<&Road>,
        caller: Option<&Caller>,
        failure: &Failure,
    ) {
        let record = Record {
            id: id.to_owned(),
            dialect: road.map_or(Dialect::OpenaiChat, |road| road.dialect),
            operation: road.map_or("none", |road| road.operation.as_str()),
            prefix: road.and_then(|road| road.provider),
            caller: caller.cloned(),
            status: failure.status,
            failure: Some(failure.clone()),
            generation: core.plugins.chain().generation,
            ..Record::default()
        };
        // Who strays makes no call: whoever looks for holes must not push calls out of the ring, or look like many in the metrics.
        let recent = road.map(|_| &core.recent);
        if recent.is_some() {
            core.provider_metrics(None).ended(Outcome::Refused, None);
        }
        observe::tell(&record, Outcome::Refused, started.elapsed(), &core.log, recent, |_document| {});
    }

    fn cut(&self) {
        self.cut.now();
    }

    async fn settled(&self) {
        self.finisher.settled().await;
    }

    fn page(&self, core: &Arc<Core>, page: Page, query: Option<&str>, body: &Bytes) -> Reply {
        let now = Instant::now();
        match page {
            Page::Home => ui::page(),
            Page::Live => server::json(StatusCode::OK, json!({ "status": "alive" }).to_string()),
            Page::Ready => self.ready(core),
            Page::Health => health(core, &self.live.status()),
            Page::Metrics => {
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                server::with_type(StatusCode::OK, kind, targets::metrics(core, now))
            }
            Page::Status => ui::document(api::status(core, &self.live.status(), &self.listen, self.stopping())),
            Page::Plugins => ui::document(core.plugins.render().to_string()),
            Page::Calls => ui::document(api::calls(core, api::after(query))),
            Page::Targets => ui::document(targets::document(core, now).to_string()),
            Page::Explain => answer(explain::answer(core, body, now)),
            Page::Drain => answer(targets::drain(core, body, now)),
        }
    }
}

impl Gateway {
    fn stopping(&self) -> bool {
        self.shutdown.is_draining()
    }

    fn ready(&self, core: &Core) -> Reply {
        let why = if self.stopping() { Some("stopping".to_owned()) } else { core.not_ready() };
        match why {
            None => {
                let degraded = ready::left_out(core, Instant::now()) > 0;
                server::json(StatusCode::OK, json!({ "status": "ready", "degraded": degraded }).to_string())
            }
            Some(reason) => {
                let body = json!({ "status": "not ready", "reason": reason }).to_string();
                let mut reply = server::json(StatusCode::SERVICE_UNAVAILABLE, body);
                reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                reply
            }
        }
    }
}

/// The answer to a question of the admin API, or what is wrong with the question.
fn answer(answer: Result<Value, Failure>) -> Reply {
    match answer {
        Ok(answer) => ui::document(answer.to_string()),
        Err(failure) => server::failure(Dialect::OpenaiChat, &failure, ""),
    }
}

fn health(core: &Core, live: &live::Status) -> Reply {
    let stale = live.error.as_ref().map(|why| format!("the configuration is {}: {why}", live.state.as_str()));
    let left_out = ready::left_out(core, Instant::now());
    // Everybody may read this page, so it has no names; `/api/targets` does.
    let targets =
        (left_out > 0).then(|| format!("targets that get no calls for now: {left_out}; /api/targets names them"));
    let troubles: Vec<String> = stale.into_iter().chain(core.plugins.troubles()).chain(targets).collect();
    let not_ready = core.not_ready();
    let status = match (&not_ready, troubles.is_empty()) {
        (Some(_), _) => "not ready",
        (None, false) => "degraded",
        (None, true) => "ok",
    };
    let body = json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "demo": core.config.demo,
        "calls": core.metrics.in_flight.get(),
        "generation": core.plugins.chain().generation,
        "problems": troubles,
        "reason": not_ready,
        "restart_needed": live.restart_needed,
    });
    server::json(StatusCode::OK, body.to_string())
}
