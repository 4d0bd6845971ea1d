use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Goes through every interleaving in which at most `preemptions` threads are stopped where they need not be.
pub(crate) fn bounded(preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    let executions = Arc::new(AtomicUsize::new(0));
    let counter = executions.clone();
    builder.check(move || {
        counter.fetch_add(1, SeqCst);
        f();
    });
    let executions = executions.load(SeqCst);
    println!("{executions} executions");
    assert!(executions > 10, "the model checker sees nothing to order: {executions} executions");
}
