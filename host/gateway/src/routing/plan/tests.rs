use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::{self, Overrides};
use crate::observe::access_log::Format;
use crate::state::{Identity, State};

/// A core of that configuration, with three providers of OpenAI's format.
fn core(more: &str) -> Core {
    let provider = |name: &str, region: &str| {
        format!(
            "  {name}: {{ dialect: openai-chat, base_url: \"http://127.0.0.1:9/v1\", labels: {{ region: {region} }} }}\n"
        )
    };
    let text = format!("providers:\n{}{}{}{more}", provider("a", "eu"), provider("b", "us"), provider("c", "eu"));
    let reading = config::parse(Path::new("c.yaml"), &text, &|_| None, &Overrides::default());
    let config = reading.result.unwrap_or_else(|errors| panic!("{errors}"));
    Core::new(config, Format::Off, State::open(None, &Identity::new(None, None))).unwrap()
}

fn caller(team: &str) -> Caller {
    Caller { key: "k".into(), team: Some(team.into()), ..Caller::default() }
}

/// `tier:provider/model*weight` of each candidate.
fn shown(core: &Core, plan: &Plan) -> Vec<String> {
    let each = plan.candidates.iter();
    each.map(|one| format!("{}:{}*{}", one.tier, full_name(core, one), one.weight)).collect()
}

fn ask<'a>(model: &'a str, headers: &'a HeaderMap, needs: &'a dyn Fn() -> Needs) -> Wish<'a> {
    Wish {
        prefix: None,
        model: Some(model),
        fallbacks: &[],
        operation: "chat",
        caller: None,
        headers,
        streamed: false,
        now: SystemTime::UNIX_EPOCH,
        needs,
    }
}

fn nothing() -> Needs {
    panic!("nothing depends on the request")
}

