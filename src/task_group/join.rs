//! Joining a free-standing group.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::FusedFuture;

use crate::child::context::Withheld;
use crate::error::{CancelReason, GroupError, Origin};
use crate::group::waiting::refuse_own_child;
use crate::observe::patience::Patience;
use crate::observe::snapshot::Snapshot;
use crate::outcome::Outcome;
use crate::outcome::ending::Conclusion;
use crate::spawner::timer::Timed;
use crate::state::member::BODY;
use crate::task_group::TaskGroup;
use crate::unwind::drop_quietly;

/// The future of [`TaskGroup::join`].
#[must_use = "futures do nothing unless awaited, and dropping this one cancels the group"]
pub struct Join<S, E = Infallible> {
    group: Option<TaskGroup<S, E>>,
    withheld: Withheld,
    patience: Option<Box<Patience>>,
}

impl<S, E> Unpin for Join<S, E> {}

impl<S, E> Join<S, E> {
    pub(super) fn new(group: TaskGroup<S, E>) -> Self {
        Self { group: Some(group), withheld: Withheld::default(), patience: None }
    }

    /// The group; `None` once it has ended.
    pub(crate) fn group(&self) -> Option<&TaskGroup<S, E>> {
        self.group.as_ref()
    }
}

impl<S, E> Join<S, E> {
    /// Calls `warn` with a snapshot of the group if the join takes long.
    ///
    /// `warn` is called when the join has waited for `patience` since its first poll, by the clock of the spawner, and again
    /// each time the wait has doubled. The join keeps waiting. If the clock goes away with its runtime, there are no more warnings.
    ///
    /// If this is called again, the last `warn` counts. The task that polls the join calls it, with no lock held. `warn` may look
    /// at the group, cancel it and spawn into it.
    ///
    /// # Panics
    ///
    /// A panic of `warn` is raised in the task that polls the join. Where the runtime has no clock, as Tokio without
    /// `enable_time`, polling the join panics.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use std::time::Duration;
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// let member = group.group();
    /// group.child().name("deaf").launch(std::future::pending::<()>());
    /// group
    ///     .join()
    ///     .warn_after(Duration::from_millis(1), move |left| {
    ///         let why = left.to_string();
    ///         assert!(why.lines().nth(1).unwrap().contains("deaf"), "{why}");
    ///         member.cancel();
    ///     })
    ///     .await
    ///     .unwrap();
    /// # });
    /// # }
    /// ```
    pub fn warn_after(mut self, patience: Duration, warn: impl FnMut(&Snapshot) + Send + 'static) -> Self
    where
        S: Timed,
    {
        let group = self.group.as_ref();
        self.patience = group.map(|group| Patience::new(group.spawner(), patience, warn));
        self
    }

    /// Waits for the end of the group, and returns what it has to report; the group itself is in it unless all went well.
    pub(crate) fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let state = &self.group.as_ref().expect("a `Join` is not polled after it has ended").group.state();
        refuse_own_child(state, "joins its own group");
        // If nothing is left at the first look, there is nothing to wait for.
        let ended = state.conclude(&mut self.withheld, cx).or_else(|| {
            state.watch();
            state.signal().wake_owner(cx.waker());
            state.wind_up(&mut self.withheld, cx)
        });
        let Conclusion::Over(outcome, reason) = ended else {
            if let Some(patience) = &mut self.patience {
                patience.look(state, cx);
            }
            return Poll::Pending;
        };
        let group = (reason.is_some() || !outcome.is_empty()).then(|| Box::new(state.origin(BODY)));
        // A panic of these destructors must not lose the outcome.
        self.patience.take().into_iter().for_each(drop_quietly);
        drop_quietly(self.group.take());
        Poll::Ready(Ended { outcome, reason, group })
    }
}

impl<S, E: 'static> Future for Join<S, E> {
    type Output = Result<(), GroupError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(self.poll_outcome(cx)).conclude())
    }
}

impl<S, E: 'static> FusedFuture for Join<S, E> {
    /// Returns whether the group was joined, and this must not be awaited again.
    fn is_terminated(&self) -> bool {
        self.group.is_none()
    }
}

/// What a group without a body has to report.
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    reason: Option<CancelReason>,
    group: Option<Box<Origin>>,
}

impl Ended {
    pub(crate) fn conclude<E: 'static>(self) -> Result<(), GroupError<E>> {
        let Self { outcome, reason, group } = self;
        let value = outcome.is_good(reason.as_ref()).then_some(());
        outcome.conclude(reason, || *group.clone().expect("not all went well"), value)
    }
}

impl<S, E> UnwindSafe for Join<S, E> {}
impl<S, E> RefUnwindSafe for Join<S, E> {}

impl<S, E> fmt::Debug for Join<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Join").field(&self.group).finish()
    }
}
