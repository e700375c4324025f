use super::opaque::State;
use super::*;

#[test]
fn what_is_told_is_gathered_again() {
    let call = Call { id: "call_1".into(), name: "look".into(), arguments: "{\"a\":1}".into(), ..Call::default() };
    let thought = Reasoning {
        text: "Hm.".into(),
        opaque: Some(Opaque::signature(Dialect::Anthropic, "c2ln")),
        ..Reasoning::default()
    };
    let reply = Reply {
        id: "r".into(),
        model: "m".into(),
        created: Some(7),
        choices: vec![
            Choice {
                index: 0,
                parts: vec![Part::Reasoning(thought), Part::Text(Text::of("Hello")), Part::Call(call)],
                finish: Finish::ToolCalls,
                ..Choice::default()
            },
            Choice { index: 1, parts: vec![Part::Refusal("No.".into())], finish: Finish::Refusal, ..Choice::default() },
        ],
        usage: Some(crate::usage::Usage { input: 3, output: 4, ..Default::default() }),
        ..Reply::default()
    };
    let mut assembler = Assembler::new(10_000);
    for delta in tell(&reply) {
        assembler.push(delta).unwrap();
    }
    assert_eq!(assembler.finish(), reply);
}

#[test]
fn a_reply_over_the_cap_fails() {
    let mut assembler = Assembler::new(100);
    let text = Delta::Text { choice: 0, block: 0, text: "x".repeat(101) };
    assert_eq!(assembler.push(text).unwrap_err().code.as_deref(), Some("reply_too_large"));
}

#[test]
fn state_comes_back_from_a_foreign_place() {
    for state in [
        Opaque::signature(Dialect::Anthropic, "EqQB+/=").made_by("anthropic"),
        Opaque::encrypted(Dialect::OpenaiResponses, "gAAA", Some("rs_1".into())),
    ] {
        let wrapped = state.wrap();
        assert!(is_wrapped(wrapped.as_bytes()));
        assert_eq!(Opaque::read(Dialect::Gemini, &wrapped, |_| unreachable!()), state);
        let respelt = wrapped.replace('+', "-").replace('/', "_");
        assert_eq!(Opaque::read(Dialect::Gemini, &respelt, |_| unreachable!()), state);
    }
    let own = Opaque::read(Dialect::Gemini, "c2x1aWNl", |text| State::Signature(text.to_owned()));
    assert_eq!(own, Opaque::signature(Dialect::Gemini, "c2x1aWNl"));
    assert!(!is_wrapped(b"c2x1aWNl"));
}

#[test]
fn state_fits_its_maker_alone() {
    let made = Opaque::signature(Dialect::OpenaiResponses, "x").made_by("xai");
    assert!(made.fits(Dialect::OpenaiResponses, "xai"));
    assert!(!made.fits(Dialect::OpenaiResponses, "openai"));
    assert!(!made.fits(Dialect::Anthropic, "xai"));
    assert!(Opaque::signature(Dialect::Anthropic, "x").fits(Dialect::Anthropic, "any"));
}

#[test]
fn losses_are_named_once_and_hints_refuse_nothing() {
    let mut losses = Losses::default();
    losses.hint("cache_control");
    assert_eq!(losses.refusal("p/m"), None);
    losses.lose("top_k");
    losses.lose("top_k");
    assert_eq!(losses.iter().count(), 2);
    assert!(losses.refusal("p/m").unwrap().message.contains("top_k"));
}

#[test]
fn members_of_another_dialect_are_losses_or_hints() {
    let Value::Object(members) = serde_json::json!({"store": false, "metadata": {"a": "b"}, "truncation": "auto"})
    else {
        panic!()
    };
    let rest = Rest::new(Dialect::OpenaiResponses, members);
    let mut losses = Losses::default();
    losses.beside(&rest, Dialect::OpenaiResponses);
    assert!(losses.is_empty());
    losses.beside(&rest, Dialect::Anthropic);
    let real: Vec<&str> = losses.iter().filter(|loss| !loss.hint).map(|loss| &*loss.what).collect();
    assert_eq!((losses.iter().count(), real), (3, vec!["truncation"]));
}

#[test]
fn free_text_goes_as_arguments_and_comes_back() {
    for input in ["", "plain", "*** Begin\n\"q\" \u{1}"] {
        assert_eq!(Asked::as_input(&Asked::as_arguments(input)), input);
    }
    for odd in ["", "{\"input\":\"cu", "{\"input\":1}", "{\"input\":\"a\",\"b\":1}", "[]"] {
        assert_eq!(Asked::as_input(odd), odd);
    }
}
