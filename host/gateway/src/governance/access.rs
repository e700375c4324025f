//! From a request's headers to its caller, or to a refusal that says what to send.

use http::{HeaderMap, HeaderName, header};
use sluice_dialect::failure::{Blame, Failure};

use super::keys::{Caller, Keys};
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
/// 401 where a key is needed and none, or an unknown one, was sent.
pub fn caller(keys: &Keys, clients: Clients, headers: &HeaderMap) -> Result<Option<Caller>, Failure> {
    if keys.is_empty() && clients != Clients::Keys {
        return Ok(None);
    }
    if clients != Clients::Keys {
        // A key that a client sends out of habit ("dummy-key") is no claim; a known one still names its caller.
        return Ok(presented(headers).and_then(|key| keys.caller(key)));
    }
    let Some(key) = presented(headers) else {
        return Err(unauthorized("You did not send a key. Send it as `Authorization: Bearer KEY`."));
    };
    match keys.caller(key) {
        Some(caller) => Ok(Some(caller)),
        None => Err(unauthorized("The key you sent is not known here. Ask the operator of this gateway for one.")),
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

fn unauthorized(message: &str) -> Failure {
    let mut failure = Failure::new(Blame::Client, 401, "authentication_error", "invalid_api_key", message);
    failure.headers.push(("www-authenticate".to_owned(), "Bearer".to_owned()));
    failure
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::{ClientKey, sha256};

    fn keys() -> Keys {
        Keys::new(&[ClientKey {
            name: "app".into(),
            check: sha256(b"sk-one"),
            team: None,
            user: None,
            labels: Default::default(),
            models: Vec::new(),
        }])
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
