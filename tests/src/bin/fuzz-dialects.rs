//! Feeds every dialect with damaged recordings for as long as it is told: `fuzz-dialects SECONDS [SEED]`, in that time for each dialect.

#![allow(clippy::print_stdout, reason = "what it found is its output")]

use std::time::Duration;

use sluice_dialect::Dialect;
use sluice_tests::fuzz::Corpus;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(600);
    let seed = arguments.next().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}, {seconds} s a dialect");
    for dialect in Dialect::ALL {
        let rounds = Corpus::of(dialect).run(seed, Duration::from_secs(seconds), u64::MAX);
        println!("{}: {rounds} rounds without a finding", dialect.as_str());
    }
}
