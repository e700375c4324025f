//! One spelling for requests that say the same: members in the order of their names, strings without needless escapes, no white space.
//!
//! Two requests with one spelling get one stored reply, so what could be told apart by a provider must not fall together: an array keeps
//! its order, a number that is not exact in double precision is refused. It does not judge whether a request is worth storing.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// Members of the outermost object that say how a reply is sent, not what is in it.
const TRANSPORT: [&str; 2] = ["stream", "stream_options"];

/// Integers above it are not told apart from their neighbours once they have been read as floating point.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Appends the one spelling of a request's JSON to `out`.
///
/// # Errors
/// Why it has none: not an object, nested deeper than 128, a number that cannot be told from others, a lone surrogate.
pub(crate) fn append(json: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let plain = |error: serde_json::Error| {
        let text = error.to_string();
        text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what).to_owned()
    };
    reader.deserialize_map(Request(out)).map_err(plain)?;
    reader.end().map_err(plain)
}

/// The outermost object.
struct Request<'a>(&'a mut Vec<u8>);

/// Any value.
struct Value<'a>(&'a mut Vec<u8>);

impl<'de> Visitor<'de> for Request<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        members(map, self.0, &TRANSPORT)
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.extend_from_slice(b"null");
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.0.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.0.extend_from_slice(value.to_string().as_bytes());
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.0.extend_from_slice(value.to_string().as_bytes());
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        if value.abs() >= EXACT {
            return Err(E::custom("a number too large to be told from its neighbours"));
        }
        // With a letter before it `1.0` is not `1`: a provider may tell them apart.
        self.0.push(b'f');
        self.0.extend_from_slice(value.to_string().as_bytes());
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        quote(value, self.0);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.0.push(b'[');
        while items.next_element_seed(Value(&mut *self.0))?.is_some() {
            self.0.push(b',');
        }
        self.0.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        members(map, self.0, &[])
    }
}

/// Members are written where they come, then laid in order: nothing is built beside the bytes themselves.
fn members<'de, A: MapAccess<'de>>(mut map: A, out: &mut Vec<u8>, without: &[&str]) -> Result<(), A::Error> {
    out.push(b'{');
    let start = out.len();
    let mut written: Vec<(String, usize, usize)> = Vec::new();
    while let Some(name) = map.next_key::<String>()? {
        let at = out.len();
        quote(&name, out);
        out.push(b':');
        map.next_value_seed(Value(&mut *out))?;
        if without.contains(&name.as_str()) {
            out.truncate(at);
        } else {
            out.push(b',');
            written.push((name, at, out.len()));
        }
    }
    if written.windows(2).any(|pair| matches!(pair, [a, b] if a.0 >= b.0)) {
        written.sort_by(|a, b| a.0.cmp(&b.0));
        if written.windows(2).any(|pair| matches!(pair, [a, b] if a.0 == b.0)) {
            return Err(A::Error::custom("a member that is named twice"));
        }
        let unsorted = out.split_off(start);
        for (_, from, to) in &written {
            out.extend_from_slice(unsorted.get(from - start..to - start).unwrap_or_default());
        }
    }
    out.push(b'}');
    Ok(())
}

/// A length before the text does what escapes would do, and costs no look at each character.
fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(json: &str) -> Result<String, String> {
        let mut out = Vec::new();
        append(json, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn order_of_members_spelling_and_transport_do_not_matter() {
        let one =
            of(r#"{"model":"m","messages":[{"role":"user","content":"caf\u00e9"}],"stream":true,"temperature":0.5}"#);
        let two = of("{\n \"temperature\": 5e-1, \"messages\": [{\"content\": \"café\", \"role\": \"user\"}],
             \"stream_options\": {\"include_usage\": true}, \"model\": \"m\"}");
        assert_eq!(one, two);
        assert!(one.is_ok());
    }

    #[test]
    fn everything_else_does() {
        let all = [
            r#"{"a":1}"#,
            r#"{"a":1.0}"#,
            r#"{"a":"1"}"#,
            r#"{"a":-1}"#,
            r#"{"a":null}"#,
            r#"{"a":false}"#,
            r#"{"a":[1]}"#,
            r#"{"a":[[1]]}"#,
            r#"{"a":[]}"#,
            r#"{"a":{}}"#,
            r#"{"a":[1,2]}"#,
            r#"{"a":[2,1]}"#,
            r#"{"a":{"stream":true}}"#,
            r#"{"a":{"stream":false}}"#,
            r#"{"a":"1:x"}"#,
            r#"{"a":"","b":""}"#,
            r#"{"a":"\",b"}"#,
            r#"{"a":"1","b":1}"#,
            r#"{"b":1}"#,
            "{}",
        ];
        for (at, one) in all.iter().enumerate() {
            for two in all.iter().skip(at + 1) {
                assert_ne!(of(one).unwrap(), of(two).unwrap(), "{one} {two}");
            }
        }
    }

    #[test]
    fn what_cannot_be_told_apart_has_no_spelling() {
        for (json, why) in [
            (r#"{"seed":123456789012345678901234567890}"#, "too large"),
            (r#"{"seed":1e300}"#, "too large"),
            (r#"{"a":1,"a":2}"#, "named twice"),
            (r#"{"a":{"b":1,"c":0,"b":2}}"#, "named twice"),
            (r#"{"a":"\ud800"}"#, "hex escape"),
            ("[]", "request object"),
            ("{", "EOF"),
            ("{} {}", "trailing"),
        ] {
            let error = of(json).unwrap_err();
            assert!(error.contains(why), "{json}: {error}");
        }
        let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
        assert!(of(&deep).unwrap_err().contains("recursion"));
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i32>().prop_map(Into::into),
            "[a-c\"\\\\:,{}\u{e9}]{0,4}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map("[a-c]{0,2}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Equal values have equal spellings and different ones different ones.
        #[test]
        fn one_spelling_for_one_value(a in json(), b in json()) {
            let text = |value: &serde_json::Value| of(&serde_json::json!({ "v": value }).to_string()).unwrap();
            prop_assert_eq!(text(&a) == text(&b), a == b);
            let indented = of(&serde_json::to_string_pretty(&serde_json::json!({ "v": a })).unwrap()).unwrap();
            prop_assert_eq!(indented, text(&a));
        }
    }
}
