//! Our groups, each with one feature in use: what it costs those who use it, and that it costs nobody else.

use std::convert::Infallible;
use std::future::Future;
use std::marker::PhantomData;
use std::num::NonZero;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use taskgroup::group::{Builder, Metrics};
use taskgroup::runtime::{Hooked, SpawnHook, Timed};
use taskgroup::{Spawner, TaskGroup};

use super::Contestant;
use crate::runtimes::Runtime;

/// How a group with the feature is opened, and how it starts a child.
pub trait Feature<S: Spawner>: Send + 'static {
    type Spawner: Spawner + Timed;

    fn spawner(spawner: S) -> Self::Spawner;

    fn set(builder: Builder<Self::Spawner>) -> Builder<Self::Spawner> {
        builder
    }

    fn launch<F>(group: &TaskGroup<Self::Spawner>, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        group.launch(child);
    }
}

/// Defines features that are settings of the group or of a child, on the spawner as it is.
macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident { $($body:tt)* })*) => {
        $(
            $(#[$doc])*
            pub struct $name;

            impl<S: Spawner + Timed> Feature<S> for $name {
                type Spawner = S;

                fn spawner(spawner: S) -> S {
                    spawner
                }

                $($body)*
            }
        )*
    };
}

settings! {
    /// Each child has a name, the same for all.
    Named {
        fn launch<F>(group: &TaskGroup<S>, child: F)
        where
            F: Future<Output = ()> + Send + 'static,
        {
            static NAME: LazyLock<Arc<str>> = LazyLock::new(|| "child".into());
            group.child().name(NAME.clone()).launch(child);
        }
    }
    /// A limit that is not reached.
    Limited {
        fn set(builder: Builder<S>) -> Builder<S> {
            builder.limit(NonZero::<usize>::MAX)
        }
    }
    /// A limit that nearly all children wait for.
    Queued {
        fn set(builder: Builder<S>) -> Builder<S> {
            builder.limit(NonZero::new(10).expect("not zero"))
        }
    }
    /// A deadline that is far away.
    WithDeadline {
        fn set(builder: Builder<S>) -> Builder<S> {
            builder.timeout(Duration::from_secs(3600))
        }
    }
    /// Failures would be collected. There are none.
    Collecting {
        fn set(builder: Builder<S>) -> Builder<S> {
            builder.collect()
        }
    }
    /// Failures would be reported to a hook. There are none.
    Supervising {
        fn set(builder: Builder<S>) -> Builder<S> {
            builder.supervise(|_, failure| panic!("nothing fails: {failure:?}"))
        }
    }
    /// Polls are recorded.
    Observed {
        fn set(builder: Builder<S>) -> Builder<S> {
            builder.observe_polls()
        }
    }
    /// Children are counted, for all groups in one place.
    Measured {
        fn set(builder: Builder<S>) -> Builder<S> {
            static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);
            builder.metrics(&METRICS)
        }
    }
}

/// Each child goes through a hook that does nothing.
pub struct Hook;

#[derive(Clone)]
pub struct Nothing;

impl SpawnHook for Nothing {
    fn wrap<F>(&self, child: F) -> impl Future<Output = ()> + Send + 'static
    where
        F: Future<Output = ()> + Send + 'static,
    {
        child
    }
}

impl<S: Spawner + Timed> Feature<S> for Hook {
    type Spawner = Hooked<S, Nothing>;

    fn spawner(spawner: S) -> Self::Spawner {
        Hooked::new(spawner, Nothing)
    }
}

pub struct With<R: Runtime, X: Feature<R::Spawner>>(TaskGroup<X::Spawner>, PhantomData<R>);

impl<R: Runtime, X: Feature<R::Spawner>> Contestant<R> for With<R, X> {
    fn open(runtime: &R) -> Self {
        let builder = TaskGroup::<X::Spawner>::builder::<Infallible>(X::spawner(runtime.spawner()));
        Self(X::set(builder).open(), PhantomData)
    }

    fn launch<F>(&mut self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        X::launch(&self.0, child);
    }

    async fn join(self) {
        self.0.join().await.expect("nothing fails");
    }

    async fn one<F>(&mut self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.spawn(child).await.expect("nothing fails");
    }
}
