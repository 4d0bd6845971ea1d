//! A picture of a run: what a failure does to everybody else, and in which order they go.
//!
//!     cargo run --example timeline -- docs/timeline.svg
//!
//! Time is turned by hand, a millisecond at a time, and after each of them a snapshot tells what everybody is at. So the
//! picture is the same on every machine.

use std::error::Error;
use std::fmt::Write;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use smol::Executor;
use taskgroup::group::{MemberKind, MemberState, MemberView, Snapshot};
use taskgroup::{Group, scope, shield};

type Ex = Arc<Executor<'static>>;

/// A clock that is turned by hand: the time, and who sleeps.
#[derive(Clone, Default)]
struct Clock(Arc<Mutex<(u32, Vec<Waker>)>>);

impl Clock {
    fn turn(&self) -> u32 {
        let mut clock = self.0.lock().unwrap();
        clock.0 += 1;
        let (now, sleepers) = (clock.0, std::mem::take(&mut clock.1));
        drop(clock);
        sleepers.into_iter().for_each(Waker::wake);
        now
    }

    async fn sleep_until(&self, at: u32) {
        std::future::poll_fn(|cx| {
            let mut clock = self.0.lock().unwrap();
            if clock.0 >= at {
                return Poll::Ready(());
            }
            clock.1.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

async fn job(executor: Ex, clock: Clock, group: Group<Ex, &'static str>) -> Result<(), &'static str> {
    let spawn = |name, until, result| {
        let clock = clock.clone();
        group.child().name(name).launch(async move {
            clock.sleep_until(until).await;
            result
        });
    };
    spawn("fetch a", 25, Ok(()));
    spawn("fetch b", 45, Err("disk full"));
    spawn("fetch c", 90, Ok(()));
    let inner = clock.clone();
    group.child().name("upload").launch(async move {
        inner.sleep_until(8).await;
        let parts = scope(executor, async |group: Group<Ex, &'static str>| {
            let clock = inner.clone();
            group.child().name("part 1").launch(async move {
                clock.sleep_until(90).await;
                Ok(())
            });
            let clock = inner.clone();
            group.child().name("part 2").launch(async move {
                clock.sleep_until(15).await;
                shield(clock.sleep_until(70)).await;
                clock.sleep_until(90).await;
                Ok(())
            });
            Ok(())
        });
        parts.name("parts").await.map_err(|_| "no upload")
    });
    clock.sleep_until(90).await;
    Ok(())
}

/// What became of one member, and when.
struct Bar {
    lane: String,
    name: String,
    /// From when on it was at what.
    spans: Vec<(u32, MemberState)>,
    end: Option<u32>,
    cancelled: bool,
    failed: bool,
}

#[derive(Default)]
struct Run(Vec<Bar>);

impl Run {
    fn note(&mut self, now: u32, snapshot: &Snapshot) {
        let mut living = Vec::new();
        for member in snapshot.members() {
            let (lane, name) = names(member);
            let place = self.0.iter().position(|bar| bar.lane == lane && bar.name == name);
            let place = place.unwrap_or_else(|| {
                let spans = Vec::new();
                self.0.push(Bar { lane, name, spans, end: None, cancelled: false, failed: false });
                self.0.len() - 1
            });
            let bar = &mut self.0[place];
            if bar.spans.last().is_none_or(|(_, state)| *state != member.state()) {
                bar.spans.push((now, member.state()));
            }
            living.push(place);
        }
        // Nobody in this program returns once all is cancelled.
        let cancelled = snapshot.group().is_cancelled();
        let gone = self.0.iter_mut().enumerate().filter(|(place, _)| !living.contains(place));
        for (_, bar) in gone.filter(|(_, bar)| bar.end.is_none()) {
            bar.end = Some(now);
            bar.cancelled = cancelled;
        }
    }
}

fn names(member: MemberView<'_>) -> (String, String) {
    let lane = member.group().name().unwrap_or("group").to_string();
    let body = member.kind() == MemberKind::Body;
    let name = if body { "the body" } else { member.name().unwrap_or("child") };
    (lane, name.to_string())
}

const LEFT: u32 = 110;
const ROW: u32 = 24;
const SCALE: u32 = 9;
const WIDTH: u32 = 860;

fn x(time: u32) -> u32 {
    LEFT + time * SCALE
}

fn draw(run: &Run, failed: u32, end: u32) -> Result<String, std::fmt::Error> {
    let mut lanes: Vec<&str> = run.0.iter().map(|bar| bar.lane.as_str()).collect();
    lanes.dedup();
    let mut rows = String::new();
    let mut y = 40;
    let mut seen = Vec::new();
    for lane in lanes {
        if seen.contains(&lane) {
            continue;
        }
        seen.push(lane);
        let bars: Vec<_> = run.0.iter().filter(|bar| bar.lane == lane).collect();
        let (from, to) = (bars[0].spans[0].0, bars.iter().filter_map(|bar| bar.end).max().unwrap_or(end));
        let height = ROW * bars.len() as u32 + 28;
        let width = (to - from) * SCALE;
        writeln!(rows, r#"<rect class="lane" x="{}" y="{y}" width="{width}" height="{height}"/>"#, x(from))?;
        writeln!(rows, r#"<text class="title" x="{}" y="{}">group “{lane}”</text>"#, x(from) + 6, y + 15)?;
        y += 24;
        for bar in bars {
            let to = bar.end.unwrap_or(end);
            writeln!(rows, r#"<text class="name" x="{}" y="{}">{}</text>"#, LEFT - 8, y + 13, bar.name)?;
            let ends = bar.spans.iter().skip(1).map(|(at, _)| *at).chain([to]);
            for ((from, state), until) in bar.spans.iter().zip(ends) {
                let class = match state {
                    MemberState::Shielded => "shielded",
                    MemberState::Frozen | MemberState::Cancelled | MemberState::Gone => "frozen",
                    _ => "active",
                };
                let width = (until - from) * SCALE;
                writeln!(
                    rows,
                    r#"<rect class="{class}" x="{}" y="{y}" width="{width}" height="16"/>"#,
                    x(*from)
                )?;
            }
            let (class, mark) = match (bar.failed, bar.cancelled) {
                (true, _) => ("bad", "✗ fails"),
                (_, true) => ("cut", "dropped"),
                (_, false) => ("good", "✓ returns"),
            };
            writeln!(rows, r#"<text class="{class}" x="{}" y="{}">{mark}</text>"#, x(to) + 5, y + 13)?;
            y += ROW;
        }
        y += 14;
    }
    let height = y + 44;
    let mut svg = String::new();
    writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}">"#
    )?;
    svg += STYLE;
    writeln!(svg, r#"<rect width="{WIDTH}" height="{height}" rx="6" fill="white"/>"#)?;
    svg += &rows;
    let events = [(failed, "a child fails: all others are cancelled"), (end, "all are gone: the scope ends")];
    for (time, text) in events {
        writeln!(svg, r#"<line class="event" x1="{0}" y1="32" x2="{0}" y2="{1}"/>"#, x(time), y - 6)?;
        writeln!(svg, r#"<text class="event" x="{}" y="24">{text}</text>"#, x(time))?;
    }
    let mut left = LEFT;
    for (class, text, room) in [
        ("active", "runs, or waits", 140),
        ("shielded", "under a shield: goes on", 190),
        ("frozen", "cancelled: not polled, waits for the groups inside", 0),
    ] {
        writeln!(svg, r#"<rect class="{class}" x="{left}" y="{}" width="22" height="14"/>"#, y + 10)?;
        writeln!(svg, r#"<text class="key" x="{}" y="{}">{text}</text>"#, left + 28, y + 21)?;
        left += room;
    }
    svg += "</svg>\n";
    Ok(svg)
}

const STYLE: &str = "<style>
text { font: 12px sans-serif; fill: #24292f }
.name { text-anchor: end }
.title { font-weight: bold; fill: #57606a }
.key { fill: #57606a }
.lane { fill: #f6f8fa; stroke: #d0d7de }
.active { fill: #54aeff }
.shielded { fill: #fb8f44 }
.frozen { fill: #afb8c1 }
.bad { fill: #cf222e; font-weight: bold }
.cut { fill: #6e7781 }
.good { fill: #1a7f37 }
line.event { stroke: #cf222e; stroke-dasharray: 4 3 }
text.event { fill: #cf222e; text-anchor: middle }
</style>
";

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "target/timeline.svg".into());
    let (executor, clock) = (Ex::default(), Clock::default());
    let (failures, out) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(None)));
    let (failing, opened) = (failures.clone(), out.clone());
    let (on, time) = (executor.clone(), clock.clone());
    let job = scope(executor.clone(), move |group: Group<Ex, &'static str>| {
        *opened.lock().unwrap() = Some(group.clone());
        job(on, time, group)
    });
    let job = job.name("job").on_failure(move |child, _| {
        failing.lock().unwrap().push(child.name().unwrap_or_default().to_string());
    });

    let mut job = pin!(job);
    let (mut run, mut failed) = (Run::default(), 0);
    let mut now = 0;
    let error = loop {
        let polled = job.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        while executor.try_tick() {}
        let group = out.lock().unwrap().clone().expect("the body has begun");
        run.note(now, &group.snapshot());
        if failed == 0 && group.is_cancelled() {
            failed = now;
        }
        if let Poll::Ready(result) = polled {
            break result.expect_err("one child fails");
        }
        now = clock.turn();
        while executor.try_tick() {}
    };
    for bar in &mut run.0 {
        bar.failed = failures.lock().unwrap().contains(&bar.name);
    }
    assert_eq!(error.primary(), Some(&"disk full"));
    std::fs::write(&path, draw(&run, failed, now)?)?;
    println!("the picture is in {path}");
    Ok(())
}
