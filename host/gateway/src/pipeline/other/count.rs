//! How many tokens a request is: asked of the provider where it says so in the client's own dialect, else estimated here.
//!
//! The estimate is `capability`'s, by which targets are chosen and callers' limits are counted too. It is for deciding how full a context
//! is, and errs by some ten percent for English. Where a plugin reads
//! requests, the text stays here: a count is no reason to send a provider what the plugin has not seen.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use sluice_dialect::failure::Failure;
use sluice_dialect::{Dialect, anthropic, gemini};

use super::ask::{self, Question};
use super::renamed;
use crate::app::{Core, Gateway};
use crate::pipeline::call::Call;
use crate::pipeline::tries::{Fault, Tries};
use crate::pipeline::{attempt, reply};
use crate::providers::Provider;
use crate::providers::table::Also;
use crate::routing::capability::Needs;
use crate::routing::plan::Candidate;

pub(super) async fn run(
    gateway: &Rc<Gateway>,
    core: &Arc<Core>,
    call: &mut Call,
) -> Result<(HeaderMap, Bytes), Failure> {
    if let Some(counted) = asked(gateway, core, call).await? {
        return Ok(counted);
    }
    let tokens = Needs::of(call.dialect, &call.body).tokens;
    let mut headers = reply::head(&call.settle, None, "application/json");
    headers.insert("x-sluice-estimated", HeaderValue::from_static("tokens"));
    Ok((headers, written(call.dialect, tokens)))
}

/// What a provider counts; `None` where none is asked, or the one that was does not count.
async fn asked(
    gateway: &Rc<Gateway>,
    core: &Arc<Core>,
    call: &mut Call,
) -> Result<Option<(HeaderMap, Bytes)>, Failure> {
    if core.config.demo {
        return Ok(None);
    }
    let model = call.model();
    let mut tries = Tries::of_raw(core, call, model.as_deref())?;
    loop {
        let candidate = tries.next(core, call).await?;
        let Some(provider) = core.providers.get(candidate.provider) else { return Ok(None) };
        // What plugins have not let pass, or let go elsewhere, is counted here.
        if call.chain.has_request_hooks() || call.chain.has_route_hooks() || !counts(provider, call.dialect) {
            return Ok(None);
        }
        match of_provider(gateway, core, call, (&mut tries, &candidate, provider)).await {
            Ok(counted) => return Ok(Some(counted)),
            Err(fault) if matches!(fault.failure.status, 404 | 405 | 501) => return Ok(None),
            Err(fault) => tries.failed(core, call, fault)?,
        }
    }
}

/// Whether the provider may be asked. One that no row describes is asked once more than needed at worst.
fn counts(provider: &Provider, dialect: Dialect) -> bool {
    let own =
        provider.config.dialects.first().is_some_and(|(first, _)| *first == dialect) || provider.config.row.is_some();
    let known = provider.config.row.is_none_or(|row| row.also.contains(&Also::CountTokens));
    dialect != Dialect::OpenaiChat && provider.speaks(dialect) && own && known
}

async fn of_provider(
    gateway: &Rc<Gateway>,
    core: &Arc<Core>,
    call: &mut Call,
    (tries, candidate, provider): (&mut Tries, &Candidate, &Provider),
) -> Result<(HeaderMap, Bytes), Fault> {
    let model = candidate.model.as_deref();
    let name = model.unwrap_or_default();
    let uri = match call.dialect {
        Dialect::Gemini => provider.method_uri(name, "countTokens")?,
        Dialect::Anthropic => provider.below_uri(Dialect::Anthropic, "/count_tokens", call.query.as_deref())?,
        Dialect::OpenaiResponses | Dialect::OpenaiChat => provider.raw_uri("/responses/input_tokens", None)?,
    };
    let body = match model {
        Some(model) if call.dialect != Dialect::Gemini => renamed(&call.body, &call.peek, model),
        _ => call.body.clone(),
    };
    let headers = Arc::clone(&call.headers);
    let client = (&*headers, call.dialect);
    let dialect = call.dialect;
    let key = attempt::place(call, tries, candidate, provider, name).await?;
    let key = key.as_ref();
    let question = Question { provider, key, method: Method::POST, uri, client, dialect, body };
    let (_, told, body) = ask::whole(gateway, core, &mut call.settle, &question).await?;
    Ok((reply::head(&call.settle, Some(&told), "application/json"), body))
}

fn written(dialect: Dialect, tokens: u64) -> Bytes {
    match dialect {
        Dialect::Anthropic => anthropic::write_count(tokens),
        Dialect::Gemini => gemini::write_count(tokens),
        Dialect::OpenaiChat | Dialect::OpenaiResponses => {
            Bytes::from(format!("{{\"object\":\"response.input_tokens\",\"input_tokens\":{tokens}}}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(body: &[u8]) -> u64 {
        Needs::of(Dialect::Anthropic, body).tokens
    }

    #[test]
    fn an_estimate_grows_with_the_text_and_not_with_the_size_of_pictures() {
        let of =
            |text: &str| estimate(format!("{{\"messages\":[{{\"role\":\"user\",\"content\":{text}}}]}}").as_bytes());
        let words = |times: usize| of(&format!("\"{}\"", "one more word ".repeat(times)));
        assert!((3..12).contains(&words(1)), "{}", words(1));
        assert!((340..420).contains(&words(100)), "{}", words(100));
        let picture = |size: usize| {
            of(&format!(
                "[{{\"type\":\"image\",\"source\":{{\"type\":\"base64\",\"data\":\"{}\"}}}}]",
                "A".repeat(size)
            ))
        };
        assert_eq!(picture(10_000), picture(1_000_000));
        assert!(of(&format!("\"{}\"", "\u{d55c}".repeat(100))) >= 100, "a character of Korean is a token");
        assert_eq!([estimate(b"{}"), estimate(b"no json")], [1, 1]);
    }
}
