//! Damaged recordings make no panic in any dialect, and no cut of a stream's bytes a difference. `make fuzz` does it for longer.

use std::time::Duration;

use sluice_dialect::Dialect;
use sluice_tests::fuzz::Corpus;

#[test]
fn damaged_recordings_make_no_panic() {
    for dialect in Dialect::ALL {
        let rounds = Corpus::of(dialect).run(1, Duration::from_secs(60), 3_000);
        assert!(rounds > 100, "{}: only {rounds} rounds in a minute", dialect.as_str());
    }
}
