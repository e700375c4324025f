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

/// Of a length as it is written: its bytes, the lowest first.
const LENGTH: usize = size_of::<u64>();

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
    let mut spelling = Spelling { out, open: Vec::with_capacity(32), aside: Vec::new() };
    reader.deserialize_map(Request(&mut spelling)).map_err(plain)?;
    reader.end().map_err(plain)
}

/// What is written, and room that all objects use in turn: an allocation for each member would cost more than everything else.
struct Spelling<'a> {
    out: &'a mut Vec<u8>,
    /// Members of the objects that are being read, those of the innermost one last.
    open: Vec<Member>,
    /// Where members lie while they are put in order.
    aside: Vec<u8>,
}

/// A member in `Spelling::out`.
#[derive(Clone, Copy)]
struct Member {
    start: usize,
    /// Behind its name.
    named: usize,
    end: usize,
}

/// The outermost object.
struct Request<'s, 'a>(&'s mut Spelling<'a>);

/// Any value.
struct Value<'s, 'a>(&'s mut Spelling<'a>);

/// A member's name.
struct Name<'s, 'a>(&'s mut Spelling<'a>);

impl<'de> Visitor<'de> for Request<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.members(map, &TRANSPORT)
    }
}

impl<'de> DeserializeSeed<'de> for Name<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<(), E> {
        quote(name, self.0.out);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.out.extend_from_slice(b"null");
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.0.out.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.0.out.extend_from_slice(value.to_string().as_bytes());
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.0.out.extend_from_slice(value.to_string().as_bytes());
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        if value.abs() >= EXACT {
            return Err(E::custom("a number too large to be told from its neighbours"));
        }
        // With a letter before it `1.0` is not `1`: a provider may tell them apart.
        self.0.out.push(b'f');
        self.0.out.extend_from_slice(value.to_string().as_bytes());
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        quote(value, self.0.out);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.0.out.push(b'[');
        while items.next_element_seed(Value(&mut *self.0))?.is_some() {
            self.0.out.push(b',');
        }
        self.0.out.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.members(map, &[])
    }
}

impl Spelling<'_> {
    /// Members are written where they come, then laid in order: nothing is built beside the bytes themselves.
    fn members<'de, A: MapAccess<'de>>(&mut self, mut map: A, without: &[&str]) -> Result<(), A::Error> {
        self.out.push(b'{');
        let (first, start) = (self.open.len(), self.out.len());
        let mut sorted = true;
        loop {
            let at = self.out.len();
            if map.next_key_seed(Name(&mut *self))?.is_none() {
                break;
            }
            let named = self.out.len();
            self.out.push(b':');
            map.next_value_seed(Value(&mut *self))?;
            let member = Member { start: at, named, end: self.out.len() + 1 };
            if without.iter().any(|name| name.as_bytes() == member.name(self.out)) {
                self.out.truncate(at);
                continue;
            }
            self.out.push(b',');
            let before = self.open.get(first..).and_then(<[Member]>::last);
            sorted &= before.is_none_or(|before| before.name(self.out) < member.name(self.out));
            self.open.push(member);
        }
        if !sorted && !self.sort(first, start) {
            return Err(A::Error::custom("a member that is named twice"));
        }
        self.open.truncate(first);
        self.out.push(b'}');
        Ok(())
    }

    /// Lays the members from `first` on, which are all that is written from `start` on, in the order of their names. False where two have
    /// one name.
    fn sort(&mut self, first: usize, start: usize) -> bool {
        let members = self.open.get_mut(first..).unwrap_or_default();
        members.sort_unstable_by(|a, b| a.name(self.out).cmp(b.name(self.out)));
        if members.windows(2).any(|pair| matches!(pair, [a, b] if a.name(self.out) == b.name(self.out))) {
            return false;
        }
        self.aside.clear();
        for member in members {
            self.aside.extend_from_slice(self.out.get(member.start..member.end).unwrap_or_default());
        }
        self.out.truncate(start);
        self.out.extend_from_slice(&self.aside);
        true
    }
}

impl Member {
    fn name<'a>(&self, out: &'a [u8]) -> &'a [u8] {
        out.get(self.start + 1 + LENGTH..self.named).unwrap_or_default()
    }
}

/// A length before the text does what escapes would do, and costs no look at each character.
pub(crate) fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(json: &str) -> Result<Vec<u8>, String> {
        let mut out = b"before".to_vec();
        append(json, &mut out)?;
        assert!(out.starts_with(b"before"));
        Ok(out)
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
