//! The generated imports and exports, one world per hook, so that a plugin exports the hooks it names and nothing else.
//!
//! Exists only in a component. The interface is the one definition in `wit/`; the worlds here only choose from it.

/// Everything a plugin may import. What it does not use is dropped when it is linked.
pub mod imports {
    wit_bindgen::generate!({
        inline: r#"
            package sluice:sdk;
            world imports {
                import sluice:plugin/types@0.1.0;
                import sluice:plugin/text@0.1.0;
                import sluice:plugin/call@0.1.0;
                import sluice:plugin/reply@0.1.0;
                import sluice:plugin/targets@0.1.0;
                import sluice:plugin/host@0.1.0;
                import sluice:plugin/kv@0.1.0;
            }
        "#,
        path: "../../wit",
        pub_export_macro: true,
        export_macro_name: "export_nothing",
        generate_all,
    });
}

pub use imports::sluice::plugin::{call, host, kv, reply, targets, text, types};

/// What every plugin exports: its manifest and its settings.
pub mod base {
    wit_bindgen::generate!({
        inline: r#"
            package sluice:sdk;
            world base {
                export sluice:plugin/about@0.1.0;
                export sluice:plugin/lifecycle@0.1.0;
            }
        "#,
        path: "../../wit",
        pub_export_macro: true,
        with: { "sluice:plugin/types@0.1.0": crate::bindings::types },
    });
    pub use exports::sluice::plugin::{about, lifecycle};
}

/// The `on-request` hook.
pub mod request {
    wit_bindgen::generate!({
        inline: r#"
            package sluice:sdk;
            world request { export sluice:plugin/on-request@0.1.0; }
        "#,
        path: "../../wit",
        pub_export_macro: true,
        with: { "sluice:plugin/types@0.1.0": crate::bindings::types },
    });
    pub use exports::sluice::plugin::on_request::{Guest, Verdict};
}

/// The `on-route` hook.
pub mod route {
    wit_bindgen::generate!({
        inline: r#"
            package sluice:sdk;
            world route { export sluice:plugin/on-route@0.1.0; }
        "#,
        path: "../../wit",
        pub_export_macro: true,
        with: { "sluice:plugin/types@0.1.0": crate::bindings::types },
    });
    pub use exports::sluice::plugin::on_route::{Guest, Order, Verdict};
}

/// The `on-response` hook.
pub mod response {
    wit_bindgen::generate!({
        inline: r#"
            package sluice:sdk;
            world response { export sluice:plugin/on-response@0.1.0; }
        "#,
        path: "../../wit",
        pub_export_macro: true,
        with: { "sluice:plugin/types@0.1.0": crate::bindings::types },
    });
    pub use exports::sluice::plugin::on_response::{Guest, Verdict};
}

/// The `on-delta` hook.
pub mod delta {
    wit_bindgen::generate!({
        inline: r#"
            package sluice:sdk;
            world delta { export sluice:plugin/on-delta@0.1.0; }
        "#,
        path: "../../wit",
        pub_export_macro: true,
        with: {
            "sluice:plugin/types@0.1.0": crate::bindings::types,
            "sluice:plugin/text@0.1.0": crate::bindings::text,
        },
    });
    pub use exports::sluice::plugin::on_delta::{Edit, Guest, Verdict, Window};
}

/// The `on-finish` hook.
pub mod finish {
    wit_bindgen::generate!({
        inline: r#"
            package sluice:sdk;
            world finish { export sluice:plugin/on-finish@0.1.0; }
        "#,
        path: "../../wit",
        pub_export_macro: true,
        with: { "sluice:plugin/types@0.1.0": crate::bindings::types },
    });
    pub use exports::sluice::plugin::on_finish::Guest;
}

/// The `on-complete` hook.
pub mod complete {
    wit_bindgen::generate!({
        inline: r#"
            package sluice:sdk;
            world complete { export sluice:plugin/on-complete@0.1.0; }
        "#,
        path: "../../wit",
        pub_export_macro: true,
        with: { "sluice:plugin/types@0.1.0": crate::bindings::types },
    });
    pub use exports::sluice::plugin::on_complete::Guest;
}
