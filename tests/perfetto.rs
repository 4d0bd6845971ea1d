//! The timeline that `examples/traced` writes is a file that Perfetto can read.

mod common;

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::future::pending;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use smol::Executor;
use taskgroup::{Group, TaskGroup, scope, shield};
use tracing_chrome::{ChromeLayerBuilder, TraceStyle};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;

type Ex = Arc<Executor<'static>>;

/// Runs `f` on a separate thread, and fails if it takes too long.
fn watched<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    common::watched(thread::Builder::new(), Duration::from_secs(60), f)
}

#[derive(Clone, Default)]
struct File(Arc<Mutex<Vec<u8>>>);

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a program of groups on two runtimes, with a layer that writes to `out`.
fn traced(style: TraceStyle, out: impl Write + Send + 'static) {
    watched(move || {
        let (layer, written) =
            ChromeLayerBuilder::new().writer(out).include_args(true).trace_style(style).build();
        tracing::subscriber::with_default(Registry::default().with(layer), program);
        drop(written);
    });
}

/// Runs three children on two threads. Each has a group with a child that fails and a child that is under a shield.
fn program() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let executor = Ex::default();
    let server = TaskGroup::builder::<&str>(executor.clone()).name("server").supervise(|_, _| {}).open();
    for number in 1..=3 {
        let on = tokio.handle().clone();
        server.on(on.clone()).child().name(format!("conn {number}")).launch(async move {
            let halves = scope(on, async |group: Group<_, &str>| {
                group.child().name("writer").launch(shield(async {
                    tracing::info!("writes");
                    smol::future::yield_now().await;
                    Ok(())
                }));
                group.child().name("reader \"of\"\nlines").launch(async {
                    smol::future::yield_now().await;
                    Err::<(), _>("reset")
                });
                pending::<Result<(), _>>().await
            });
            halves.name("halves").await.map_err(|_| "halves")
        });
    }
    for _ in 0..50 {
        server.launch(async {
            smol::future::yield_now().await;
            Ok(())
        });
    }
    smol::block_on(executor.run(server.join())).unwrap();
}

fn events(file: &File) -> Vec<Value> {
    let events: Vec<Value> = serde_json::from_slice(&file.0.lock().unwrap()).expect("it is JSON");
    for event in &events {
        assert!(event["ph"].is_string() && event["pid"].is_u64() && event["tid"].is_u64(), "{event}");
        assert!(event["name"].is_string(), "{event}");
        assert!(event["ph"] == "M" || event["ts"].is_f64(), "{event}");
    }
    events
}

fn names<'a>(events: &'a [Value], phase: &str) -> Vec<&'a str> {
    let begun = events.iter().filter(|event| event["ph"] == phase);
    begun.filter_map(|event| event["args"]["name"].as_str()).collect()
}

#[test]
fn on_each_thread_every_poll_that_begins_ends_and_they_nest() {
    let file = File::default();
    traced(TraceStyle::Threaded, file.clone());
    let events = events(&file);
    let mut threads = HashMap::<u64, (Vec<&Value>, f64)>::new();
    for event in events.iter().filter(|event| event["ph"] != "M") {
        let (open, latest) = threads.entry(event["tid"].as_u64().unwrap()).or_default();
        let time = event["ts"].as_f64().unwrap();
        assert!(time >= *latest, "{event} is out of order");
        *latest = time;
        match event["ph"].as_str().unwrap() {
            "B" => open.push(event),
            "E" => {
                let begun = open.pop().expect("what ends has begun");
                assert_eq!((&begun["name"], &begun["args"]), (&event["name"], &event["args"]));
            }
            phase => assert_eq!(phase, "i"),
        }
    }
    assert!(threads.values().all(|(open, _)| open.is_empty()));
    let told = names(&events, "M").len();
    assert_eq!(told, threads.len(), "each thread has a name");
    let polled = names(&events, "B");
    for name in ["conn 1", "conn 2", "conn 3", "halves", "writer"] {
        assert!(polled.iter().any(|polled| polled.trim_matches('"') == name), "{name} is not in {polled:?}");
    }
}

#[test]
fn in_rows_of_their_own_spans_nest_as_well() {
    let file = File::default();
    traced(TraceStyle::Async, file.clone());
    let events = events(&file);
    let mut rows = HashMap::<u64, Vec<&str>>::new();
    for event in &events {
        let Some(row) = event["id"].as_u64() else { continue };
        let row = rows.entry(row).or_default();
        match event["ph"].as_str().unwrap() {
            "b" => row.push(event["name"].as_str().unwrap()),
            phase => {
                assert_eq!(phase, "e");
                assert!(row.pop().is_some(), "{event} has not begun");
            }
        }
    }
    assert!(!rows.is_empty() && rows.values().all(Vec::is_empty), "{rows:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_ends_the_timeline_and_not_the_program() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    traced(TraceStyle::Threaded, full);
}
