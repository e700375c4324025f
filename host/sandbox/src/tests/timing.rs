//! What a hook costs here, printed; the bounds only catch a change of kind, at many times what is measured on a quiet machine.

use std::time::{Duration, Instant};

use super::guests::{echoing, passing, reading};
use super::probe::Probe;
use super::{block_on, load, spec};
use crate::{Kind, Limits, Piece, Role, Spec, Texts, Window};

const ROUNDS: u32 = 20_000;

/// The best of five runs, for each round.
async fn each(mut run: impl AsyncFnMut()) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        for _ in 0..ROUNDS / 5 {
            run().await;
        }
        best = best.min(began.elapsed() / (ROUNDS / 5));
    }
    best
}

#[test]
fn costs() {
    block_on(async {
        let plugin = load(&passing(), spec("nop")).await.unwrap();
        let nop = each(async || drop(plugin.on_request(Probe::new(0)).await)).await;

        let plugin = load(&echoing(), spec("delta")).await.unwrap();
        let delta = each(async || {
            let text = "fourteen bytes".to_owned();
            let window = Window { choice: 0, part: 0, kind: Kind::Text, name: None, text, last: false };
            drop(plugin.on_delta(Probe::new(0), window).await);
        })
        .await;

        let plugin = load(&reading(), spec("read")).await.unwrap();
        let piece = Piece { role: Role::User, kind: Kind::Text, choice: 0 };
        let texts = Texts { joined: ["x".repeat(228).as_str(); 8].join("\u{1e}"), pieces: vec![piece; 8] };
        let read = each(async || {
            let mut view = Probe::new(0);
            view.texts = texts.clone();
            drop(plugin.on_request(view).await);
        })
        .await;

        let limits = Limits { uses: 1, ..Limits::default() };
        let plugin = load(&passing(), Spec { limits, ..spec("fresh") }).await.unwrap();
        let fresh = each(async || drop(plugin.on_request(Probe::new(0)).await)).await;

        println!(
            "on-request, nop {nop:?}; all text of 8 pieces {read:?}; on-delta {delta:?}; fresh instance {fresh:?}"
        );
        assert!(nop < Duration::from_micros(20), "{nop:?}");
        assert!(delta < Duration::from_micros(30), "{delta:?}");
        assert!(read < Duration::from_micros(60), "{read:?}");
        assert!(fresh < Duration::from_micros(400), "{fresh:?}");
    });
}
