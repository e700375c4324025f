//! `plugin!`: from a type and the names of its hooks to the exports of a component.

/// Exports a plugin with exactly the hooks named: `sluice::plugin!(Guard: on_request, on_delta);`, once per crate.
///
/// Hooks are `on_request`, `on_route`, `on_response`, `on_delta`, `on_finish` and `on_complete`; for each the type must implement the trait of that
/// name. Outside a component it only checks that it does.
#[macro_export]
macro_rules! plugin {
    ($plugin:ty : $($hook:ident),+ $(,)?) => {
        #[allow(unsafe_code)]
        const _: () = {
            const fn implements_the_hooks_it_names() {
                $( $crate::__hook_bound!($hook, $plugin); )+
            }
            implements_the_hooks_it_names();
            #[cfg(target_family = "wasm")]
            struct Component;
            #[cfg(target_family = "wasm")]
            ::std::thread_local! {
                static PLUGIN: ::std::cell::OnceCell<$plugin> = const { ::std::cell::OnceCell::new() };
            }
            $crate::__export_base!(Component, $plugin);
            $( $crate::__export_hook!($hook, Component, $plugin); )+
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __hook_bound {
    (on_request, $plugin:ty) => {{
        const fn check<T: $crate::OnRequest>() {}
        check::<$plugin>()
    }};
    (on_route, $plugin:ty) => {{
        const fn check<T: $crate::OnRoute>() {}
        check::<$plugin>()
    }};
    (on_response, $plugin:ty) => {{
        const fn check<T: $crate::OnResponse>() {}
        check::<$plugin>()
    }};
    (on_delta, $plugin:ty) => {{
        const fn check<T: $crate::OnDelta>() {}
        check::<$plugin>()
    }};
    (on_finish, $plugin:ty) => {{
        const fn check<T: $crate::OnFinish>() {}
        check::<$plugin>()
    }};
    (on_complete, $plugin:ty) => {{
        const fn check<T: $crate::OnComplete>() {}
        check::<$plugin>()
    }};
    ($other:ident, $plugin:ty) => {
        compile_error!(concat!(
            "no such hook: ",
            stringify!($other),
            "; there are on_request, on_route, on_response, on_delta, on_finish and on_complete"
        ))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_base {
    ($component:ident, $plugin:ty) => {
        #[cfg(target_family = "wasm")]
        impl $crate::bindings::base::about::Guest for $component {
            fn manifest() -> ::std::string::String {
                $crate::glue::manifest::<$plugin>($crate::Package {
                    name: env!("CARGO_PKG_NAME"),
                    version: env!("CARGO_PKG_VERSION"),
                    description: env!("CARGO_PKG_DESCRIPTION"),
                })
            }
        }
        #[cfg(target_family = "wasm")]
        impl $crate::bindings::base::lifecycle::Guest for $component {
            fn configure(
                settings: ::std::string::String,
            ) -> ::std::result::Result<
                ::std::option::Option<::std::vec::Vec<::std::string::String>>,
                $crate::bindings::types::Fault,
            > {
                $crate::glue::configure(&PLUGIN, &settings)
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::bindings::base::export!($component with_types_in $crate::bindings::base);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_hook {
    (on_request, $component:ident, $plugin:ty) => {
        #[cfg(target_family = "wasm")]
        impl $crate::bindings::request::Guest for $component {
            fn on_request()
            -> ::std::result::Result<$crate::bindings::request::Verdict, $crate::bindings::types::Fault> {
                $crate::glue::on_request(&PLUGIN)
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::bindings::request::export!($component with_types_in $crate::bindings::request);
    };
    (on_route, $component:ident, $plugin:ty) => {
        #[cfg(target_family = "wasm")]
        impl $crate::bindings::route::Guest for $component {
            fn on_route(
                count: ::core::primitive::u32,
            ) -> ::std::result::Result<$crate::bindings::route::Verdict, $crate::bindings::types::Fault> {
                $crate::glue::on_route(&PLUGIN, count)
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::bindings::route::export!($component with_types_in $crate::bindings::route);
    };
    (on_response, $component:ident, $plugin:ty) => {
        #[cfg(target_family = "wasm")]
        impl $crate::bindings::response::Guest for $component {
            fn on_response()
            -> ::std::result::Result<$crate::bindings::response::Verdict, $crate::bindings::types::Fault> {
                $crate::glue::on_response(&PLUGIN)
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::bindings::response::export!($component with_types_in $crate::bindings::response);
    };
    (on_delta, $component:ident, $plugin:ty) => {
        #[cfg(target_family = "wasm")]
        impl $crate::bindings::delta::Guest for $component {
            fn on_delta(
                window: $crate::bindings::delta::Window,
            ) -> ::std::result::Result<$crate::bindings::delta::Verdict, $crate::bindings::types::Fault> {
                $crate::glue::on_delta(&PLUGIN, window)
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::bindings::delta::export!($component with_types_in $crate::bindings::delta);
    };
    (on_finish, $component:ident, $plugin:ty) => {
        #[cfg(target_family = "wasm")]
        impl $crate::bindings::finish::Guest for $component {
            fn on_finish() -> ::std::result::Result<(), $crate::bindings::types::Fault> {
                $crate::glue::on_finish(&PLUGIN)
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::bindings::finish::export!($component with_types_in $crate::bindings::finish);
    };
    (on_complete, $component:ident, $plugin:ty) => {
        #[cfg(target_family = "wasm")]
        impl $crate::bindings::complete::Guest for $component {
            fn on_complete(
                batch: ::std::vec::Vec<::std::string::String>,
            ) -> ::std::result::Result<(), $crate::bindings::types::Fault> {
                $crate::glue::on_complete(&PLUGIN, batch)
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::bindings::complete::export!($component with_types_in $crate::bindings::complete);
    };
    ($other:ident, $component:ident, $plugin:ty) => {};
}
