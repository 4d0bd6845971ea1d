//! What a recorder of the `metrics` crate is told.

use std::collections::BTreeMap;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use smol::Executor;
use taskgroup::TaskGroup;
use taskgroup::group::Metrics;

type Ex = Arc<Executor<'static>>;

/// Records what it is told, and panics from the `from`th call on. If `brittle`, its handles panic when they are dropped.
#[derive(Clone)]
struct Notes {
    brittle: bool,
    told: Arc<Mutex<BTreeMap<String, f64>>>,
    units: Arc<Mutex<BTreeMap<String, Option<Unit>>>>,
    calls: Arc<AtomicUsize>,
    from: usize,
}

impl Notes {
    fn new(from: usize) -> Self {
        Self { brittle: false, told: Arc::default(), units: Arc::default(), calls: Arc::default(), from }
    }

    fn call(&self) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        assert!(call < self.from, "a recorder that panics");
    }

    fn series(&self, key: &Key) -> Arc<Series> {
        self.call();
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        Arc::new(Series { notes: self.clone(), name: format!("{} {}", key.name(), labels.join(" ")) })
    }

    fn describe(&self, key: KeyName, unit: Option<Unit>) {
        self.call();
        self.units.lock().unwrap().insert(key.as_str().to_string(), unit);
    }

    fn told(&self, series: &str) -> f64 {
        self.told.lock().unwrap().get(series).copied().unwrap_or_default()
    }
}

struct Series {
    notes: Notes,
    name: String,
}

impl Drop for Series {
    fn drop(&mut self) {
        if self.notes.brittle {
            resume_unwind(Box::new("a handle that panics"));
        }
    }
}

impl Series {
    fn add(&self, value: f64) {
        self.notes.call();
        self.sum(self.name.clone(), value);
    }

    fn sum(&self, series: String, value: f64) {
        *self.notes.told.lock().unwrap().entry(series).or_default() += value;
    }
}

impl CounterFn for Series {
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }

    fn absolute(&self, _: u64) {
        unreachable!()
    }
}

impl GaugeFn for Series {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, _: f64) {
        unreachable!()
    }
}

/// Counts how many values it was given, and adds them up in a series of their own.
impl HistogramFn for Series {
    fn record(&self, value: f64) {
        assert!((0.0..60.0).contains(&value), "{value} s");
        self.add(1.0);
        self.sum(format!("{} sum", self.name), value);
    }
}

impl Recorder for Notes {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(key, unit);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(key, unit);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(key, unit);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.series(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.series(key))
    }
}

/// Runs three children. One fails, and one is cancelled. A fourth child is refused.
fn run(metrics: &Metrics) {
    let executor = Ex::default();
    let group = TaskGroup::builder::<&str>(executor.clone()).metrics(metrics).collect().open();
    group.launch(async { Ok(()) });
    group.launch(async { Err::<(), _>("disk full") });
    let stuck = group.spawn(pending::<Result<(), _>>());
    while executor.try_tick() {}
    stuck.cancel();
    group.close();
    group.launch(async { Ok(()) });
    smol::block_on(executor.run(group.join())).unwrap_err();
    let ends = [metrics.returned(), metrics.failed(), metrics.panicked(), metrics.cancelled()];
    assert_eq!((metrics.spawned(), ends), (3, [1, 1, 0, 1]));
}

#[test]
fn a_recorder_is_told_all_that_the_getters_say() {
    let notes = Notes::new(usize::MAX);
    let metrics = metrics::with_local_recorder(&notes, || Metrics::exported("server"));
    run(&metrics);
    for (series, value) in [
        ("taskgroup_spawned_total group=server", 3.0),
        ("taskgroup_refused_total group=server", 1.0),
        ("taskgroup_ended_total group=server outcome=returned", 1.0),
        ("taskgroup_ended_total group=server outcome=failed", 1.0),
        ("taskgroup_ended_total group=server outcome=panicked", 0.0),
        ("taskgroup_ended_total group=server outcome=cancelled", 1.0),
        ("taskgroup_ended_total group=server outcome=lost", 0.0),
        ("taskgroup_live group=server", 0.0),
        ("taskgroup_cancel_seconds group=server", metrics.cancels().count() as f64),
        ("taskgroup_poll_seconds group=server", metrics.polls().count() as f64),
    ] {
        assert_eq!(notes.told(series), value, "{series} of {:?}", notes.told.lock().unwrap());
    }
    assert!(metrics.polls().count() >= 3);
    for (series, timing) in [("cancel", metrics.cancels()), ("poll", metrics.polls())] {
        let sum = notes.told(&format!("taskgroup_{series}_seconds group=server sum"));
        assert!(
            sum > 0.0 && (sum - timing.total().as_secs_f64()).abs() < 1e-6,
            "{series}: {sum} s, {timing:?}"
        );
    }
    let units = notes.units.lock().unwrap();
    assert_eq!(units["taskgroup_poll_seconds"], Some(Unit::Seconds));
    assert_eq!(units["taskgroup_cancel_seconds"], Some(Unit::Seconds));
    assert_eq!(units.len(), 6);
}

#[test]
fn a_recorder_that_panics_changes_nothing_for_the_group() {
    for from in 0.. {
        let notes = Notes::new(from);
        let metrics = metrics::with_local_recorder(&notes, || Metrics::exported("server"));
        run(&metrics);
        if notes.calls.load(Ordering::Relaxed) <= from {
            break;
        }
    }
}

#[test]
fn handles_that_panic_when_they_are_dropped_do_so_for_nobody() {
    let exported = || {
        let notes = Notes { brittle: true, ..Notes::new(usize::MAX) };
        metrics::with_local_recorder(&notes, || Metrics::exported("server"))
    };
    run(&exported());
    let group = TaskGroup::builder::<&str>(Ex::default()).metrics(&exported()).open();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _last = group;
        resume_unwind(Box::new("whoever holds it"))
    }));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"whoever holds it"));
}

#[test]
fn without_a_recorder_there_are_the_getters() {
    run(&Metrics::exported("server"));
}
