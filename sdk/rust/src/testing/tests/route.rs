//! The fake's targets, and that it refuses the orders that the gateway refuses.

use crate::testing::{FakeCall, FakeTarget};
use crate::{Call, Denial, Fault, NoSettings, OnRoute, Plugin, RouteVerdict, Targets};

/// Does what the model's name says.
struct Router;

impl Plugin for Router {
    type Settings = NoSettings;
    fn configure(_: NoSettings) -> Result<Self, Fault> {
        Ok(Router)
    }
}

impl OnRoute for Router {
    fn on_route(&self, call: &mut Call, targets: &Targets) -> Result<RouteVerdict, Fault> {
        let order =
            |targets: &[u32]| Ok(RouteVerdict::Order { targets: targets.to_vec(), reason: "because".to_owned() });
        call.tag("seen", &targets.len().to_string())?;
        match call.model().as_str() {
            "twice" => order(&[0, 0]),
            "beyond" => order(&[targets.len()]),
            "nobody" => order(&[]),
            "edit" => call.set_model("other").map(|()| RouteVerdict::Pass),
            "deny" => Ok(Denial::new("no_target", "None is in the EU.").status(403).into()),
            "wrong" => Ok(Denial::new("no_target", "No.").status(200).into()),
            "eu" => {
                let eu = targets.iter().filter(|target| target.label("region").as_deref() == Some("eu"));
                order(&eu.map(|target| target.index()).collect::<Vec<_>>())
            }
            _ => Ok(RouteVerdict::Pass),
        }
    }
}

crate::plugin!(Router: on_route);

fn call(model: &str) -> FakeCall {
    FakeCall::chat(serde_json::json!({ "model": model, "messages": [] }))
        .offered(FakeTarget::new("a/one").prices(1.0, 2.0).lacks("tools"))
        .offered(FakeTarget::new("b/two").label("region", "eu").number("error-rate", 0.5).lacks("healthy"))
        .estimated_tokens(900)
}

#[test]
fn an_order_is_by_names_and_leaves_out_the_others() {
    let mut eu = call("eu");
    assert_eq!(eu.routed(&Router), Ok(Some(vec!["b/two".to_owned()])));
    assert_eq!(eu.tags().get("seen").map(String::as_str), Some("2"));
    assert_eq!(call("nobody").routed(&Router), Ok(Some(Vec::new())));
    assert_eq!(call("x").routed(&Router), Ok(None));
    assert!(matches!(call("deny").on_route(&Router), Ok(RouteVerdict::Deny(denial)) if denial.status == 403));
    assert!(call("deny").routed(&Router).is_err());
}

#[test]
fn what_the_gateway_refuses_the_fake_refuses() {
    for (model, words) in
        [("twice", "named twice"), ("beyond", "target 2 is not there"), ("edit", "on-request"), ("wrong", "400 to 599")]
    {
        let mut call = call(model);
        let fault = call.on_route(&Router).unwrap_err();
        assert!(fault.message().contains(words), "{model}: {fault}");
        assert!(call.tags().is_empty(), "{model}: a failed hook leaves no tag");
    }
}

#[test]
fn a_target_says_what_is_known_of_it() {
    let call = call("x");
    let targets = Targets::new(2, call.backend());
    let (one, two) = (targets.get(0).unwrap(), targets.get(1).unwrap());
    assert_eq!((one.name().as_str(), one.index(), two.index()), ("a/one", 0, 1));
    assert_eq!((one.input_price(), one.output_price(), two.input_price()), (Some(1.0), Some(2.0), None));
    assert_eq!((one.weight(), one.in_flight(), one.estimated_tokens()), (1.0, 0.0, 900.0));
    assert_eq!((one.error_rate(), two.error_rate()), (None, Some(0.5)));
    assert!(!one.has("tools") && two.has("tools") && one.is_healthy() && !two.is_healthy());
    assert!(!one.has("telepathy") && targets.get(2).is_none() && targets.iter().count() == 2 && !targets.is_empty());
}
