//! The operator's settings and their bounds. The JSON Schema beside the sources says the same for the gateway's pages.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use sluice::Fault;

const MOST: u32 = 1_000_000;
/// The gateway never shows these to a plugin, so that a bucket for them would be one for everyone.
const CREDENTIALS: [&str; 6] =
    ["authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"];

/// Calls in a time, written `60/min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) calls: u32,
    pub(crate) per_ms: u64,
}

impl Rate {
    fn parse(text: &str) -> Option<Rate> {
        let (calls, unit) = text.split_once('/')?;
        let per_ms = match unit {
            "s" => 1_000,
            "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let digits = !calls.is_empty() && calls.bytes().all(|byte| byte.is_ascii_digit());
        let calls = calls.parse().ok().filter(|calls| digits && (1..=MOST).contains(calls))?;
        Some(Rate { calls, per_ms })
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = Rate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number from 1 to 1000000 of calls in a time, such as 10/s, 60/min, 1000/h or 5000/d")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Rate, E> {
                Rate::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Written)
    }
}

/// What happens to a call without the header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Without {
    Deny,
    Allow,
    #[default]
    Share,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) header: String,
    pub(crate) rate: Rate,
    #[serde(default)]
    pub(crate) burst: Option<u32>,
    #[serde(default)]
    pub(crate) without: Without,
    #[serde(default = "message")]
    pub(crate) message: String,
}

fn message() -> String {
    "Too many calls: wait as long as retry-after says, then call again.".to_owned()
}

impl Settings {
    /// # Errors
    /// Names the field and what it should be.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let wrong = |text: String| Err(Fault::config(format!("settings.{text}")));
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if self.header.is_empty() || self.header.len() > 200 || !self.header.bytes().all(token) {
            return wrong(format!("header: `{}` is not a header's name", self.header));
        }
        if CREDENTIALS.contains(&self.header.to_ascii_lowercase().as_str()) {
            return wrong(format!(
                "header: `{}` carries credentials, which no plugin sees; use a header such as x-user-id",
                self.header
            ));
        }
        if let Some(burst) = self.burst
            && !(1..=MOST).contains(&burst)
        {
            return wrong(format!("burst: {burst} is not from 1 to {MOST}"));
        }
        if self.message.is_empty() {
            return wrong("message: must not be empty".to_owned());
        }
        Ok(())
    }
}
