//! What kind of failure a provider's words tell, across all providers: by code and type where they say it, else by the sentence.
//!
//! Made from recorded error bodies. A word that nobody has recorded changes nothing: the status then says what kind it is.

use std::time::Duration;

use crate::failure::Class;

/// Codes and types, in lower case, as providers spell them.
const WORDS: [(Class, &[&str]); 9] = [
    (
        Class::Quota,
        &["insufficient_quota", "billing_error", "payment_required", "insufficient_balance", "credits_exhausted"],
    ),
    (
        Class::ContextLength,
        &["context_length_exceeded", "too_many_prompt_tokens", "exceed_context_size_error", "string_above_max_length"],
    ),
    (
        Class::ContentFilter,
        &["content_filter", "content_policy_violation", "responsibleaipolicyviolation", "safety", "moderation_blocked"],
    ),
    (
        Class::Auth,
        &[
            "invalid_api_key",
            "authentication_error",
            "unauthenticated",
            "api_key_invalid",
            "unauthorized",
            "invalid_token",
        ],
    ),
    (Class::Permission, &["permission_error", "permission_denied", "forbidden"]),
    (
        Class::RateLimit,
        &["rate_limit_error", "rate_limit_exceeded", "ratelimitreached", "too_many_requests", "throttlingexception"],
    ),
    (Class::Overloaded, &["overloaded_error", "overloaded", "unavailable", "service_unavailable", "engine_overloaded"]),
    (
        Class::NotFound,
        &[
            "model_not_found",
            "not_found_error",
            "not_found",
            "model_decommissioned",
            "deploymentnotfound",
            "invalid_model",
        ],
    ),
    (
        Class::Unsupported,
        &[
            "unsupported_parameter",
            "unsupported_value",
            "not_supported_error",
            "unimplemented",
            "unsupported_model",
            "model_not_supported",
        ],
    ),
];

/// Parts of sentences, in lower case. The first that fits counts.
const PHRASES: [(Class, &[&str]); 8] = [
    (
        Class::Auth,
        &[
            "incorrect api key",
            "invalid api key",
            "api key not valid",
            "api key is invalid",
            "invalid x-api-key",
            "authentication fails",
        ],
    ),
    (
        Class::Quota,
        &[
            "exceeded your current quota",
            "credit balance",
            "insufficient credits",
            "insufficient balance",
            "out of credits",
        ],
    ),
    (
        Class::ContextLength,
        &[
            "context window",
            "maximum context length",
            "context length",
            "context size",
            "exceed context limit",
            "prompt is too long",
            "input is too long",
            "messages is too long",
            "exceeds the maximum number of tokens",
            "input token count",
        ],
    ),
    (
        Class::ContentFilter,
        &[
            "content management policy",
            "content filter",
            "usage guidelines",
            "usage policies",
            "safety system",
            "content policy",
        ],
    ),
    (Class::RateLimit, &["rate limit", "rate-limit", "getting throttled", "too many requests"]),
    (Class::Overloaded, &["overloaded", "at capacity", "no capacity", "high demand"]),
    (
        Class::NotFound,
        &[
            "no endpoints found",
            "model not found",
            "no longer accessible",
            "has been decommissioned",
            "end of its life",
        ],
    ),
    (Class::Unsupported, &["does not support", "doesn't support", "not supported", "unsupported", "not enabled for"]),
];

/// The kind of failure, where code, type or message tell it. A failure of the server's own stays one, whatever it talks about, unless its
/// code names another.
pub(super) fn of(status: u16, code: Option<&str>, kind: Option<&str>, message: &str) -> Option<Class> {
    let word = [code, kind].into_iter().flatten().find_map(|word| {
        let word = word.to_ascii_lowercase();
        WORDS.iter().find(|(_, words)| words.contains(&word.as_str())).map(|(class, _)| *class)
    });
    let sentence = || {
        let message = message.to_ascii_lowercase();
        let fits = |(_, phrases): &&(Class, &[&str])| phrases.iter().any(|phrase| message.contains(phrase));
        PHRASES.iter().find(fits).map(|(class, _)| *class)
    };
    match (word, status) {
        // Both are told by the same word with some providers; the sentence knows better.
        (Some(class @ (Class::RateLimit | Class::Permission)), _) => {
            Some(sentence().filter(|other| sharper(class, *other)).unwrap_or(class))
        }
        (Some(class), _) => Some(class),
        (None, 400 | 403 | 404 | 413 | 422 | 429) => {
            sentence().filter(|other| status != 429 || sharper(Class::RateLimit, *other))
        }
        (None, 503) => sentence().filter(|other| *other == Class::RateLimit),
        (None, _) => None,
    }
}

