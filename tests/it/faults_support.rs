//! What the tests of faults share: what can go wrong with a provider, in the bytes of each dialect, and gateways with a route from the one
//! that fails to one that works.

use serde_json::json;
use sluice_dialect::Dialect;
use sluice_dialect::failure::{Blame, Failure};
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::mock::{Exchange, Mock, Script, chunk};
use sluice_tests::unreachable::Unreachable;

use crate::dialects_support::{events, replying};
use crate::plugins_support::{PATIENT, active, with};
use crate::support::PROVIDER_KEY;

/// In every request and every reply; a guard masks it.
pub(crate) const WORD: &str = "bluebird";
pub(crate) const MASK: &str = "***";

/// What the provider that works says, in pieces that cut the word.
pub(crate) const GOOD: [&str; 3] = ["the blue", "bird", " sings"];
/// What a provider says before it breaks off.
pub(crate) const BEGUN: [&str; 2] = ["Once upon ", "a time"];

const JSON: (&str, &str) = ("content-type", "application/json");

/// What goes wrong with a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Refused,
    Blackholed,
    NoTls,
    ResetBeforeHead,
    ClosedBeforeHead,
    ResetAfterHead,
    NoHttp,
    NoHead,
    /// A status, with a `retry-after` where one is given.
    Status(u16, Option<&'static str>),
    WebPage,
    ErrorFirst,
    ErrorAfterRole,
    SlowFirstToken,
    Stall,
    HalfClose,
}

/// What a client gets to see of it where another target is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The other target's reply.
    Other,
    /// The failure itself, since no other target would do better.
    Refusal(u16),
    /// What had come, and an error event.
    BrokenOff,
}

