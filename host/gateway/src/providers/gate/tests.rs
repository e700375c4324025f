//! Limits of calls at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;

fn gate(calls: u32, queue: u32, wait: Duration) -> Arc<Gate> {
    Arc::new(Gate::new(CallLimits { calls, queue, wait }))
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[tokio::test]
async fn nothing_limited_costs_no_permit() {
    assert!(enter(None, None, later()).await.ok().unwrap().is_none());
}

#[tokio::test]
async fn who_waits_passes_in_the_order_of_arrival() {
    let gate = gate(1, 8, Duration::from_secs(60));
    let first = enter(None, Some(&gate), later()).await.ok().unwrap();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for name in 0..5_u32 {
        let (shared, order) = (Arc::clone(&gate), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            let permit = enter(None, Some(&shared), later()).await.ok().unwrap();
            order.lock().unwrap().push(name);
            drop(permit);
        }));
        while gate.waiting() != name + 1 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!((gate.in_flight(), gate.waiting()), (1, 5));
    drop(first);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
    assert_eq!((gate.in_flight(), gate.waiting()), (0, 0));
}

/// A call that waits for a place.
async fn waiting(gate: &Arc<Gate>) -> tokio::task::JoinHandle<Result<(), Busy>> {
    let waiter = {
        let gate = Arc::clone(gate);
        tokio::spawn(async move { enter(None, Some(&gate), later()).await.map(drop).map_err(|refused| refused.busy) })
    };
    while gate.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    waiter
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_a_long_wait_in_time() {
    let gate = gate(1, 1, Duration::from_secs(1));
    let held = enter(None, Some(&gate), later()).await.ok().unwrap();
    let waiter = waiting(&gate).await;
    let refused = enter(None, Some(&gate), later()).await.err().unwrap();
    assert_eq!(refused.busy, Busy::Full);
    let failure = refused.failure("p", Some("main"));
    assert_eq!((failure.status, failure.code.as_deref()), (503, Some("provider_busy")));
    assert_eq!((failure.retry, failure.retry_after), (Retry::NextTarget, Some(COME_AGAIN)));
    assert!(failure.detail.contains("`main` allows 1, and 1 wait already"), "{}", failure.detail);
    // The refused one no longer counts as waiting; the other gives up by itself.
    assert_eq!(gate.waiting(), 1);
    assert_eq!(waiter.await.unwrap(), Err(Busy::Late));
    assert_eq!(gate.waiting(), 0);
    drop(held);
}

#[tokio::test]
async fn a_call_waits_no_longer_than_it_has_time() {
    let gate = gate(1, 1, Duration::from_secs(3600));
    let held = enter(None, Some(&gate), later()).await.ok().unwrap();
    let refused = enter(None, Some(&gate), Instant::now() + Duration::from_millis(20)).await.err().unwrap();
    assert_eq!(refused.busy, Busy::Late);
    drop(held);
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_place_in_the_queue() {
    let gate = gate(1, 1, Duration::from_secs(60));
    let held = enter(None, Some(&gate), later()).await.ok().unwrap();
    let waiter = waiting(&gate).await;
    waiter.abort();
    assert!(waiter.await.unwrap_err().is_cancelled());
    assert_eq!(gate.waiting(), 0);
    drop(held);
    assert!(enter(None, Some(&gate), later()).await.ok().unwrap().is_some());
}

#[tokio::test]
async fn both_limits_hold_and_the_keys_comes_first() {
    let (key, provider) = (gate(1, 0, Duration::from_secs(1)), gate(2, 0, Duration::from_secs(1)));
    let one = enter(Some(&key), Some(&provider), later()).await.ok().unwrap();
    let refused = enter(Some(&key), Some(&provider), later()).await.err().unwrap();
    assert!(std::ptr::eq(refused.gate, &*key));
    assert_eq!(provider.in_flight(), 1);
    let two = enter(None, Some(&provider), later()).await.ok().unwrap();
    let refused = enter(None, Some(&provider), later()).await.err().unwrap();
    assert!(std::ptr::eq(refused.gate, &*provider));
    drop((one, two));
    assert_eq!((key.in_flight(), provider.in_flight()), (0, 0));
}