/// Whether the sentence's class says more than the code's.
fn sharper(code: Class, sentence: Class) -> bool {
    match code {
        Class::RateLimit => matches!(sentence, Class::Quota | Class::Overloaded),
        Class::Permission => sentence == Class::ContentFilter,
        _ => false,
    }
}

/// The delay that a sentence asks for: "try again in 1m2.5s", "retry after 26 seconds".
pub(super) fn delay(message: &str) -> Option<Duration> {
    const BEFORE: [&str; 4] = ["try again in ", "retry after ", "retry in ", "retry again in "];
    /// Longer than any wait that a client would sit through.
    const MOST: f64 = 7.0 * 86_400.0;
    let lower = message.to_ascii_lowercase();
    let mut rest = BEFORE.iter().find_map(|lead| lower.split_once(lead).map(|(_, rest)| rest))?;
    let mut total = 0.0;
    let mut found = false;
    loop {
        let digits =
            rest.find(|character: char| !(character.is_ascii_digit() || character == '.')).unwrap_or(rest.len());
        let Ok(number) = rest.get(..digits)?.trim_end_matches('.').parse::<f64>() else { break };
        rest = rest.get(digits..)?.trim_start();
        let letters = rest.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(rest.len());
        total += number
            * match rest.get(..letters)? {
                "ms" | "millisecond" | "milliseconds" => 0.001,
                "s" | "sec" | "second" | "seconds" => 1.0,
                "m" | "min" | "minute" | "minutes" => 60.0,
                "h" | "hour" | "hours" => 3600.0,
                _ => break,
            };
        found = true;
        rest = rest.get(letters..)?.trim_start();
    }
    (found && total <= MOST).then(|| Duration::try_from_secs_f64(total).ok()).flatten()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_recognised_as_recorded() {
        for (status, code, kind, message, class) in [
            (
                400,
                Some("context_length_exceeded"),
                None,
                "Your input exceeds the context window of this model.",
                Some(Class::ContextLength),
            ),
            (
                400,
                Some("400"),
                Some("too_many_prompt_tokens"),
                "The total length of all messages is too long.",
                Some(Class::ContextLength),
            ),
            (
                400,
                None,
                Some("invalid_request_error"),
                "prompt is too long: 210000 tokens > 200000 maximum",
                Some(Class::ContextLength),
            ),
            (400, Some("invalid-argument"), None, "Incorrect API key provided.", Some(Class::Auth)),
            (
                401,
                Some("invalid_request_error"),
                Some("authentication_error"),
                "Authentication Fails",
                Some(Class::Auth),
            ),
            (
                429,
                Some("insufficient_quota"),
                Some("insufficient_quota"),
                "You exceeded your current quota",
                Some(Class::Quota),
            ),
            (429, Some("RateLimitReached"), None, "Your requests have exceeded rate limit.", Some(Class::RateLimit)),
            (
                400,
                None,
                Some("invalid_request_error"),
                "Your credit balance is too low to access the API.",
                Some(Class::Quota),
            ),
            (400, Some("content_filter"), None, "The response was filtered", Some(Class::ContentFilter)),
            (403, Some("403"), None, "Content violates usage guidelines.", Some(Class::ContentFilter)),
            (
                400,
                Some("model_decommissioned"),
                Some("invalid_request_error"),
                "The model has been decommissioned and is no longer supported",
                Some(Class::NotFound),
            ),
            (400, Some("unsupported_parameter"), None, "Unsupported parameter: 'max_tokens'", Some(Class::Unsupported)),
            (
                400,
                Some("Client specified an invalid argument"),
                None,
                "Model x does not support parameter reasoningEffort.",
                Some(Class::Unsupported),
            ),
            (404, Some("404"), None, "No endpoints found for qwen/qwq-32b:free.", Some(Class::NotFound)),
            (503, None, None, "Model is getting throttled. Try your request again.", Some(Class::RateLimit)),
            (529, None, Some("overloaded_error"), "Overloaded", Some(Class::Overloaded)),
            (500, None, None, "the context window is not supported", None),
            (400, None, None, "max_tokens must be positive", None),
            (429, None, None, "slow down", None),
        ] {
            assert_eq!(of(status, code, kind, message), class, "{status} {message}");
        }
    }

    #[test]
    fn delays_in_sentences() {
        for (message, millis) in [
            ("Rate limit reached. Please try again in 1m2.5s. Visit", Some(62_500)),
            ("Please retry after 26 seconds.", Some(26_000)),
            ("Please try again in 20ms.", Some(20)),
            ("Please retry in 48.7s.", Some(48_700)),
            ("Please try again in a moment.", None),
            ("try again in ", None),
            ("try again in 99999999999999h", None),
        ] {
            assert_eq!(delay(message), millis.map(Duration::from_millis), "{message}");
        }
    }
}
