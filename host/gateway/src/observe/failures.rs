//! What each failure means for whoever gets it: the one table behind docs/failures.md, which a test keeps equal to it and to the code.
//!
//! It is for people: the page, and the advice of `sluice explain`. Nothing on a call's way reads it: that decides by the failure's own
//! fields.

use sluice_dialect::failure::{Blame, Class};

/// What kind of failure of a provider it is, for people.
pub struct Kind {
    /// The status that clients mostly get; the provider's own goes before it.
    pub status: u16,
    pub meaning: &'static str,
    /// What the application should do.
    pub advice: &'static str,
}

/// A code that Sluice itself gives.
pub struct Known {
    pub code: &'static str,
    pub blame: Blame,
    pub status: u16,
    pub meaning: &'static str,
    pub advice: &'static str,
}

const REQUEST: &str = "Mend the request.";
const SMALLER: &str = "Send less: a shorter conversation, fewer files.";
const LATER: &str = "Try again after `retry-after`.";
const ONCE: &str = "Try again once, where repeating is safe; else report it.";
const OPERATOR: &str = "Tell the operator; trying again does not help.";
const UNABLE: &str = "Leave out what the message names, or name another model.";

pub fn kind(class: Class) -> Kind {
    let (status, meaning, advice) = match class {
        Class::Invalid => (400, "the request is malformed or contradicts itself", REQUEST),
        Class::Auth => (401, "the provider does not accept Sluice's key", OPERATOR),
        Class::Permission => (403, "the provider's key may not do this", OPERATOR),
        Class::NotFound => (404, "no such model or object at the provider", "Check the name against `GET /v1/models`."),
        Class::ContextLength => (400, "the prompt does not fit into the model", SMALLER),
        Class::TooLarge => (413, "the provider does not take a body of that size", SMALLER),
        Class::ContentFilter => (400, "a filter of the provider refuses the content", "Change the content."),
        Class::Quota => (429, "the provider's account is out of money or quota", OPERATOR),
        Class::RateLimit => (429, "too many calls or tokens a minute", LATER),
        Class::Overloaded => (503, "the provider has no room", LATER),
        Class::Unsupported => (400, "the model or provider cannot do this", UNABLE),
        Class::Timeout => (504, "the provider did not answer in time", ONCE),
        Class::Server => (500, "the provider failed, or its reply was none", ONCE),
    };
    Kind { status, meaning, advice }
}

const fn client(status: u16, code: &'static str, meaning: &'static str, advice: &'static str) -> Known {
    Known { code, blame: Blame::Client, status, meaning, advice }
}

const fn provider(status: u16, code: &'static str, meaning: &'static str) -> Known {
    Known { code, blame: Blame::Provider, status, meaning, advice: ONCE }
}

const fn plugin(status: u16, code: &'static str, meaning: &'static str, advice: &'static str) -> Known {
    Known { code, blame: Blame::Plugin, status, meaning, advice }
}

const fn gateway(status: u16, code: &'static str, meaning: &'static str, advice: &'static str) -> Known {
    Known { code, blame: Blame::Gateway, status, meaning, advice }
}

const PLAIN: &str = "Send the request plainly, as the message says.";

