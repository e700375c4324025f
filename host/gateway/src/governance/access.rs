//! From a request's headers to its caller, or to a refusal that says what to send.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, header};
use sluice_dialect::failure::{Blame, Failure};

use super::caller::Caller;
use super::keys::{Keys, Known};
use crate::config::{Clients, Secret};

/// Where clients of each dialect put their key, beside `Authorization`, which goes before these.
static PLACES: [HeaderName; 3] = [
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-goog-api-key"),
    HeaderName::from_static("api-key"),
];

/// Sluice's own place, and the one that users of Bifrost have in their code.
static OWN: [HeaderName; 2] = [HeaderName::from_static("x-sluice-key"), HeaderName::from_static("x-bf-vk")];

/// The caller of a request. `Ok(None)`: anonymous, where that is allowed; the server's loopback rules then apply.
///
/// # Errors
/// 401 where a key is needed and none, or an unknown one, was sent. A key that is known and has expired (401) or is switched off (403) is
/// refused even where none is needed: it would be served as somebody else otherwise.
pub fn caller(keys: &Keys, clients: Clients, headers: &HeaderMap) -> Result<Option<Caller>, Failure> {
    let needed = clients == Clients::Keys;
    if keys.is_empty() && !needed {
        return Ok(None);
    }
    match presented(headers).map(|key| keys.find(key, SystemTime::now())) {
        Some(Some(known)) => accepted(known).map(|caller| Some(caller.clone())),
        // A key that a client sends out of habit ("dummy-key") is no claim.
        None | Some(None) if !needed => Ok(None),
        None => Err(unauthorized("You did not send a key. Send it as `Authorization: Bearer KEY`.")),
        Some(None) => {
            Err(unauthorized("The key you sent is not known here. Ask the operator of this gateway for one."))
        }
    }
}

/// The caller of a key that serves now.
///
/// # Errors
/// 401 for one that has expired, 403 for one that is switched off.
pub fn accepted(known: Known<'_>) -> Result<&Caller, Failure> {
    match known {
        Known::Caller(caller) => Ok(caller),
        Known::Expired(name, since) => Err(expired(name, since)),
        Known::Disabled(name) => Err(disabled(name)),
    }
}

/// Whether the request carries the admin token; false where none is configured, which only a gateway on loopback is.
///
/// # Errors
/// 401 where a token is configured and none, or another, was sent.
pub fn admin(token: Option<&Secret>, headers: &HeaderMap) -> Result<bool, Failure> {
    let Some(token) = token else { return Ok(false) };
    if presented(headers).is_some_and(|sent| token.is(sent)) {
        return Ok(true);
    }
    Err(unauthorized("This page needs the admin token, as `Authorization: Bearer TOKEN`."))
}

/// Sluice's own places go first: whoever writes them means them, while the others are filled by clients out of habit.
fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let own = OWN.iter().find_map(|place| headers.get(place));
    if let Some(own) = own {
        return Some(own.as_bytes().trim_ascii());
    }
    let bearer = headers.get(header::AUTHORIZATION).map(http::HeaderValue::as_bytes).and_then(|value| {
        let (scheme, rest) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
    });
    bearer.or_else(|| PLACES.iter().find_map(|place| headers.get(place).map(|value| value.as_bytes().trim_ascii())))
}

fn expired(name: &str, since: SystemTime) -> Failure {
    let since = humantime::format_rfc3339_seconds(since);
    let message =
        format!("The key you sent has expired, at {since}. Ask the operator of this gateway for another one.");
    refused("api_key_expired", message).with_detail(format!("key `{name}`: change `expires` to let it in again"))
}

fn disabled(name: &str) -> Failure {
    let message = "The key you sent is switched off. Ask the operator of this gateway.";
    Failure::new(Blame::Client, 403, "permission_error", "api_key_disabled", message)
        .with_detail(format!("key `{name}`: `enabled: false`"))
}

fn unauthorized(message: &str) -> Failure {
    refused("invalid_api_key", message.to_owned())
}

fn refused(code: &'static str, message: String) -> Failure {
    let mut failure = Failure::new(Blame::Client, 401, "authentication_error", code, message);
    failure.headers.push(("www-authenticate".to_owned(), "Bearer".to_owned()));
    failure
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::{ClientKey, sha256};
    use crate::governance::rates::Rates;

    fn key() -> ClientKey {
        ClientKey { name: "app".into(), checks: vec![sha256(b"sk-one")], ..ClientKey::default() }
    }

    fn keys() -> Keys {
        Keys::new(&[key()], &[], &Rates::default())
    }

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn a_key_is_taken_from_every_place() {
        for (name, value) in [
            ("authorization", "Bearer sk-one"),
            ("authorization", "bearer  sk-one "),
            ("x-api-key", "sk-one"),
            ("x-goog-api-key", "sk-one"),
            ("api-key", "sk-one"),
            ("x-sluice-key", "sk-one"),
            ("x-bf-vk", "sk-one"),
        ] {
            let caller = caller(&keys(), Clients::Keys, &headers(name, value)).unwrap().unwrap();
            assert_eq!(&*caller.key, "app", "{name}: {value}");
        }
    }

    #[test]
    fn a_missing_or_unknown_key_is_refused_where_keys_are_needed() {
        for sent in
            [HeaderMap::new(), headers("authorization", "Bearer sk-two"), headers("authorization", "Basic sk-one")]
        {
            assert_eq!(caller(&keys(), Clients::Keys, &sent).unwrap_err().status, 401);
        }
    }

    #[test]
    fn without_keys_any_credential_is_anonymous() {
        let sent = headers("authorization", "Bearer dummy-key");
        assert_eq!(caller(&Keys::default(), Clients::Loopback, &sent).unwrap(), None);
    }

    #[test]
    fn a_known_key_that_may_not_serve_is_nobody_else() {
        let sent = headers("x-api-key", "sk-one");
        let with = |key: ClientKey, clients| caller(&Keys::new(&[key], &[], &Rates::default()), clients, &sent);
        for clients in [Clients::Keys, Clients::Open, Clients::Loopback] {
            let failure = with(ClientKey { expires: Some(SystemTime::UNIX_EPOCH), ..key() }, clients).unwrap_err();
            assert_eq!((failure.status, failure.code.as_deref()), (401, Some("api_key_expired")));
            assert!(failure.message.contains("expired, at 1970-01-01T00:00:00Z"), "{}", failure.message);
            let failure = with(ClientKey { disabled: true, ..key() }, clients).unwrap_err();
            assert_eq!((failure.status, failure.code.as_deref()), (403, Some("api_key_disabled")));
            assert!(with(key(), clients).unwrap().is_some());
        }
    }

    #[test]
    fn the_admin_token_is_compared_whole() {
        let token = Secret::new("token".into());
        assert!(admin(Some(&token), &headers("authorization", "Bearer token")).unwrap());
        assert!(!admin(None, &HeaderMap::new()).unwrap());
        for wrong in ["Bearer toke", "Bearer tokens", "token"] {
            assert!(admin(Some(&token), &headers("authorization", wrong)).is_err(), "{wrong}");
        }
        assert!(admin(Some(&token), &HeaderMap::new()).is_err());
    }
}
