//! The thread that loads plugins: at once at the start, then whenever the directory may have changed, or the configuration did.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use arc_swap::ArcSwap;

use super::chain::Chain;
use super::load::Loader;
use crate::config::Plugins;
use crate::watch::{Post, Watch, Woken};

/// What the loading thread is asked for.
pub enum Ask {
    /// Look at the directory now.
    Look,
    /// Load what this asks for; the answer is where its chain is, which is complete by then.
    Configure(Box<Plugins>, Sender<Arc<ArcSwap<Chain>>>),
}

/// What the first look led to.
pub struct Started {
    pub post: Post<Ask>,
    pub chain: Arc<ArcSwap<Chain>>,
    /// See [`super::Plugins::bad`].
    pub bad: Vec<(String, String)>,
}

/// Runs the first load, then watches for the life of the process. Returns when the first chain is live.
pub fn start(loader: impl FnOnce(Post<Ask>) -> Loader) -> Result<Started, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| format!("the plugin loader: {error}"))?;
    let (loaded, first) = channel();
    let mut watch = Watch::new();
    let post = watch.post();
    let mut loader = loader(watch.post());
    let chain = loader.chain();
    std::thread::Builder::new()
        .name("plugins".into())
        .spawn(move || {
            let look = |loader: &mut Loader| {
                if runtime.block_on(loader.reconcile()) {
                    give_back();
                }
            };
            watch.folders(&BTreeSet::from([loader.dir().to_owned()]));
            look(&mut loader);
            let _ = loaded.send(loader.bad());
            loop {
                match watch.wait() {
                    Woken::Look | Woken::Message(Ask::Look) => look(&mut loader),
                    Woken::Message(Ask::Configure(config, answer)) => {
                        let chain = loader.configure(*config);
                        look(&mut loader);
                        let _ = answer.send(chain);
                    }
                }
                if watch.folders(&BTreeSet::from([loader.dir().to_owned()])) {
                    look(&mut loader);
                }
            }
        })
        .map_err(|error| format!("the plugin loader: {error}"))?;
    let bad = first.recv().map_err(|_| "the plugin loader ended before its first load".to_owned())?;
    Ok(Started { post, chain, bad })
}

/// Compiling a component takes tens of megabytes for a moment, which the allocator would keep for this thread's next compilation.
fn give_back() {
    // SAFETY: collects the calling thread's free memory; takes no pointer, and does nothing where mimalloc is not the allocator.
    #[allow(unsafe_code)]
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}
