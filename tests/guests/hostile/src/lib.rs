//! One component with every way to misbehave: `mode` says how, `hook` where, `trigger` when.
//!
//! A call without the trigger in its newest user text (or in the text of the reply or window at hand, or in the document of a finished
//! call) is served as by a plugin that does nothing, so that the file passes the gateway's dry run. An empty trigger misbehaves always, the
//! dry run included.

// Misbehaving is what this plugin is for.
#![allow(clippy::panic)]

use sluice::{
    Call, DeltaVerdict, Denial, Fault, Finished, Grant, Hook, Level, OnComplete, OnDelta, OnFinish, OnRequest,
    OnResponse, Plugin, Reply, RequestVerdict, ResponseVerdict, Window,
};
use std::hint::black_box;
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    /// Aborts.
    Trap,
    /// Panics with a text.
    Panic,
    /// Leaves through the system interface.
    Exit,
    /// Computes for ever.
    Spin,
    /// Calls itself for ever.
    Recurse,
    /// Allocates for ever.
    GrabMemory,
    /// Answers with 20 MiB; after a call's end with a fault of that size.
    HugeResult,
    /// Answers with bytes that are not UTF-8.
    BadText,
    /// Answers with what is not JSON, on requests; with a hold beyond the text, in windows.
    BadAnswer,
    PanicInConfigure,
    SpinInConfigure,
    FaultInConfigure,
    /// Waits a minute through the system's clock.
    Sleep,
    /// Refuses with status 99.
    BadDenial,
    /// Edits a piece that is not there, and passes the error on.
    BadPiece,
    /// Returns a fault.
    Fault,
    /// Remembers more than a call keeps, and passes the error on.
    HugeRemember,
    /// Keeps 4 KiB under a new key for ever, until there is a fault, which it passes on.
    KvFlood,
    /// Writes 1,000 log lines of 8 KiB and passes.
    LogFlood,
    /// Edits every text to `EDITED`, then aborts; in windows it only aborts.
    SetTextThenTrap,
    /// As `set-text-then-trap`, with a fault.
    SetTextThenFault,
    /// Holds all text back, in windows.
    HoldAll,
    /// Asks for a retry each time, on replies.
    RetryForever,
}

#[derive(Clone, Copy, PartialEq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Where {
    Request,
    Response,
    Delta,
    Finish,
    Complete,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    mode: Mode,
    #[serde(default = "request")]
    hook: Where,
    #[serde(default = "misbehave")]
    trigger: String,
}

fn request() -> Where {
    Where::Request
}

fn misbehave() -> String {
    "misbehave".to_owned()
}

struct Hostile {
    mode: Mode,
    hook: Where,
    trigger: String,
}

impl Plugin for Hostile {
    type Settings = Settings;
    const SCHEMA: &'static str = r#"{"type":"object","required":["mode"],"properties":{"mode":{"type":"string"},"hook":{"enum":["request","response","delta","finish","complete"]},"trigger":{"type":"string"}}}"#;
    const GRANTS: &'static [Grant] = &[Grant::kv("to fill it").optional()];

    fn configure(settings: Settings) -> Result<Self, Fault> {
        match settings.mode {
            Mode::PanicInConfigure => panic!("this plugin panics while it is configured"),
            Mode::SpinInConfigure => spin(),
            Mode::FaultInConfigure => return Err(Fault::config("settings.mode: this one cannot be used")),
            _ => {}
        }
        Ok(Hostile { mode: settings.mode, hook: settings.hook, trigger: settings.trigger })
    }

    fn wants(&self) -> Option<Vec<Hook>> {
        Some(vec![match self.hook {
            Where::Request => Hook::OnRequest,
            Where::Response => Hook::OnResponse,
            Where::Delta => Hook::OnDelta,
            Where::Finish => Hook::OnFinish,
            Where::Complete => Hook::OnComplete,
        }])
    }
}

fn spin() -> ! {
    let mut n = 0u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

#[allow(unconditional_recursion)]
fn recurse(n: u64) -> u64 {
    let frame = black_box([n; 32]);
    recurse(n + 1) + black_box(frame).iter().sum::<u64>()
}

fn grab_memory() -> ! {
    let mut all: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut more = Vec::with_capacity(8 << 20);
        more.push(1);
        all.push(black_box(more));
    }
}

fn huge() -> String {
    "x".repeat(20 << 20)
}

#[allow(unsafe_code)]
fn bad_text() -> String {
    // SAFETY: deliberately not upheld. The bytes leave through the interface before anything reads them as text.
    unsafe { String::from_utf8_unchecked(vec![b'{', 0xFF, 0xFE, 0xC0, b'}']) }
}

impl Hostile {
    fn armed(&self, hook: Where, call: &Call, text: impl FnOnce() -> String) -> bool {
        self.hook == hook
            && (self.trigger.is_empty()
                || call.last_user_text().is_some_and(|text| text.contains(&self.trigger))
                || text().contains(&self.trigger))
    }

