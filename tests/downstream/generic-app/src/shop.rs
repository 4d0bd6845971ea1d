//! A shop: customers ask for the prices of goods, many at a time, and one asks for goods that are not sold.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use generic_lib::{Connections, try_map};
use taskgroup::Spawner;

const GOODS: u64 = 200;
const AT_A_TIME: usize = 20;
const DELAY: Duration = Duration::from_millis(2);

/// A runtime with a clock.
pub trait Runtime: Spawner {
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

#[derive(Debug)]
struct NotSold(u64);

impl fmt::Display for NotSold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "number {} is not sold", self.0)
    }
}

/// Runs all parts, and returns a summary.
pub async fn open<R: Runtime>(runtime: R) -> String {
    let start = Instant::now();
    let total = total(&runtime).await;
    let error = ask_for_too_much(&runtime).await;
    let visitors = visitors(&runtime).await;
    format!("{GOODS} goods at {total}; {error}; {visitors} visitors sent home; {:.2?}", start.elapsed())
}

async fn total<R: Runtime>(runtime: &R) -> u64 {
    let asking = runtime.clone();
    let prices = try_map(runtime.clone(), AT_A_TIME, 0..GOODS, move |number| price(asking.clone(), number));
    let prices = prices.await.expect("all of these are sold");
    assert!(prices.iter().copied().eq((0..GOODS).map(|number| number * 3)), "the order is that of the goods");
    prices.into_iter().sum()
}

/// Fails long before all prices have been asked for. After the failure no request is left.
async fn ask_for_too_much<R: Runtime>(runtime: &R) -> NotSold {
    let asking = Arc::new(runtime.clone());
    let customer = asking.clone();
    let prices = try_map(runtime.clone(), AT_A_TIME, GOODS - 50.., move |number| {
        let customer = customer.clone();
        async move { price(R::clone(&customer), number).await }
    });
    let error = prices.await.unwrap_err();
    assert_eq!(Arc::strong_count(&asking), 1, "somebody is still asking");
    error.into_primary().expect("the shop's own error")
}

async fn price<R: Runtime>(runtime: R, number: u64) -> Result<u64, NotSold> {
    runtime.sleep(DELAY).await;
    if number < GOODS { Ok(number * 3) } else { Err(NotSold(number)) }
}

/// Lets in as many visitors as there is room for, and then closes the shop.
async fn visitors<R: Runtime>(runtime: &R) -> usize {
    let shop = Connections::new(runtime.clone(), 10);
    let refused = (0..12).filter(|_| shop.take(std::future::pending()).is_err()).count();
    assert_eq!((refused, shop.len()), (2, 10));
    shop.end().await.expect("to send them home is no failure");
    10
}
