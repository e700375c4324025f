//! A response body written as a plain async function: it sends bytes and suspends until the connection wants more.
//!
//! No channel and no task: the connection polls the function itself, so back-pressure and cancellation (dropping the body) come for free.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::exchange::Pump;

/// Where the function puts its bytes. One value is held until the connection takes it.
#[derive(Clone, Default)]
pub struct Outlet(Rc<RefCell<Option<Bytes>>>);

impl Outlet {
    /// Hands bytes to the connection; resumes when they have been taken.
    pub async fn send(&self, bytes: Bytes) {
        *self.0.borrow_mut() = Some(bytes);
        // No waker: whoever polls takes the value in the same poll, and polls again when it wants more.
        poll_fn(|_| if self.0.borrow().is_some() { Poll::Pending } else { Poll::Ready(()) }).await;
    }
}

/// The function with its outlet; `E` is what it returns if it failed before it sent anything.
pub struct Generator<E> {
    outlet: Outlet,
    body: Option<Pin<Box<dyn Future<Output = Option<E>>>>>,
    failed: Option<E>,
}

/// What a generator came up with first.
pub enum First<E> {
    Bytes(Bytes),
    Failed(E),
    /// It ended without a byte.
    Empty,
}

impl<E> Generator<E> {
    pub fn new<F>(make: impl FnOnce(Outlet) -> F) -> Generator<E>
    where
        F: Future<Output = Option<E>> + 'static,
    {
        let outlet = Outlet::default();
        let body: Pin<Box<dyn Future<Output = Option<E>>>> = Box::pin(make(outlet.clone()));
        Generator { outlet, body: Some(body), failed: None }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let state = body.as_mut().poll(context);
        let bytes = self.outlet.0.borrow_mut().take();
        match (bytes, state) {
            (bytes, Poll::Ready(failed)) => {
                self.body = None;
                self.failed = failed;
                Poll::Ready(bytes)
            }
            (Some(bytes), Poll::Pending) => Poll::Ready(Some(bytes)),
            (None, Poll::Pending) => Poll::Pending,
        }
    }

    /// Waits for the first bytes: until then the call can still become a proper HTTP error.
    pub async fn first(&mut self) -> First<E> {
        match poll_fn(|context| self.poll(context)).await {
            Some(bytes) => First::Bytes(bytes),
            None => self.failed.take().map_or(First::Empty, First::Failed),
        }
    }

    /// The rest as a body, with what `first` returned at its head.
    pub fn into_pump(self, first: Bytes) -> Pin<Box<dyn Pump>>
    where
        E: Unpin + 'static,
    {
        Box::pin(Rest { first: Some(first), generator: self })
    }
}

struct Rest<E> {
    first: Option<Bytes>,
    generator: Generator<E>,
}

impl<E: Unpin> Pump for Rest<E> {
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(first));
        }
        this.generator.poll(context)
    }
}
