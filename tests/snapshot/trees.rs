//! Groups inside groups: at any depth, while all of them are cancelled, and as a flat list.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use taskgroup::TaskGroup;
use taskgroup::group::{MemberKind, Snapshot};

use super::{Ex, STACK, named, settle, watched};

fn nest(executor: Ex, depth: usize) -> impl Future<Output = ()> + Send {
    super::nest::nest(executor, depth, |group| group.child().name("innermost").launch(pending::<()>()))
}

#[test]
fn a_tree_of_any_depth_fits_on_a_small_stack() {
    const DEPTH: usize = 10_000;
    watched(STACK, || {
        let executor = Ex::default();
        let group = TaskGroup::new(executor.clone());
        group.launch(nest(executor.clone(), DEPTH));
        settle(&executor);
        let looking = group.group();
        watched(64 << 10, move || {
            let snapshot = looking.snapshot();
            assert_eq!(snapshot.groups().len(), DEPTH + 2);
            assert_eq!(snapshot.culprits()[0].name(), Some("innermost"));
            let text = snapshot.to_string();
            assert!(text.lines().nth(1).unwrap().contains("innermost"), "{text}");
            assert!(text.contains("9,986 members in 9,986 groups, further in"), "{text}");
            #[cfg(feature = "serde")]
            {
                let json = serde_json::to_string(&snapshot).unwrap();
                let list: Vec<serde_json::Map<String, serde_json::Value>> =
                    serde_json::from_str(&json).unwrap();
                assert_eq!(list.len(), 2 * (DEPTH + 2));
            }
        });
        drop(group);
        settle(&executor);
    });
}

#[test]
fn what_is_not_drawn_of_a_tree_is_counted() {
    watched(STACK, || {
        let executor = Ex::default();
        let group = TaskGroup::new(executor.clone());
        group.launch(nest(executor.clone(), 15));
        settle(&executor);
        let text = group.snapshot().to_string();
        assert!(text.contains("… 1 member in 1 group, further in"), "{text}");
    });
}

#[test]
fn the_path_of_a_member_that_is_deep_inside_stays_short() {
    /// Each character of a name takes several bytes, so that a cut could fall into the middle of one.
    fn nest(executor: Ex, depth: usize) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let group = TaskGroup::builder::<()>(executor.clone()).name("ł".repeat(100)).open();
            let child = group.child().name(format!("depth {depth}"));
            match depth {
                0 => child.launch(pending::<()>()),
                _ => child.launch(nest(executor, depth - 1)),
            }
            drop(group.join().await);
        })
    }
    watched(STACK, || {
        let executor = Ex::default();
        let group = TaskGroup::builder::<()>(executor.clone()).name("outermost").open();
        group.launch(nest(executor.clone(), 2_000));
        settle(&executor);
        let snapshot = group.snapshot();
        for member in snapshot.members() {
            let origin = member.origin();
            let path = origin.path().unwrap();
            assert!(path.len() < 2048, "{path}");
            assert!(path.starts_with("outermost/") || path.starts_with("…/"), "{path}");
        }
        assert!(named(&snapshot, "depth 0").origin().path().unwrap().ends_with("/depth 0"));
        drop(group);
        settle(&executor);
    });
}

#[test]
fn each_group_is_consistent_in_itself_while_all_is_cancelled() {
    for _ in 0..20 {
        watched(STACK, || {
            let executor = Ex::default();
            let group = TaskGroup::new(executor.clone());
            for _ in 0..50 {
                group.launch(nest(executor.clone(), 5));
            }
            settle(&executor);
            let over = Arc::new(AtomicBool::new(false));
            let (looking, done) = (group.group(), over.clone());
            let looker = thread::spawn(move || {
                let mut looks = 0;
                while !done.load(Ordering::Relaxed) || looks == 0 {
                    consistent(&looking.snapshot());
                    looks += 1;
                }
            });
            let canceller = group.group();
            let canceller = thread::spawn(move || canceller.cancel());
            let joined = smol::block_on(executor.run(group.join()));
            over.store(true, Ordering::Relaxed);
            canceller.join().unwrap();
            looker.join().unwrap();
            joined.unwrap();
        });
    }
}

fn consistent(snapshot: &Snapshot) {
    for group in snapshot.groups() {
        let children = group.members().filter(|member| member.kind() == MemberKind::Ordinary);
        assert_eq!(children.count(), group.len());
        for member in group.members() {
            assert_eq!(member.is_cancelled(), group.is_cancelled());
            assert!(member.groups().all(|inner| inner.opener().unwrap().child() == member.child()));
        }
    }
    assert!(snapshot.to_string().starts_with("group at "));
}

#[cfg(feature = "serde")]
#[test]
fn a_serialised_tree_is_a_flat_list() {
    watched(STACK, || {
        let executor = Ex::default();
        let group = TaskGroup::builder::<()>(executor.clone()).name("server").open();
        for _ in 0..3 {
            group.launch(nest(executor.clone(), 2));
        }
        group.child().name("line\nbreak").launch(pending::<()>());
        settle(&executor);
        let json = serde_json::to_value(group.snapshot()).unwrap();
        let list = json.as_array().unwrap();
        assert_eq!(list.len(), 1 + 4 + 3 * 3 * 2);
        for (place, record) in list.iter().enumerate() {
            assert_eq!(record["id"], place);
            let Some(parent) = record["parent"].as_u64() else {
                assert_eq!((place, &record["name"]), (0, &"server".into()));
                continue;
            };
            let other = if record["type"] == "group" { "member" } else { "group" };
            assert_eq!(list[parent as usize]["type"], other);
        }
        let named = list.iter().find(|record| record["name"] == "line\nbreak").unwrap();
        assert_eq!((&named["state"], &named["path"]), (&"active".into(), &"server/line\\nbreak".into()));
        // Of the three that are alike at the ends of the tree, one is a culprit, and so is the fourth.
        let mut culprits: Vec<_> = list.iter().filter_map(|record| record["culprit"].as_u64()).collect();
        culprits.sort_unstable();
        assert!(culprits.iter().copied().eq(1..=culprits.len() as u64), "{culprits:?}");
        assert_eq!(culprits.len(), group.snapshot().culprits().len());
        assert!(named["culprit"].is_u64());
    });
}
