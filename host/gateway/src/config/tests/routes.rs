//! Named routes: what they may say, and what is wrong with what they may not.

use super::*;

const PROVIDERS: &str = "providers:\n  a: { dialect: openai-chat, base_url: http://h, models: [m, both] }\n  b: { dialect: openai-chat, base_url: http://h, models: [both] }\n";

#[test]
fn every_way_of_writing_tiers() {
    let config = good(&format!(
        "{PROVIDERS}aliases: {{ fast: b/quick, named: one }}\nroutes:\n  one: {{ tiers: a/x }}\n  list: {{ tiers: [m, [fast, a/y], {{ a/z: 0.5, b/z: 3 }}] }}\n  \
         share: {{ tiers: {{ a/x: 1, b/x: 2 }} }}\n  ruled: {{ rules: [{{ use: one }}, {{ when: {{ stream: true }}, use: [a/x] }}] }}\n"
    ));
    let shown = |at: usize| -> Vec<Vec<(usize, &str, f64)>> {
        let tiers = config.routes[at].tiers.iter();
        tiers.map(|tier| tier.iter().map(|one| (one.provider, one.model.as_str(), one.weight)).collect()).collect()
    };
    assert_eq!(shown(0), [[(0, "x", 1.0)]]);
    assert_eq!(
        shown(1),
        [vec![(0, "m", 1.0)], vec![(1, "quick", 1.0), (0, "y", 1.0)], vec![(0, "z", 0.5), (1, "z", 3.0)]]
    );
    assert_eq!(shown(2), [[(0, "x", 1.0), (1, "x", 2.0)]]);
    assert!(config.routes[3].tiers.is_empty());
    assert_eq!(config.routes[3].rules[0].using, Using::Route(0));
    assert_eq!(config.routes[0].policy, crate::routing::Policy::default());
    // What is named anywhere is a target of its own.
    assert_eq!(config.providers[0].targets, ["m", "both", "x", "y", "z"]);
    assert_eq!(config.providers[1].targets, ["both", "quick", "z", "x"]);
}

#[test]
fn both_spellings_of_labels_and_headers_are_the_same() {
    let of = |when: &str| good(&format!("{PROVIDERS}routes: {{ r: {{ rules: [{{ when: {when}, use: a/x }}] }} }}\n"));
    let short = of("{ label.region: eu, label.tier: [a, b], header.x-app: one }").routes;
    let long = of("{ label: { region: eu, tier: [a, b] }, header: { X-App: one } }").routes;
    assert_eq!(short, long);
    assert_eq!(of("{ label: { region: eu }, label.tier: [a, b], header.x-app: one }").routes, long);
    assert_eq!(short[0].rules[0].when.label.len(), 2);
}

#[test]
fn targets_lead_somewhere() {
    bad(
        &format!(
            "{PROVIDERS}routes:\n  r:\n    tiers:\n      - aa/x\n      - both\n      - [a/, nothing]\n      - {{ a/x: 0, a/y: 1 }}\n      - r\n      - [m, a/m]\n"
        ),
        &[
            "c.yaml:7:9: there is no provider `aa`, did you mean `a`?",
            "c.yaml:8:9: `both` is served by several providers, write one of `a/both`, `b/both`",
            "c.yaml:9:10: `a/` names no model",
            "c.yaml:9:14: `nothing` is neither an alias nor a model that a provider lists, write `PROVIDER/MODEL`",
            "c.yaml:10:16: expected a weight above 0 and up to 1000000",
            "c.yaml:11:9: `r` is a route, which is no target, name its targets; `use: NAME` of a rule leads to another route",
            "c.yaml:12:13: `a/m` is here twice, give it the sum of the weights",
        ],
    );
}

#[test]
fn routes_have_names_of_their_own_and_lead_on() {
    bad(
        &format!(
            "{PROVIDERS}aliases: {{ fast: a/x }}\nroutes:\n  fast: {{ tiers: a/x }}\n  a: {{ tiers: a/x }}\n  empty: {{}}\n  none: {{ tiers: [] }}\n  \
             x: {{ rules: [{{ use: y }}] }}\n  y: {{ tiers: a/x, rules: [{{ when: {{ key: k }}, use: x }}] }}\n  no: {{ rules: [{{ when: {{}} }}] }}\n"
        ),
        &[
            "c.yaml:6:3: `fast` is also the name of an alias, choose another name",
            "c.yaml:7:3: `a` is also the name of a provider, choose another name",
            "c.yaml:8:3: route `empty` leads nowhere, add `tiers: [PROVIDER/MODEL]`",
            "c.yaml:9:18: expected a target, found an empty list, write `PROVIDER/MODEL`",
            "c.yaml:10:23: route `x` leads back to itself, name the targets in place of the route",
            "c.yaml:11:53: route `y` leads back to itself, name the targets in place of the route",
            "c.yaml:12:17: `use` is missing, add `use:`",
        ],
    );
}

#[test]
fn conditions_are_checked() {
    let rule = |when: &str| format!("{PROVIDERS}routes: {{ r: {{ rules: [{{ when: {when}, use: a/x }}] }} }}\n");
    for (when, error) in [
        ("{ tokens: 8k }", "expected a number of tokens, found `8k`"),
        ("{ time: noon }", "expected a time of day, found `noon`"),
        ("{ days: [mon, someday] }", "expected a day of the week, found `someday`"),
        ("{ time: \"1:00-2:00\", zone: Berlin }", "expected an offset from UTC, found `Berlin`"),
        ("{ zone: UTC }", "expected `time` or `days` beside it, found `UTC`"),
        ("{ team: [] }", "expected a pattern, found an empty list"),
        ("{ header.authorization: x }", "`authorization` holds a credential, which nothing is chosen by"),
        ("{ lable.region: eu }", "unknown field `lable.region`"),
        ("{ label: eu, label.region: eu }", "expected a mapping, found `eu`"),
    ] {
        let errors = Folder::with(&rule(when)).errors(&no_env);
        assert!(errors.contains(error), "{when}: {errors}");
    }
}

#[test]
fn what_is_written_is_shown_and_compared() {
    let text = |weight: u32| {
        format!(
            "routes:\n  r:\n    tiers: [{{ a/x: {weight}, b/x: 1 }}]\n    rules: [{{ when: {{ label.region: eu }}, use: a/x }}]\n"
        )
    };
    let changes = diff(&text(1), &text(2), ("old", "new")).unwrap();
    let shown: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["routes.r.tiers: [{ a/x: 1, b/x: 1 }] -> [{ a/x: 2, b/x: 1 }] (live)"]);
    let long = text(1).replace("{ label.region: eu }", "{ label: { region: eu } }");
    assert!(diff(&text(1), &long, ("old", "new")).unwrap().is_empty(), "another spelling of the same");
    let dotted = file_schema();
    let when = "/properties/routes/additionalProperties";
    let found = dotted.pointer(when).unwrap().to_string();
    assert!(found.contains("patternProperties") && found.contains(r"^label\\..+$"), "{found}");
}
