//! The tables in `benches/record/README.md` and `docs/performance.md` show what the records say, and what they say is met is met.

use std::collections::HashMap;
use std::fs;

const EPYC: &str = "2026-11-30-epyc.txt";
const XEON: &str = "2026-11-29-xeon.txt";

fn read(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The lines of a record: what a contestant took in a workload on a runtime.
struct Record(HashMap<[String; 3], Cell>);

struct Cell {
    nanoseconds: f64,
    ratio: f64,
    allocations: f64,
    bytes: f64,
}

impl Record {
    fn of(file: &str) -> Self {
        let text = read(&format!("benches/record/{file}"));
        let cells = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            let [runtime, workload, contestant, nanoseconds, ratio, _, _, allocations, bytes] = words[..]
            else {
                return None;
            };
            let number = |text: &str| text.parse().unwrap_or(f64::NAN);
            let cell = Cell {
                nanoseconds: number(nanoseconds),
                ratio: number(ratio),
                allocations: number(allocations),
                bytes: number(bytes),
            };
            Some(([runtime, workload, contestant].map(str::to_string), cell))
        });
        Self(cells.collect())
    }

    fn cell(&self, runtime: &str, workload: &str, contestant: &str) -> Option<&Cell> {
        self.0.get(&[runtime, workload, contestant].map(str::to_string))
    }

    fn ratio(&self, runtime: &str, workload: &str, contestant: &str) -> f64 {
        self.cell(runtime, workload, contestant)
            .unwrap_or_else(|| panic!("{runtime} {workload} {contestant}"))
            .ratio
    }

    /// Returns the figure that is compared to a goal, and whether it meets the goal.
    fn against(&self, goal: &str, runtime: &str, workload: &str, contestant: &str) -> (f64, bool) {
        let ratio = self.ratio(runtime, workload, contestant);
        let join_set = || self.ratio(runtime, workload, "join-set");
        let most = |text: &str| text.parse::<f64>().unwrap();
        if let Some(least) = goal.strip_suffix(" times as fast as join-set") {
            let times = join_set() / ratio;
            (times, times >= most(least))
        } else if let Some(goal) = goal.strip_suffix(" × join-set") {
            let times = ratio / join_set();
            (times, times <= most(goal.trim_start_matches("≤ ")))
        } else {
            (ratio, ratio <= most(goal.trim_start_matches("≤ ")))
        }
    }
}

/// Returns the cells of a row of a table.
fn cells(line: &str) -> Option<Vec<&str>> {
    Some(line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect())
}

#[test]
fn goals_are_met_where_the_tables_say_so() {
    let (readme, records) = (read("benches/record/README.md"), [EPYC, XEON].map(Record::of));
    let (mut contestant, mut runtime) = (None, "");
    let (mut goals, mut met, mut met_anywhere) = (0, [0; 2], 0);
    for line in readme.lines() {
        match line {
            "## Children that are tasks of their runtime" => contestant = Some("ours"),
            "## Children on a pool" => contestant = Some("ours-pool"),
            _ if line.starts_with("## ") => contestant = None,
            "smol-1" | "smol-2" | "async-std" | "tokio-ct" | "tokio-2" => runtime = line,
            _ => {}
        }
        let (Some(contestant), Some(row)) = (contestant, cells(line)) else { continue };
        let [workload, goal, shown @ .., _why] = &row[..] else { continue };
        if !workload.starts_with('W') {
            continue;
        }
        goals += 1;
        let mut anywhere = false;
        for ((record, met), shown) in records.iter().zip(&mut met).zip(shown.chunks(2)) {
            let (figure, is_met) = record.against(goal, runtime, workload, contestant);
            let expected = [format!("{figure:.2}"), if is_met { "met" } else { "missed" }.to_string()];
            assert_eq!(shown, expected, "{runtime} {contestant} {workload} {goal}: {figure}");
            *met += usize::from(is_met);
            anywhere |= is_met;
        }
        met_anywhere += usize::from(anywhere);
    }
    for told in [
        format!("There are {goals} goals:"),
        format!("- `{EPYC}`, on an AMD EPYC, meets {} of them.", met[0]),
        format!("- `{XEON}`, on an Intel Xeon, meets {}.", met[1]),
        format!("- At least one of the two meets {met_anywhere}."),
    ] {
        assert!(readme.contains(&told), "{told}");
    }
}

#[test]
fn the_guide_has_the_figures_of_the_record() {
    let (page, record) = (read("docs/performance.md"), Record::of(EPYC));
    let (mut runtime, mut contestants, mut seen) = (None, Vec::new(), 0);
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("# ") {
            runtime = match heading {
                "Tokio, two workers" => Some("tokio-2"),
                "Tokio, current-thread" => Some("tokio-ct"),
                "smol's `Executor`, two threads" => Some("smol-2"),
                "smol's `Executor`, one thread" => Some("smol-1"),
                "async-std" => Some("async-std"),
                "smol's `StaticExecutor`, two threads" => Some("static-2"),
                "smol's `StaticExecutor`, one thread" => Some("static-1"),
                _ => None,
            };
        }
        let (Some(runtime), Some(row)) = (runtime, cells(line)) else { continue };
        let (what, shown) = (row[0], &row[1..]);
        if what.is_empty() {
            contestants = shown.to_vec();
            continue;
        }
        let workload = if what.starts_with('W') { what } else { "W7" };
        for (contestant, shown) in contestants.iter().zip(shown).filter(|_| !what.starts_with('-')) {
            let cell = record.cell(runtime, workload, contestant);
            let is_reference = *contestant == if matches!(what, "W4" | "W6") { "handles" } else { "raw" };
            let expected = cell.map_or_else(String::new, |cell| match what {
                "bytes of a pending child" => format!("{:.0}", cell.bytes),
                "allocations" => format!("{:.2}", cell.allocations),
                _ if is_reference => format!("1.00 ({:.0} ns)", cell.nanoseconds),
                _ => format!("{:.2}", cell.ratio),
            });
            assert_eq!(*shown, expected, "{runtime} {what} {contestant}");
            seen += 1;
        }
    }
    assert!(seen > 400, "{seen}");
}