/// Every code that Sluice gives of its own, by whose failure it is and then by name.
pub const KNOWN: &[Known] = &[
    client(403, "api_key_disabled", "the key is switched off", "Ask the operator."),
    client(401, "api_key_expired", "the key has expired", "Ask the operator for another."),
    client(400, "duplicate_field", "the body has a field twice", REQUEST),
    client(
        403,
        "host_not_allowed",
        "an anonymous call under a name that is not this machine's",
        "Call by localhost, or send a key.",
    ),
    client(401, "invalid_api_key", "no key, or one that is not known here", "Send a key of this gateway."),
    client(400, "invalid_json", "the body is not JSON", REQUEST),
    client(400, "invalid_question", "a question of the admin API that is none", REQUEST),
    client(400, "invalid_type", "a field is of another type", REQUEST),
    client(400, "invalid_value", "a field has a value that it may not have", REQUEST),
    client(404, "key_not_found", "a question about a key that is not there", REQUEST),
    client(400, "malformed_model_name", "the model's name in the path cannot be read", REQUEST),
    client(400, "malformed_path", "the path can be read in two ways", PLAIN),
    client(400, "malformed_request", "the body's framing is broken", REQUEST),
    client(405, "method_not_allowed", "the path serves other methods; `allow` names them", REQUEST),
    client(400, "missing_field", "a field that is needed is not there", REQUEST),
    client(400, "missing_model", "the body names no model", REQUEST),
    client(
        403,
        "model_not_allowed",
        "the key may not use the model",
        "Use a model of `GET /v1/models`, or ask the operator.",
    ),
    client(
        404,
        "model_not_found",
        "nobody here serves a model of that name",
        "Check the name; the message has near ones.",
    ),
    client(400, "no_capable_target", "no target of the route is known to be able to do this", UNABLE),
    client(
        400,
        "no_rule_fits",
        "the route has rules alone, and none is for this call",
        "Ask the operator which calls the route is for.",
    ),
    client(403, "origin_not_allowed", "a web page of another origin asks", "Call from a server, with a key."),
    client(404, "provider_not_found", "the path names a provider that is not configured", REQUEST),
    client(429, "rate_limit_exceeded", "the key's or team's calls or tokens a minute are used up", LATER),
    client(408, "request_body_timeout", "the body did not arrive in time", "Send it again, faster."),
    client(413, "request_too_large", "the body is over `server.limits.body_size`", SMALLER),
    client(404, "target_not_found", "a target that the configuration does not name", REQUEST),
    client(404, "unknown_path", "nothing is served at that path", REQUEST),
    client(400, "unsupported_content", "the target cannot be given that content", UNABLE),
    client(415, "unsupported_content_encoding", "the body is compressed", PLAIN),
    client(415, "unsupported_content_type", "an anonymous body that is neither JSON nor multipart", PLAIN),
    client(400, "unsupported_file", "a file that was uploaded to another provider", "Send the file itself."),
    client(
        400,
        "unsupported_file_reference",
        "the target cannot be given a file by reference",
        "Send the file itself.",
    ),
    client(400, "unsupported_media", "the target cannot be given that medium", UNABLE),
    client(400, "unsupported_operation", "the target has no such operation", "Name another model or provider."),
    client(400, "unsupported_parameter", "the target cannot be told that parameter", UNABLE),
    client(426, "websocket_not_supported", "the path speaks plain HTTP", PLAIN),
    provider(502, "connect_failed", "no connection to the provider"),
    provider(504, "connect_timeout", "no connection within `timeouts.connect`"),
    provider(502, "connection_reset", "the connection closed before a reply began"),
    provider(502, "empty_reply", "a reply without a byte"),
    provider(502, "event_too_long", "an event over `limits.event_size`"),
    provider(504, "headers_timeout", "no head of a reply within `timeouts.headers`"),
    provider(502, "html_reply", "a web page instead of a reply"),
    provider(504, "idle_timeout", "nothing more within `timeouts.idle`"),
    provider(502, "invalid_encoding", "a compressed reply that cannot be read"),
    provider(502, "invalid_event", "an event that cannot be read"),
    provider(502, "invalid_reply", "a reply that is none"),
    provider(502, "invalid_stream", "a stream that cannot be read"),
    provider(502, "models_unknown", "no list of models could be had"),
    provider(502, "no_content", "too much came before any content"),
    provider(502, "protocol_error", "the provider does not speak proper HTTP"),
    provider(504, "reply_timeout", "the reply was not complete within `timeouts.total`"),
    provider(502, "reply_truncated", "the reply broke off"),
    provider(502, "response_failed", "the provider says that it failed, and not why"),
    provider(502, "stream_truncated", "the stream broke off without its end"),
    provider(502, "unexpected_reply", "a reply of another form than was asked for"),
    provider(502, "unexpected_status", "a redirect or another status that is no reply"),
    provider(502, "unexpected_stream", "a stream where a whole reply was asked for"),
    provider(502, "unexpected_type", "a stream that does not say it is one"),
    provider(502, "unknown_encoding", "a compression that Sluice does not read"),
    plugin(502, "attempts_exhausted", "no reply passed the policies within the call's attempts", ONCE),
    plugin(503, "no_route", "a routing plugin leaves no target", OPERATOR),
    plugin(500, "plugin_error", "a plugin failed that calls may not do without", OPERATOR),
    plugin(500, "plugin_fault", "a plugin gave an answer that cannot be used", OPERATOR),
    plugin(400, "stream_refused", "a policy takes no streams", "Call again without `stream`."),
    plugin(403, "unseen_by_policy", "a policy could not read what would pass", OPERATOR),
    gateway(500, "internal", "a mistake in Sluice", "Report it, with the call's id."),
    gateway(503, "no_provider_key", "no key of the provider can be used now", LATER),
    gateway(503, "no_provider_token", "no token for the provider could be had", LATER),
    gateway(503, "overloaded", "as many calls run as may", LATER),
    gateway(503, "policy_missing", "a required plugin is not loaded", OPERATOR),
    gateway(503, "provider_busy", "as many calls as the provider or its key may have", LATER),
    gateway(502, "reply_too_large", "the reply is over what may be held of one", "Ask for less, or tell the operator."),
    gateway(503, "stopping", "the gateway stops", "Try again: another one may answer."),
    gateway(503, "target_drained", "an operator keeps calls from every target of the call", LATER),
];

/// What an application should do about a failure of that code; `None` for a provider's or a plugin's own code.
pub fn advice(code: &str) -> Option<&'static str> {
    KNOWN.iter().find(|known| known.code == code).map(|known| known.advice)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