impl Fault {
    /// What goes wrong, and what a whole and a streamed call see of it.
    pub(crate) const ALL: [(&'static str, Fault, Seen, Seen); 29] = {
        use Fault::*;
        use Seen::*;
        [
            ("refused", Refused, Other, Other),
            ("blackholed", Blackholed, Other, Other),
            ("no-tls", NoTls, Other, Other),
            ("reset-before-head", ResetBeforeHead, Other, Other),
            ("closed-before-head", ClosedBeforeHead, Other, Other),
            ("reset-after-head", ResetAfterHead, Other, Other),
            ("no-http", NoHttp, Other, Other),
            ("no-head", NoHead, Other, Other),
            ("401", Status(401, None), Other, Other),
            ("402", Status(402, None), Other, Other),
            ("403", Status(403, None), Other, Other),
            ("408", Status(408, None), Other, Other),
            ("429", Status(429, None), Other, Other),
            ("429-with-delay", Status(429, Some("40")), Other, Other),
            ("429-with-date", Status(429, Some("Wed, 21 Oct 2093 07:28:00 GMT")), Other, Other),
            ("429-with-junk", Status(429, Some("soon")), Other, Other),
            ("500", Status(500, None), Other, Other),
            ("502", Status(502, None), Other, Other),
            ("503", Status(503, Some("-5")), Other, Other),
            ("529", Status(529, None), Other, Other),
            ("web-page", WebPage, Other, Other),
            ("error-first", ErrorFirst, Other, Other),
            ("error-after-role", ErrorAfterRole, Other, Other),
            ("slow-first-token", SlowFirstToken, Other, Other),
            ("stall", Stall, Other, BrokenOff),
            ("half-close", HalfClose, Other, BrokenOff),
            ("400", Status(400, None), Refusal(400), Refusal(400)),
            ("413", Status(413, None), Refusal(413), Refusal(413)),
            ("422", Status(422, None), Refusal(422), Refusal(422)),
        ]
    };

    /// Whether the provider gets to see the request.
    pub(crate) fn reached(self) -> bool {
        !matches!(self, Fault::Refused | Fault::Blackholed | Fault::NoTls)
    }

    fn unreachable(self) -> Option<Unreachable> {
        match self {
            Fault::Refused => Some(Unreachable::refused()),
            Fault::Blackholed => Some(Unreachable::blackholed()),
            Fault::NoTls => Some(Unreachable::without_tls()),
            _ => None,
        }
    }

    fn script(self, dialect: Dialect, stream: bool) -> Script {
        let begun = || stream_of(dialect, &BEGUN);
        let (role, content) = begun();
        match self {
            Fault::Refused | Fault::Blackholed | Fault::NoTls => Script::new().close(),
            Fault::ResetBeforeHead => Script::new().reset(),
            Fault::ClosedBeforeHead => Script::new().close(),
            Fault::NoHttp => Script::new().write("SSH-2.0-OpenSSH_9.6\r\n\r\n").close(),
            Fault::NoHead => Script::new().stall(),
            Fault::Status(status, wish) => error(dialect, status, wish),
            Fault::WebPage => Script::whole(200, &[("content-type", "text/html")], "<html><body>hello</body></html>"),
            Fault::ResetAfterHead if stream => pieces(Script::sse_head(), &role).reset(),
            Fault::SlowFirstToken if stream => pieces(Script::sse_head(), &role).stall(),
            Fault::SlowFirstToken => Script::new().stall(),
            Fault::Stall if stream => pieces(pieces(Script::sse_head(), &role), &content).stall(),
            Fault::ErrorFirst if stream => Script::sse([error_event(dialect)]),
            Fault::ErrorAfterRole if stream => {
                pieces(Script::sse_head(), &role).chunk(error_event(dialect)).end_chunks()
            }
            Fault::HalfClose if stream => {
                pieces(pieces(Script::sse_head(), &role), &content).step(sluice_tests::mock::Step::HalfClose).stall()
            }
            Fault::ErrorFirst | Fault::ErrorAfterRole => Script::whole(200, &[JSON], error_body(dialect, 500)),
            Fault::ResetAfterHead => cut_reply().reset(),
            Fault::Stall => cut_reply().stall(),
            Fault::HalfClose => cut_reply().step(sluice_tests::mock::Step::HalfClose).stall(),
        }
    }
}

fn cut_reply() -> Script {
    Script::new().head(200, &[JSON, ("content-length", "5000")]).write("{\"id\":")
}

fn pieces(script: Script, events: &[Vec<u8>]) -> Script {
    events.iter().fold(script, |script, event| script.write(chunk(event)))
}

/// The stream of a text in these pieces: what comes before the first of it, and the events that carry all but the last piece.
fn stream_of(dialect: Dialect, texts: &[&str]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let all = events(dialect, &replying(&texts.concat()), texts);
    let carries = |event: &Vec<u8>, text: &str| event.windows(text.len()).any(|window| window == text.as_bytes());
    let first = all.iter().position(|event| carries(event, texts[0])).expect("content");
    let second = all.iter().position(|event| carries(event, texts[1])).expect("more content");
    assert!(second > first, "{dialect:?}: both pieces are in one event");
    (all[..first].to_vec(), all[first..second].to_vec())
}

fn failure(status: u16) -> Failure {
    let mut failure = Failure::new(Blame::Provider, status, "server_error", "scripted", format!("scripted {status}"));
    let (kind, code) = match status {
        400 | 413 | 422 => ("invalid_request_error", "invalid_value"),
        401 => ("authentication_error", "invalid_api_key"),
        402 => ("insufficient_quota", "insufficient_quota"),
        403 => ("permission_error", "forbidden"),
        429 => ("rate_limit_error", "rate_limit_exceeded"),
        529 => ("overloaded_error", "overloaded"),
        _ => ("server_error", "scripted"),
    };
    (failure.kind, failure.code) = (kind.into(), Some(code.into()));
    failure
}

/// The body of a provider's error.
pub(crate) fn error_body(dialect: Dialect, status: u16) -> Vec<u8> {
    dialect.api().write_error(&failure(status), "req_scripted").to_vec()
}

fn error_event(dialect: Dialect) -> Vec<u8> {
    match dialect {
        // As recorded of a provider whose upstream failed.
        Dialect::OpenaiChat => {
            format!("data: {}\n\n", json!({"error": {"message": "no capacity", "code": 502}})).into()
        }
        _ => dialect.api().error_event(&failure(500)).to_vec(),
    }
}

/// A provider's error reply.
pub(crate) fn error(dialect: Dialect, status: u16, wish: Option<&str>) -> Script {
    let mut headers = vec![JSON];
    headers.extend(wish.map(|wish| ("retry-after", wish)));
    Script::whole(status, &headers, error_body(dialect, status))
}

/// A provider that answers as it should.
pub(crate) fn good(mock: &Mock, name: &str, dialect: Dialect) {
    let whole = Script::json(200, dialect.api().write_reply(&replying(&GOOD.concat()), &asked()).0);
    let streamed = Script::sse(events(dialect, &replying(&GOOD.concat()), &GOOD));
    mock.on(
        name,
        move |exchange| {
            if crate::dialects_support::wants_stream(exchange) { streamed.clone() } else { whole.clone() }
        },
    );
}

fn asked() -> sluice_dialect::hub::Asked {
    sluice_dialect::hub::Asked { id: "a1".into(), model: "m".into(), sse: true, ..Default::default() }
}

/// A row of a provider.
pub(crate) fn row(name: &str, dialect: Dialect, base: &str, more: &str) -> String {
    let dialect = dialect.as_str();
    format!("  {name}: {{ dialect: {dialect}, base_url: \"{base}\", keys: [\"env:MOCK_KEY\"]{more} }}\n")
}

/// A configuration of these provider rows and route lines.
pub(crate) fn routed(rows: &str, routes: &str, more: &str) -> Setup {
    Setup::config(format!("providers:\n{rows}routes:\n{routes}{more}\n")).env("MOCK_KEY", PROVIDER_KEY)
}

/// The setup with the word masked in requests and replies, or as it is.
pub(crate) fn guarded(setup: Setup, guard: bool) -> Gateway {
    if !guard {
        return setup.start();
    }
    let settings = format!("{PATIENT}\nsettings: {{ words: [{WORD}], action: mask, where: [request, reply] }}\n");
    let gateway = with(setup, "guard", "deny-words", &settings).start();
    active(&gateway, "guard");
    gateway
}

/// One faulty provider and the way it is called.
pub(crate) struct Case {
    /// Of the provider, its script and the route from it to one that works.
    pub(crate) name: String,
    pub(crate) fault: Fault,
    pub(crate) seen: Seen,
    pub(crate) client: Dialect,
    /// The dialect of the provider that works.
    pub(crate) other: Dialect,
    pub(crate) stream: bool,
}

impl Case {
    /// Every fault for these ways, whole and streamed: the client's dialect, the faulty provider's and the good one's.
    pub(crate) fn all(mock: &Mock, ways: &[(Dialect, Dialect, Dialect)]) -> (Vec<Case>, Setup, Vec<Unreachable>) {
        let (mut cases, mut rows, mut routes) = (Vec::new(), String::new(), String::new());
        let mut held = Vec::new();
        for dialect in Dialect::ALL {
            let name = format!("good-{}", dialect.as_str());
            good(mock, &name, dialect);
            rows.push_str(&row(&name, dialect, &mock.base(&name), ""));
        }
        for (client, faulty, other) in ways {
            for (what, fault, whole, streamed) in Fault::ALL {
                for (stream, seen) in [(false, whole), (true, streamed)] {
                    let how = if stream { "stream" } else { "whole" };
                    let name = format!("{what}-{}-{how}", client.as_str());
                    mock.script(&name, fault.script(*faulty, stream));
                    let base = match fault.unreachable() {
                        None => mock.base(&name),
                        Some(way) => {
                            let scheme = if fault == Fault::NoTls { "https" } else { "http" };
                            let base = format!("{scheme}://{}/v1", way.address());
                            held.push(way);
                            base
                        }
                    };
                    let short = ", timeouts: { connect: 400ms, headers: 2s, first_token: 500ms, idle: 500ms, reply_body: 500ms }";
                    // Only what waits for a deadline has a short one: a busy machine must not make others late.
                    let waits =
                        matches!(fault, Fault::Blackholed | Fault::NoHead | Fault::SlowFirstToken | Fault::Stall);
                    rows.push_str(&row(&format!("bad-{name}"), *faulty, &base, if waits { short } else { "" }));
                    let targets = format!("[[bad-{name}/m], [good-{}/m]]", other.as_str());
                    routes.push_str(&format!("  {name}: {{ tiers: {targets} }}\n"));
                    cases.push(Case { name, fault, seen, client: *client, other: *other, stream });
                }
            }
        }
        (cases, routed(&rows, &routes, ""), held)
    }

    /// The requests that the faulty provider got.
    pub(crate) fn tried(&self, mock: &Mock) -> Vec<Exchange> {
        mock.exchanges(&self.name)
    }

    /// The requests of this case that the good provider got: its name is in the question.
    pub(crate) fn saved(&self, mock: &Mock) -> Vec<Exchange> {
        let name = format!("of {}.", self.name);
        let all = mock.exchanges(&format!("good-{}", self.other.as_str()));
        all.into_iter().filter(|exchange| crate::plugins_support::contains(&exchange.body, &name)).collect()
    }

    pub(crate) fn question(&self) -> String {
        format!("tell the {WORD} of {}.", self.name)
    }
}
