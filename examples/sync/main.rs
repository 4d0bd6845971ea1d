//! Updates a directory from another directory in stages (walk, hash, write), with little in memory at any time.
//!
//!     cargo run --example sync -- FROM TO     # what is in TO alone is removed
//!     cargo run --example sync                # in a temporary directory, and looks at what came of it
//!
//! A slow stage holds up the stages before it. Blocking work is a child too, so the group waits for it: when a run has
//! ended early, no file is still being written, and no file is half written.

#![allow(unreachable_pub, reason = "an example exports nothing")]

mod pipeline;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use taskgroup::CancelReason;

use crate::pipeline::{Done, PART, Pair, list, sync};

/// Returns all files under a directory, with their contents.
fn contents(root: &Path) -> io::Result<HashSet<(PathBuf, Vec<u8>)>> {
    let (mut all, mut directories) = (HashSet::new(), vec![root.to_path_buf()]);
    while let Some(directory) = directories.pop() {
        for (path, is_directory) in list(&directory)? {
            if is_directory {
                directories.push(path);
            } else {
                all.insert((path.strip_prefix(root).expect("in there").to_path_buf(), fs::read(path)?));
            }
        }
    }
    Ok(all)
}

async fn try_it(pair: &Pair) -> Result<(), Box<dyn std::error::Error>> {
    for number in 0..400 {
        let directory = pair.from.join(format!("{}/{}", number % 7, number % 3));
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(number.to_string()), vec![number as u8; number * 97])?;
    }
    let (hour, moment) = (Duration::from_secs(3600), Duration::from_millis(5));
    fs::create_dir_all(&pair.to)?;

    let cut = sync(pair.clone(), moment).await.unwrap_err();
    assert_eq!(cut.reason(), Some(&CancelReason::Deadline));
    let (before, all) = (contents(&pair.to)?, contents(&pair.from)?);
    println!("{moment:?} are enough for {} of 400 files", before.len());
    assert!(before.len() < 400 && before.is_subset(&all), "each is complete or not there");

    let rest = sync(pair.clone(), hour).await?;
    println!("the rest: {rest:?}");
    assert_eq!(rest, Done { seen: 400, written: 400 - before.len(), removed: 0 });
    assert_eq!(contents(&pair.to)?, all);

    fs::write(pair.from.join("0/0/0"), "changed")?;
    fs::write(pair.from.join("new"), "new")?;
    fs::remove_file(pair.from.join("1/1/1"))?;
    let again = sync(pair.clone(), hour).await?;
    println!("three changes: {again:?}");
    assert_eq!(again, Done { seen: 400, written: 2, removed: 1 });
    assert_eq!(contents(&pair.to)?, contents(&pair.from)?);

    fs::create_dir(pair.to.join("in the way"))?;
    fs::write(pair.from.join("in the way"), "a file")?;
    let error = sync(pair.clone(), hour).await.unwrap_err();
    println!("{error}");
    assert!(error.primary().is_some_and(|error| error.to_string().contains("in the way")));
    assert!(contents(&pair.to)?.iter().all(|(path, _)| !path.ends_with(format!("in the way{PART}"))));
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if let [from, to] = arguments.as_slice() {
        let pair = Pair { from: from.clone(), to: to.clone() };
        println!("{:?}", smol::block_on(sync(pair, Duration::MAX))?);
        return Ok(());
    }
    let place = std::env::temp_dir().join(format!("taskgroup-sync-{}", std::process::id()));
    let pair = Pair { from: place.join("from"), to: place.join("to") };
    let tried = smol::block_on(try_it(&pair));
    fs::remove_dir_all(place)?;
    tried
}
