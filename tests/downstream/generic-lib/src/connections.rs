//! The connections of a server.

use std::convert::Infallible;
use std::future::Future;

use taskgroup::{GroupError, Spawner, TaskGroup};

/// The connections of a server; each of them is a child of one group.
///
/// Dropping this value cancels all connections.
#[derive(Debug)]
pub struct Connections<S> {
    group: TaskGroup<S>,
    most: usize,
}

impl<S: Spawner> Connections<S> {
    /// Creates an empty set that holds at most `most` connections at once.
    #[track_caller]
    pub fn new(spawner: S, most: usize) -> Self {
        Self { group: TaskGroup::new(spawner), most }
    }

    /// Starts a connection, or returns it if there are too many.
    pub fn take<C>(&self, connection: C) -> Result<(), C>
    where
        C: Future<Output = ()> + Send + 'static,
    {
        if self.group.len() >= self.most {
            return Err(connection);
        }
        self.group.try_spawn(connection).map(drop).map_err(|refused| refused.into_future())
    }

    /// Returns the number of connections.
    pub fn len(&self) -> usize {
        self.group.len()
    }

    /// Tells whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.group.is_empty()
    }

    /// Cancels all connections, and waits until they are gone.
    pub async fn end(self) -> Result<(), GroupError<Infallible>> {
        self.group.cancel();
        self.group.join().await
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;

    use futures_lite::future::block_on;

    use super::Connections;
    use crate::threads::Threads;

    #[test]
    fn one_too_many_is_given_back() {
        let connections = Connections::new(Threads, 2);
        assert!(connections.take(pending()).is_ok());
        assert!(connections.take(pending()).is_ok());
        assert!(connections.take(pending()).is_err());
        assert_eq!(connections.len(), 2);
        block_on(connections.end()).unwrap();
    }

    #[test]
    fn the_end_leaves_nothing() {
        let alive = Arc::new(());
        let connections = Connections::new(Threads, 100);
        for captured in std::iter::repeat_n(alive.clone(), 50) {
            let connection = async move {
                let _captured = captured;
                pending().await
            };
            assert!(connections.take(connection).is_ok());
        }
        block_on(connections.end()).unwrap();
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
