//! What signals ask of a serving process: to stop, to look at its files now, or to hand over to a new process.

use std::sync::Arc;

use anyhow::Result;

#[cfg(unix)]
use super::handover::Handover;
use super::notify;
use crate::live::Live;
use crate::server::Shutdown;

/// Handlers are in place when this returns, so that a supervisor which sees the gateway listen can stop it.
pub fn handle(live: Arc<Live>, shutdown: Shutdown, #[cfg(unix)] handover: Handover) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _entered = runtime.enter();
        Signals::new()?
    };
    let wait = move || {
        runtime.block_on(async {
            #[cfg(unix)]
            let mut handover = Some(handover);
            loop {
                match signals.next().await {
                    Asked::Stop => break,
                    Asked::Look => look(&live),
                    #[cfg(unix)]
                    Asked::HandOver => match hand_over(&live, &mut signals, handover.as_ref()).await {
                        After::Served => {
                            // The sockets with it: what comes from now on is the new process's.
                            handover = None;
                            shutdown.hand_over();
                        }
                        After::GoOn => {}
                        After::Stop => break,
                    },
                }
            }
            #[cfg(unix)]
            drop(handover);
            notify::stopping();
            tracing::info!("stopping: calls in flight may finish; a second signal exits at once");
            shutdown.drain();
            while signals.next().await != Asked::Stop {}
            std::process::exit(130);
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(())
}

#[cfg_attr(not(unix), expect(dead_code, reason = "no signal asks for it there"))]
fn look(live: &Live) {
    tracing::info!("looking at configuration and plugins again, as SIGHUP asks");
    live.look();
}

#[cfg(unix)]
enum After {
    Served,
    GoOn,
    /// Asked to stop meanwhile.
    Stop,
}

/// Starts the new process and waits for it to serve.
#[cfg(unix)]
async fn hand_over(live: &Live, signals: &mut Signals, handover: Option<&Handover>) -> After {
    let Some(handover) = handover else {
        tracing::warn!("another process serves already, and this one ends with its calls");
        return After::GoOn;
    };
    tracing::info!("starting a new process to hand over to, as SIGUSR2 asks");
    let starting = match handover.start() {
        Ok(starting) => starting,
        Err(why) => {
            tracing::error!("this process goes on: the new one cannot be started: {why}");
            return After::GoOn;
        }
    };
    let mut served = std::pin::pin!(starting.serves());
    loop {
        tokio::select! {
            served = &mut served => {
                return match served {
                    Ok(process) => {
                        tracing::info!("process {process} serves; this one ends when its calls have ended");
                        After::Served
                    }
                    Err(why) => {
                        tracing::error!("this process goes on: the new one does not serve: {why}");
                        After::GoOn
                    }
                };
            }
            asked = signals.next() => match asked {
                Asked::Stop => return After::Stop,
                Asked::Look => look(live),
                Asked::HandOver => tracing::warn!("a new process is being started already"),
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// The first time to drain, the second to exit at once.
    Stop,
    #[cfg_attr(not(unix), expect(dead_code, reason = "no signal asks for it there"))]
    Look,
    #[cfg(unix)]
    HandOver,
}

struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
    #[cfg(unix)]
    user2: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user2: signal(SignalKind::user_defined2())?,
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
            _ = self.user2.recv() => Asked::HandOver,
        }
        #[cfg(not(unix))]
        {
            let _ = tokio::signal::ctrl_c().await;
            Asked::Stop
        }
    }
}
