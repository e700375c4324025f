//! The mock provider as a program, for load runs and for trying things by hand; without a journal.
//!
//! `mock-provider [ADDRESS [PROVIDER]]` answers under `/bench/v1` a fixed 2 KB reply, or a fixed stream where the request asks for one;
//! and, where a provider is named, its recorded cases under the model names `case-0`, `case-1`, ... at any other base address.
#![allow(clippy::print_stdout)]

use sluice_tests::mock::Mock;
use sluice_tests::{load, wire};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9090".to_owned());
    let mock = Mock::listen(&address, false);
    load::register(&mock);
    if let Some(provider) = arguments.next() {
        for (number, case) in wire::of(&provider).iter().enumerate() {
            mock.script(&format!("case-{number}"), case.script());
        }
    }
    println!("listening on http://{}", mock.address());
    loop {
        std::thread::park();
    }
}
