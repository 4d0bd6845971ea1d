//! Draws what became of each member: groups are lanes, members are bars.

use std::fmt::Write;

use taskgroup::group::{MemberKind, MemberState, MemberView, Snapshot};

/// What became of one member, and when.
#[derive(Default)]
pub struct Bar {
    lane: String,
    pub name: String,
    /// The states of the member, each with the time at which it began.
    spans: Vec<(u32, MemberState)>,
    end: Option<u32>,
    cancelled: bool,
    pub failed: bool,
}

#[derive(Default)]
pub struct Run(pub Vec<Bar>);

impl Run {
    /// Records the state of each member.
    pub fn note(&mut self, now: u32, snapshot: &Snapshot) {
        let mut living = Vec::new();
        for member in snapshot.members() {
            let (lane, name) = names(member);
            let place = self.0.iter().position(|bar| bar.lane == lane && bar.name == name);
            let place = place.unwrap_or_else(|| {
                self.0.push(Bar { lane, name, ..Bar::default() });
                self.0.len() - 1
            });
            let bar = &mut self.0[place];
            if bar.spans.last().is_none_or(|(_, state)| *state != member.state()) {
                bar.spans.push((now, member.state()));
            }
            living.push(place);
        }
        // In this program no member returns after the group was cancelled.
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

pub fn draw(run: &Run, failed: u32, end: u32) -> Result<String, std::fmt::Error> {
    let mut lanes: Vec<&str> = Vec::new();
    for bar in &run.0 {
        if !lanes.contains(&bar.lane.as_str()) {
            lanes.push(&bar.lane);
        }
    }
    let (mut rows, mut y) = (String::new(), 40);
    for lane in lanes {
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
    let (height, mut svg) = (y + 44, String::new());
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
