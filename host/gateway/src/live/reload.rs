//! The thread that keeps the configuration in force what its files say: watches them, judges every change whole, swaps or stays.
//!
//! A change that cannot be used costs nothing but its news. It does not load plugins (`plugins` does, asked from here) and touches no call.

use std::sync::Arc;
use std::time::Duration;

use super::source::{Found, Seen, Source};
use super::{Live, State};
use crate::app::{Core, unix_seconds};
use crate::config::{self, Config, Input};
use crate::watch::{Post, Watch, Woken};

/// Between two readings that must agree before a change counts.
const STEADY: Duration = Duration::from_millis(40);
/// A file that never agrees with itself is judged as it is.
const STEADY_READINGS: usize = 25;

/// Completes a configuration before it is used: the keys that a first start makes.
pub type Complete = Box<dyn Fn(&mut Config) -> Result<(), String> + Send>;

/// What the configuration in force was made of.
pub struct Good {
    pub text: String,
    pub inputs: Vec<Input>,
}

pub struct Reloader {
    pub live: Arc<Live>,
    pub source: Source,
    pub seen: Seen,
    pub good: Option<Good>,
    pub complete: Complete,
}

/// Asks for a look now.
pub struct Look;

impl Reloader {
    /// Watches for the life of the process.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(mut self) -> Result<Post<Look>, String> {
        let mut watch = Watch::new();
        let post = watch.post();
        std::thread::Builder::new()
            .name("config".into())
            .spawn(move || {
                // What changed between the start's reading and the watch was not seen.
                watch.folders(&self.source.folders(&self.seen));
                self.look();
                loop {
                    while watch.folders(&self.source.folders(&self.seen)) {
                        self.look();
                    }
                    match watch.wait() {
                        Woken::Look | Woken::Message(Look) => self.look(),
                    }
                }
            })
            .map_err(|error| format!("the configuration's watcher: {error}"))?;
        Ok(post)
    }

    fn look(&mut self) {
        if self.source.can_change() && self.seen.differs(&self.source.find()) {
            self.judge();
        }
        // A file that is bad or gone must not keep the rotated secrets of the last good one out.
        if self.live.status().state == State::Stale {
            self.renew();
        }
    }

    fn judge(&mut self) {
        let found = self.steady();
        let (result, inputs) = match &found {
            Found::Text(text) if !text.trim().is_empty() => {
                let reading = self.source.parse(text);
                (reading.result.map_err(|errors| errors.to_string()), reading.inputs)
            }
            _ => (Err(self.unusable(&found)), Vec::new()),
        };
        self.seen = Seen::new(&found, inputs.clone());
        match (result.and_then(|config| self.prepare(config)), found) {
            (Ok((core, restart_needed)), Found::Text(text)) => {
                core.state.keep_config(text.as_bytes());
                self.good = Some(Good { text, inputs });
                announce(&core, &restart_needed);
                tracing::info!("{}", self.live.put(core, restart_needed));
            }
            (Ok(_), Found::Absent | Found::Bad(_)) => {}
            (Err(why), _) => {
                tracing::error!("the configuration is refused, the last good one goes on:\n{why}");
                self.live.stale(why);
            }
        }
    }

    /// Reads the further files of the last good configuration again where one of them has changed.
    fn renew(&mut self) {
        let Some(good) = self.good.as_mut().filter(|good| good.inputs.iter().any(Input::has_changed)) else { return };
        let reading = self.source.parse(&good.text);
        good.inputs = reading.inputs;
        match reading.result.map_err(|errors| errors.to_string()).and_then(|config| self.prepare(config)) {
            Ok((core, _)) => {
                self.live.core.store(Arc::new(core));
                tracing::info!("changed secrets or certificates are live, under the last good configuration");
            }
            Err(why) => tracing::error!("secrets or certificates have changed and cannot be used:\n{why}"),
        }
    }

    /// The file once it reads the same twice.
    fn steady(&self) -> Found {
        let mut found = self.source.find();
        for _ in 0..STEADY_READINGS {
            let before = Seen::new(&found, Vec::new());
            std::thread::sleep(STEADY);
            found = self.source.find();
            if !before.differs(&found) {
                break;
            }
        }
        found
    }

    fn unusable(&self, found: &Found) -> String {
        let path = self.source.path().display();
        match found {
            Found::Bad(errors) => errors.to_string(),
            Found::Absent => format!("{path}: the file is gone; put it back, or restart for another configuration"),
            Found::Text(_) => {
                format!("{path}: the file is empty, as a half-written one is; write `{{}}` if nothing is to be set")
            }
        }
    }

    /// Everything that a good configuration needs to be put in force, its plugins included; and the fields that have to wait.
    fn prepare(&self, mut config: Config) -> Result<(Core, Vec<&'static str>), String> {
        let running = self.live.core();
        let restart_needed = config::keep_in_force(&mut config, &running.config);
        (self.complete)(&mut config)?;
        Ok((running.next(config)?, restart_needed))
    }
}

fn announce(core: &Core, restart_needed: &[&'static str]) {
    for warning in &core.config.warnings {
        tracing::warn!("{warning}");
    }
    if !restart_needed.is_empty() {
        let fields = restart_needed.join(", ");
        tracing::warn!("restart needed for {fields}: the value in force stays until then, the rest is live");
    }
}

impl Live {
    /// Puts `core` in force, and says what happened.
    fn put(&self, core: Core, restart_needed: Vec<&'static str>) -> &'static str {
        core.metrics.stale_config.set(0);
        let core = Arc::new(core);
        let mut status = self.status_mut();
        let mended = status.state == State::Stale;
        *status = super::Status {
            state: State::Active,
            digest: core.config.digest.clone(),
            since: unix_seconds(),
            error: None,
            restart_needed,
        };
        self.core.store(core);
        if mended { "the configuration is good again and live" } else { "the new configuration is live" }
    }

    /// Notes that what is in force is not what the file says.
    pub(super) fn stale(&self, why: String) {
        self.core().metrics.stale_config.set(1);
        let mut status = self.status_mut();
        status.state = State::Stale;
        status.error = Some(why);
    }
}
