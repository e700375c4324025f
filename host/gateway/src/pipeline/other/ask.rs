//! One request to a provider outside a conversation, and its reply.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use sluice_dialect::Dialect;
use sluice_dialect::failure::Failure;

use crate::app::{Core, Gateway};
use crate::pipeline::attempt;
use crate::pipeline::call::{Settle, deadline};
use crate::pipeline::tries::Fault;
use crate::pipeline::upstream::{self, Source, Upstream};
use crate::providers::auth::Credential;
use crate::providers::{Provider, headers};
use crate::routing::decide::Phase;

/// What is asked of whom.
pub(super) struct Question<'a> {
    pub(super) provider: &'a Provider,
    pub(super) key: Option<&'a Credential>,
    pub(super) method: Method,
    pub(super) uri: Uri,
    /// The client's headers and dialect.
    pub(super) client: (&'a HeaderMap, Dialect),
    /// The provider's dialect.
    pub(super) dialect: Dialect,
    pub(super) body: Bytes,
}

/// Sends it and waits for a head that promises a reply: a status from 200 to 299.
pub(super) async fn send(
    gateway: &Gateway,
    core: &Core,
    settle: &mut Settle,
    question: &Question<'_>,
) -> Result<Upstream, Fault> {
    let Question { provider, key, dialect, .. } = question;
    let mut head = HeaderMap::with_capacity(16);
    headers::to_provider(question.client.0, question.client.1, *dialect, &mut head);
    // The reply is read, for what it counts.
    head.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for (name, value) in &provider.config.headers {
        head.insert(name.clone(), value.clone());
    }
    if let Some(key) = key {
        key.authorize(&mut head);
    }
    let make = || {
        let mut request = Request::new(question.body.clone());
        *request.method_mut() = question.method.clone();
        *request.uri_mut() = question.uri.clone();
        *request.headers_mut() = head.clone();
        request
    };
    let timeouts = &provider.config.timeouts;
    let sent = Instant::now();
    let response =
        gateway.clients.of(&core.way).send(make, provider.config.http, timeouts.connect, timeouts.headers).await;
    settle.waited(sent.elapsed());
    let (parts, body) = response.map_err(|error| attempt::unanswered(&error, provider, timeouts.headers))?.into_parts();
    settle.record.last.status = parts.status.as_u16();
    let limits = &provider.config.limits;
    let max = if parts.status.is_success() { limits.reply_size } else { limits.error_size };
    let decoder = upstream::encoding(&parts.headers).map(|encoding| upstream::decoder(encoding, max)).transpose()?;
    let source = Source::Provider { body, decoder };
    let upstream = Upstream { status: parts.status, headers: parts.headers, source, sent, head: Instant::now() };
    if !upstream.status.is_success() {
        return Err(Fault {
            failure: attempt::refused(settle, provider, *dialect, upstream).await,
            phase: Phase::Head,
        });
    }
    Ok(upstream)
}

/// The same for a reply that is read whole.
pub(super) async fn whole(
    gateway: &Gateway,
    core: &Core,
    settle: &mut Settle,
    question: &Question<'_>,
) -> Result<(StatusCode, HeaderMap, Bytes), Fault> {
    let upstream = send(gateway, core, settle, question).await?;
    Ok(collect(settle, question.provider, upstream).await?)
}

/// Reads a reply whole, within the provider's limits.
pub(super) async fn collect(
    settle: &mut Settle,
    provider: &Provider,
    mut upstream: Upstream,
) -> Result<(StatusCode, HeaderMap, Bytes), Failure> {
    let (limits, timeouts) = (&provider.config.limits, &provider.config.timeouts);
    let until = deadline(upstream.head, timeouts.reply_body);
    let began = Instant::now();
    let read = upstream.source.collect(limits.reply_size, until).await;
    settle.waited(began.elapsed());
    let body = read.map_err(|broken| broken.failure(limits.reply_size, timeouts.reply_body))?;
    settle.replied();
    Ok((upstream.status, upstream.headers, body))
}
