//! A concurrent map.

use std::iter::Enumerate;
use std::sync::{Arc, Mutex, PoisonError};

use taskgroup::{GroupError, Spawner, scope};

/// Applies `f` to each item, `width` items at a time, and returns the results in the order of the items.
///
/// The first error cancels all other calls. When the error is returned, no call of `f` is left.
///
/// # Panics
///
/// Panics if `width` is 0 and there is at least one item. If `f` panics, the panic is resumed in the caller.
pub async fn try_map<S, I, F, C, T, E>(
    spawner: S,
    width: usize,
    items: I,
    f: F,
) -> Result<Vec<T>, GroupError<E>>
where
    S: Spawner,
    I: IntoIterator<IntoIter: Send + 'static, Item: Send>,
    F: Fn(I::Item) -> C + Clone + Send + 'static,
    C: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    let items = Items::new(items.into_iter());
    let mut results = scope(spawner, |group| async move {
        let workers: Vec<_> = (0..width).map(|_| group.spawn(work(items.clone(), f.clone()))).collect();
        let mut results = Vec::new();
        for worker in workers {
            results.extend(worker.value().await);
        }
        assert!(width > 0 || items.next().is_none(), "nobody to do the work");
        Ok(results)
    })
    .await?;
    results.sort_unstable_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

async fn work<I, F, C, T, E>(items: Items<I>, f: F) -> Result<Vec<(usize, T)>, E>
where
    I: Iterator,
    F: Fn(I::Item) -> C,
    C: Future<Output = Result<T, E>>,
{
    let mut results = Vec::new();
    while let Some((index, item)) = items.next() {
        results.push((index, f(item).await?));
    }
    Ok(results)
}

/// The items that are left to do.
struct Items<I>(Arc<Mutex<Enumerate<I>>>);

impl<I: Iterator> Items<I> {
    fn new(items: I) -> Self {
        Self(Arc::new(Mutex::new(items.enumerate())))
    }

    fn next(&self) -> Option<(usize, I::Item)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next()
    }
}

impl<I> Clone for Items<I> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::panic::AssertUnwindSafe;
    use std::sync::Arc;

    use futures_lite::FutureExt;
    use futures_lite::future::{block_on, pending, yield_now};

    use super::try_map;
    use crate::threads::Threads;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        let halves = try_map(Threads, 3, 0..50_u64, |number| async move {
            for _ in 0..number % 7 {
                yield_now().await;
            }
            Ok::<_, Infallible>(number / 2)
        });
        assert_eq!(block_on(halves).unwrap(), (0..50).map(|number| number / 2).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_error_leaves_nothing() {
        let alive = Arc::new(());
        let captured = alive.clone();
        let numbers = try_map(Threads, 4, ["1", "2", "x", "4", "5"], move |text| {
            let captured = captured.clone();
            async move {
                let _captured = captured;
                match text.parse::<u32>() {
                    Ok(_) => pending().await,
                    Err(error) => Err::<u32, _>(error),
                }
            }
        });
        let error = block_on(numbers).unwrap_err();
        assert!(error.primary().is_some());
        assert_eq!(Arc::strong_count(&alive), 1);
    }

    #[test]
    fn nothing_needs_nobody() {
        let none = try_map(Threads, 0, Vec::<u8>::new(), |item| async move { Ok::<_, Infallible>(item) });
        assert!(block_on(none).unwrap().is_empty());
    }

    #[test]
    fn a_panic_is_resumed() {
        let panics = try_map(Threads, 2, 0..9, |number| async move {
            assert!(number < 5, "five is too much");
            Ok::<_, Infallible>(number)
        });
        let payload = block_on(AssertUnwindSafe(panics).catch_unwind()).unwrap_err();
        assert!(payload.downcast_ref::<&str>().is_some_and(|text| text.contains("too much")));
    }

    #[test]
    fn it_may_be_used_inside_itself() {
        let sums = try_map(Threads, 2, 1..4_u64, |up_to| async move {
            let squares =
                try_map(Threads, 2, 0..up_to, |number| async move { Ok::<_, Infallible>(number * number) });
            squares.await.map(|squares| squares.into_iter().sum::<u64>())
        });
        assert_eq!(block_on(sums).unwrap(), [0, 1, 5]);
    }
}
