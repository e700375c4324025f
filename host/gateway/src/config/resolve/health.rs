//! `providers.NAME.health`.

use std::time::Duration;

use crate::config::error::{At, Report};
use crate::config::file;
use crate::config::resolved::Health;

pub(super) fn health(written: &file::Health, at: At<'_>, report: &mut Report) -> Health {
    let second = Duration::from_secs(1);
    let mut check = |field: &str, value: Duration, least: Duration, most: Duration, range: &str| {
        if !(least..=most).contains(&value) {
            report.error(at.key(field).place(), format!("expected a duration {range}"));
        }
        value
    };
    Health {
        enabled: written.enabled,
        consecutive: written.consecutive,
        errors: written.errors,
        min: written.min,
        window: check("window", written.window.0, second, 600 * second, "from 1s to 10m"),
        eject: check("eject", written.eject.0, second / 100, 300 * second, "from 10ms to 5m"),
        check: written.check.map(|every| check("check", every.0, second, Duration::MAX, "from 1s to 24h")),
    }
}

/// Of a provider that says nothing.
pub(in crate::config) fn default_health() -> Health {
    health(&file::Health::default(), At::nowhere(), &mut Report::default())
}
