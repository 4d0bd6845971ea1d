//! Who is told that a group has changed: its owner, and everybody who listens.
//!
//! There is one owner, and mostly nobody else. So the owner's waker has a place of its own, which costs no allocation.
//! All others listen to an `event_listener::Event`. This module makes sure that they are woken outside of its lock.
//!
//! `Event::notify` calls wakers while it holds the mutex of its list. Such a waker may at once drop another listener of
//! the same event (the waker of a runtime that has shut down may), and that would deadlock. So listeners are given a
//! waker of this module, which only notes during a notification whom to wake. The real wakers are called afterwards.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use event_listener::{Event, EventListener};

use crate::state::effects;
use crate::sync::local;
use crate::sync::lock::Lock;
use crate::unwind::{Quiet, drop_quietly, wake};

local!(
    /// Whom to wake when the notification that is under way on this thread has released its lock.
    static TO_WAKE: RefCell<Option<Vec<Arc<Deferred>>>> = RefCell::new(None)
);

pub(crate) struct Signal {
    ears: Lock<Ears>,
    event: Event,
}

#[derive(Default)]
struct Ears {
    owner: Option<Waker>,
    /// The owner waits for the group. This stays set after its waker was called.
    awaited: bool,
    /// Whether anybody ever listened to the event; before that, the event is not touched.
    others: bool,
}

impl Signal {
    pub(crate) fn new() -> Self {
        Self { ears: Lock::new(Ears::default()), event: Event::new() }
    }

    /// Makes the next notification wake the owner.
    ///
    /// The owner looks at its condition after this call.
    pub(crate) fn wake_owner(&self, waker: &Waker) {
        effects::catch_up();
        let waker = waker.clone();
        let mut ears = self.ears.lock();
        ears.awaited = true;
        let stale = ears.owner.replace(waker);
        drop(ears);
        drop_quietly(stale);
    }

    /// Forgets the owner, which leaves, and its waker; everybody else is told.
    pub(crate) fn forget_owner(&self) {
        let mut ears = self.ears.lock();
        ears.awaited = false;
        let (owner, others) = (ears.owner.take(), ears.others);
        drop(ears);
        drop_quietly(owner);
        if others {
            self.notify_others();
        }
    }

    /// Whether a notification would wake anybody.
    pub(crate) fn is_heard(&self) -> bool {
        let ears = self.ears.lock();
        ears.owner.is_some() || ears.others
    }

    /// Whether the owner waits for the group.
    pub(crate) fn is_awaited(&self) -> bool {
        self.ears.lock().awaited
    }

    /// Wakes the owner, and everybody who listens at this moment.
    pub(crate) fn notify(&self) {
        let mut ears = self.ears.lock();
        let (owner, others) = (ears.owner.take(), ears.others);
        drop(ears);
        if let Some(owner) = owner {
            wake(owner);
        }
        if others {
            self.notify_others();
        }
    }

    fn notify_others(&self) {
        deferring(|| {
            self.event.notify(usize::MAX);
        });
    }

    fn listen(&self) -> EventListener {
        // Set under the lock: if a change finds nobody there, it came before whatever the listener looks at next.
        self.ears.lock().others = true;
        self.event.listen()
    }
}

/// Runs `f`, which takes the lock of an event.
///
/// Afterwards it wakes those that `f` would have woken.
fn deferring(f: impl FnOnce()) {
    // On a thread that is going away there is no list any more, and wakers are called directly.
    let outer = TO_WAKE.try_with(|list| list.borrow_mut().replace(Vec::new()));
    f();
    let Ok(outer) = outer else { return };
    let woken = TO_WAKE.with(|list| std::mem::replace(&mut *list.borrow_mut(), outer));
    woken.into_iter().flatten().map(Waker::from).for_each(wake);
}

/// The waker that listeners are given.
struct Deferred(Quiet<Waker>);

impl Wake for Deferred {
    fn wake(self: Arc<Self>) {
        let direct = TO_WAKE
            .try_with(|list| match &mut *list.borrow_mut() {
                Some(list) => {
                    list.push(self.clone());
                    false
                }
                None => true,
            })
            .unwrap_or(true);
        if direct {
            self.0.wake_by_ref();
        }
    }
}

/// A place from which to wait for a [`Signal`] again and again.
///
/// The order of the fields matters. The listener drops its waker while it holds the lock of the event, so the last
/// reference to that waker must be the one here.
///
/// A listener that was notified, and is dropped before that was noticed, notifies the next one while it is dropped.
#[derive(Default)]
pub(crate) struct Waiter {
    listener: Option<EventListener>,
    waker: Option<Arc<Deferred>>,
}

impl Waiter {
    /// Makes every notification from now on wake the task of `cx`.
    pub(crate) fn listen(&mut self, signal: &Signal, cx: &mut Context<'_>) {
        effects::catch_up();
        let stale = match &self.waker {
            Some(waker) if waker.0.will_wake(cx.waker()) => None,
            _ => self.waker.replace(Arc::new(Deferred(Quiet::new(cx.waker().clone())))),
        };
        let waker = Waker::from(self.waker.clone().expect("set above"));
        let mut cx = Context::from_waker(&waker);
        loop {
            let listener = self.listener.get_or_insert_with(|| signal.listen());
            match Pin::new(listener).poll(&mut cx) {
                Poll::Pending => break,
                Poll::Ready(()) => self.listener = None,
            }
        }
        drop_quietly(stale);
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.take() {
            deferring(|| drop(listener));
        }
    }
}