const ROUTES: &str = "
aliases: { best: smart, cheap: b/mini }
routes:
  smart:
    tiers:
      - { a/big: 80, cheap: 20 }
      - [c/one, c/two]
    balance: fastest
    affinity: true
    retry: { attempts: 5, deadline: 9s }
    rules:
      - { when: { team: [search, ads] }, use: c/team }
      - { when: { header: { x-app: \"beta*\" }, stream: true }, use: { b/beta: 1 } }
      - { when: { tokens: \">1k\" }, use: long }
      - { when: { time: \"22:00-06:00\" }, use: [a/night] }
  long: { tiers: [b/long], balance: cheapest }
  eu: { tiers: [[a/m, b/m], c/m], require: { label.region: eu } }
";

#[test]
fn tiers_weights_and_settings_are_as_written() {
    let (core, headers) = (core(ROUTES), HeaderMap::new());
    let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(12 * 3_600);
    let few = || Needs { tokens: 10, ..Needs::default() };
    for name in ["smart", "best"] {
        let plan = plan(&core, &Wish { now: noon, ..ask(name, &headers, &few) }).unwrap();
        assert_eq!(shown(&core, &plan), ["0:a/big*80", "0:b/mini*20", "1:c/one*1", "1:c/two*1"]);
        assert_eq!((plan.route.as_deref(), plan.rule), (Some("smart"), None));
        assert_eq!((plan.balance, plan.affinity, plan.policy.attempts), (Balance::Fastest, true, 5));
        assert_eq!(plan.policy.deadline, Some(Duration::from_secs(9)));
        assert_eq!(&*plan.candidates[0].live.name, "a/big");
    }
}

#[test]
fn the_first_rule_that_fits_decides() {
    let (core, mut headers) = (core(ROUTES), HeaderMap::new());
    let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(12 * 3_600);
    let of = |wish: Wish<'_>| plan(&core, &wish).map(|plan| (shown(&core, &plan), plan.rule, plan.balance)).unwrap();
    let search = caller("search");
    let by_team = of(Wish { caller: Some(&search), ..ask("smart", &headers, &nothing) });
    assert_eq!(by_team, (vec!["0:c/team*1".to_owned()], Some(0), Balance::Fastest));
    let many = || Needs { tokens: 5_000, ..Needs::default() };
    let by_tokens = of(ask("smart", &headers, &many));
    assert_eq!(by_tokens, (vec!["0:b/long*1".to_owned()], Some(2), Balance::Cheapest), "with the other's settings");
    let few = || Needs { tokens: 10, ..Needs::default() };
    assert_eq!(of(ask("smart", &headers, &few)).1, Some(3), "midnight in 1970");
    headers.insert("x-app", "beta-2".parse().unwrap());
    let by_header = of(Wish { streamed: true, ..ask("smart", &headers, &nothing) });
    assert_eq!((by_header.0, by_header.1), (vec!["0:b/beta*1".to_owned()], Some(1)));
    assert_eq!(of(Wish { now: noon, ..ask("smart", &headers, &few) }).1, None, "no stream, no beta");
}

#[test]
fn a_request_is_read_once_and_only_where_something_depends_on_it() {
    let (core, headers) = (core(ROUTES), HeaderMap::new());
    plan(&core, &ask("a/m", &headers, &nothing)).unwrap();
    plan(&core, &ask("long", &headers, &nothing)).unwrap();
    let read = Cell::new(0);
    let needs = || {
        read.set(read.get() + 1);
        Needs { tokens: 10, ..Needs::default() }
    };
    plan(&core, &ask("smart", &headers, &needs)).unwrap();
    assert_eq!(read.get(), 1);
}

#[test]
fn labels_that_are_required_hold_for_every_target() {
    let (core, headers) = (core(ROUTES), HeaderMap::new());
    let plan = plan(&core, &ask("eu", &headers, &nothing)).unwrap();
    assert_eq!(shown(&core, &plan), ["0:a/m*1", "1:c/m*1"]);
    let [skipped] = plan.skipped.as_slice() else { panic!("{:?}", plan.skipped) };
    assert_eq!((&*skipped.target, skipped.reason.as_str()), ("b/m", "its label region is not eu"));
}

#[test]
fn labels_hold_behind_rules_that_lead_to_other_routes() {
    let core = core(
        "routes:\n  strict: { tiers: a/m, require: { label: { region: eu } }, rules: [{ use: loose }] }\n  loose: { tiers: [b/m] }\n",
    );
    let headers = HeaderMap::new();
    let failure = plan(&core, &ask("strict", &headers, &nothing)).unwrap_err();
    assert_eq!((failure.status, failure.code.as_deref()), (400, Some("no_capable_target")));
    assert!(failure.message.contains("b/m: its label region is not eu"), "{}", failure.message);
    assert!(plan(&core, &ask("loose", &headers, &nothing)).is_ok());
}

#[test]
fn fallbacks_are_tiers_behind_the_model() {
    let (core, headers) = (core(ROUTES), HeaderMap::new());
    let of = |model, names: &[&str]| {
        let fallbacks: Vec<String> = names.iter().map(ToString::to_string).collect();
        plan(&core, &Wish { fallbacks: &fallbacks, ..ask(model, &headers, &nothing) })
    };
    let one = of("a/m", &["cheap", "a/m", "eu"]).unwrap();
    assert_eq!(shown(&core, &one), ["0:a/m*1", "1:b/mini*1", "3:c/m*1"], "each target once, none that a route refuses");
    assert_eq!((one.route, one.balance), (None, Balance::Weighted));
    let two = of("long", &["c/x"]).unwrap();
    assert_eq!(shown(&core, &two), ["0:b/long*1", "1:c/x*1"]);
    assert_eq!(two.balance, Balance::Cheapest);
    assert_eq!(of("a/m", &["nowhere"]).unwrap_err().status, 404);
}

#[test]
fn what_cannot_do_the_call_is_left_out_where_there_is_a_choice() {
    let core = core(
        "catalog: { a/m: { context_window: 1000 }, b/m: { tools: false } }\n\
         routes: { both: { tiers: [a/m, b/m] }, one: { tiers: a/m } }\n",
    );
    let headers = HeaderMap::new();
    let long = || Needs { tokens: 9_000, ..Needs::default() };
    let both = plan(&core, &ask("both", &headers, &long)).unwrap();
    assert_eq!(shown(&core, &both), ["1:b/m*1"]);
    assert_eq!(both.skipped[0].reason, "context 1000 is less than about 9000 tokens");
    assert!(plan(&core, &ask("one", &headers, &nothing)).is_ok(), "there is no other");
    let worse = || Needs { tokens: 9_000, tools: true, ..Needs::default() };
    let failure = plan(&core, &ask("both", &headers, &worse)).unwrap_err();
    assert_eq!((failure.status, failure.code.as_deref()), (400, Some("no_capable_target")));
    assert!(failure.message.contains("b/m: no tools"), "{}", failure.message);
}

#[test]
fn a_call_that_no_rule_is_for_is_told_so() {
    let core = core("routes: { r: { rules: [{ when: { team: search }, use: a/m }] } }\n");
    let headers = HeaderMap::new();
    let failure = plan(&core, &ask("r", &headers, &nothing)).unwrap_err();
    assert_eq!((failure.status, failure.code.as_deref()), (400, Some("no_rule_fits")));
    let search = caller("search");
    assert!(plan(&core, &Wish { caller: Some(&search), ..ask("r", &headers, &nothing) }).is_ok());
}

#[test]
fn plugins_know_every_name_that_a_call_may_lead_to() {
    let core = core(ROUTES);
    let names = |model: &str, fallbacks: &[String]| names::names(&core, None, Some(model), fallbacks);
    let mut found = names("best", &["cheap".to_owned()]);
    found.sort();
    assert_eq!(
        found,
        [
            "a/big", "a/night", "b/beta", "b/long", "b/mini", "b/mini", "best", "c/one", "c/team", "c/two", "cheap",
            "smart"
        ]
    );
    assert_eq!(names("a/m", &[]), ["a/m", "a/m"]);
}
