//! What signals ask of a serving process: to stop, or to look at its files now.

use std::sync::Arc;

use anyhow::Result;

use crate::live::Live;
use crate::server::Shutdown;

/// Handlers are in place when this returns, so that a supervisor which sees the gateway listen can stop it.
pub fn handle(live: Arc<Live>, shutdown: Shutdown) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _entered = runtime.enter();
        Signals::new()?
    };
    let wait = move || {
        runtime.block_on(async {
            loop {
                match signals.next().await {
                    Asked::Stop => break,
                    Asked::Look => {
                        tracing::info!("looking at configuration and plugins again, as SIGHUP asks");
                        live.look();
                    }
                }
            }
            tracing::info!("stopping: calls in flight may finish; a second signal exits at once");
            shutdown.drain();
            while signals.next().await != Asked::Stop {}
            std::process::exit(130);
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// The first time to drain, the second to exit at once.
    Stop,
    #[cfg_attr(not(unix), expect(dead_code, reason = "no signal asks for it there"))]
    Look,
}

struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    #[cfg(not(unix))]
    fn new() -> Result<Signals> {
        Ok(Signals {})
    }

    async fn next(&mut self) -> Asked {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Look,
        }
        #[cfg(not(unix))]
        {
            let _ = tokio::signal::ctrl_c().await;
            Asked::Stop
        }
    }
}