    /// What is the same in every hook. Modes that concern verdicts and edits return, as do those of a call where there is none to edit.
    fn misbehave(&self, call: Option<&mut Call>) -> Result<(), Fault> {
        match self.mode {
            Mode::Trap => std::process::abort(),
            Mode::Panic => panic!("this plugin panics on purpose"),
            Mode::Exit => std::process::exit(3),
            Mode::Spin => spin(),
            Mode::Recurse => {
                black_box(recurse(0));
            }
            Mode::GrabMemory => grab_memory(),
            Mode::Sleep => std::thread::sleep(Duration::from_secs(60)),
            Mode::Fault => return Err(Fault::Unavailable("this plugin faults on purpose".to_owned())),
            Mode::HugeRemember => {
                if let Some(call) = call {
                    for n in 0..32 {
                        call.remember_bytes(&format!("k{n}"), &vec![7; 16 * 1024])?;
                    }
                }
            }
            Mode::KvFlood => {
                for n in 0u64.. {
                    sluice::kv::set(&format!("flood-{n}"), [7; 4096], None)?;
                }
            }
            Mode::LogFlood => {
                let line = "x".repeat(8192);
                for _ in 0..1_000 {
                    sluice::log(Level::Info, &line);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What is left of answering once a call is over: a fault.
    fn after_the_end(&self) -> Result<(), Fault> {
        self.misbehave(None)?;
        self.after_edits()?;
        match self.mode {
            Mode::HugeResult => Err(Fault::internal(huge())),
            Mode::BadText => Err(Fault::internal(bad_text())),
            _ => Ok(()),
        }
    }

    fn denial(&self) -> Option<Denial> {
        (self.mode == Mode::BadDenial).then(|| Denial::new("bad\r\ncode", "A status that is none.").status(99))
    }

    fn after_edits(&self) -> Result<(), Fault> {
        match self.mode {
            Mode::SetTextThenTrap => std::process::abort(),
            Mode::SetTextThenFault => Err(Fault::internal("faulted after edits")),
            _ => Ok(()),
        }
    }

    fn edits(&self) -> bool {
        matches!(self.mode, Mode::SetTextThenTrap | Mode::SetTextThenFault)
    }
}

impl OnRequest for Hostile {
    fn on_request(&self, call: &mut Call) -> Result<RequestVerdict, Fault> {
        if !self.armed(Where::Request, call, String::new) {
            return Ok(RequestVerdict::Pass);
        }
        self.misbehave(Some(call))?;
        if self.edits() {
            for piece in &call.texts() {
                call.set_text(piece.index, "EDITED")?;
            }
            call.set_reply_header("x-edited", "yes")?;
            call.tag("edited", "yes")?;
        }
        self.after_edits()?;
        if self.mode == Mode::BadPiece {
            call.set_text(9_999, "nowhere")?;
        }
        if let Some(denial) = self.denial() {
            return Ok(denial.into());
        }
        Ok(match self.mode {
            Mode::HugeResult => RequestVerdict::Answer(huge()),
            Mode::BadText => RequestVerdict::Answer(bad_text()),
            Mode::BadAnswer => RequestVerdict::Answer("not json".to_owned()),
            _ => RequestVerdict::Pass,
        })
    }
}

impl OnResponse for Hostile {
    fn on_response(&self, call: &mut Call, reply: &mut Reply) -> Result<ResponseVerdict, Fault> {
        if !self.armed(Where::Response, call, || reply.texts().joined().to_owned()) {
            return Ok(ResponseVerdict::Pass);
        }
        self.misbehave(Some(call))?;
        if self.edits() {
            for piece in &reply.texts() {
                reply.set_text(piece.index, "EDITED")?;
            }
            call.set_reply_header("x-edited", "yes")?;
        }
        self.after_edits()?;
        if self.mode == Mode::BadPiece {
            reply.set_text(9_999, "nowhere")?;
        }
        if let Some(denial) = self.denial() {
            return Ok(denial.into());
        }
        Ok(match self.mode {
            Mode::HugeResult => ResponseVerdict::Retry(Some(huge())),
            Mode::BadText => ResponseVerdict::Retry(Some(bad_text())),
            Mode::BadAnswer => ResponseVerdict::Retry(Some("no such/target\r\n".to_owned())),
            Mode::RetryForever => ResponseVerdict::Retry(None),
            _ => ResponseVerdict::Pass,
        })
    }
}

impl OnDelta for Hostile {
    fn on_delta(&self, call: &mut Call, window: &Window) -> Result<DeltaVerdict, Fault> {
        if !self.armed(Where::Delta, call, || window.text.clone()) {
            return Ok(DeltaVerdict::PASS);
        }
        self.misbehave(Some(call))?;
        if self.edits() {
            // Refused once the head of a stream is out; the trap comes all the same.
            let _ = call.set_reply_header("x-edited", "yes");
        }
        self.after_edits()?;
        if self.mode == Mode::BadPiece {
            call.set_text(9_999, "nowhere")?;
        }
        if let Some(denial) = self.denial() {
            return Ok(denial.into());
        }
        Ok(match self.mode {
            Mode::HugeResult => DeltaVerdict::Replace { text: huge(), hold: 0 },
            Mode::BadText => DeltaVerdict::Replace { text: bad_text(), hold: 0 },
            Mode::BadAnswer => DeltaVerdict::Replace { text: "short".to_owned(), hold: 1_000_000 },
            Mode::HoldAll => DeltaVerdict::Release { hold: u32::MAX >> 1 },
            _ => DeltaVerdict::PASS,
        })
    }
}

impl OnFinish for Hostile {
    fn on_finish(&self, call: &Call, reply: &Reply) -> Result<(), Fault> {
        if self.armed(Where::Finish, call, || reply.texts().joined().to_owned()) {
            self.after_the_end()
        } else {
            Ok(())
        }
    }
}

impl OnComplete for Hostile {
    fn on_complete(&self, batch: &[Finished]) -> Result<(), Fault> {
        let armed = self.hook == Where::Complete && batch.iter().any(|call| call.json().contains(&self.trigger));
        if armed { self.after_the_end() } else { Ok(()) }
    }
}

sluice::plugin!(Hostile: on_request, on_response, on_delta, on_finish, on_complete);
