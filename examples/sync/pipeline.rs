//! The pipeline: its stages are children of one group, with short queues between them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use async_channel::{Receiver, Sender, bounded};
use sha2::{Digest, Sha256};
use taskgroup::{Group, GroupError, Smol, scope};

const HASHERS: usize = 3;
/// How many files may wait in memory to be written.
const QUEUE: usize = 2;
pub const PART: &str = ".part";

type Run = Group<Smol, io::Error>;

#[derive(Clone)]
pub struct Pair {
    pub from: PathBuf,
    pub to: PathBuf,
}

#[derive(Debug, Default, PartialEq)]
pub struct Done {
    pub seen: usize,
    pub written: usize,
    pub removed: usize,
}

/// Updates `to` from `from`, or ends when the time is over.
pub async fn sync(pair: Pair, within: Duration) -> Result<Done, GroupError<io::Error>> {
    let run = scope(Smol, |run| async move {
        let ((found, files), (changed, contents)) = (bounded(64), bounded(QUEUE));
        let walk = run.child().name("walk").spawn(walk(run.clone(), pair.clone(), found));
        for number in 0..HASHERS {
            let hash = hash(run.clone(), pair.clone(), files.clone(), changed.clone());
            run.child().name(format!("hash {number}")).launch(hash);
        }
        drop(changed); // so that the queue closes when the hashers end
        let write = run.child().name("write").spawn(write(run.clone(), pair.clone(), contents));
        let (seen, written) = (walk.value().await, write.value().await);
        let (count, to) = (seen.len(), pair.to);
        let removed = run.spawn_blocking(move || remove_others(&to, &to, &seen)).value().await;
        Ok(Done { seen: count, written, removed })
    });
    run.timeout(within).await
}

/// Sends the path of each file, relative to the directory, and returns all of them at the end.
async fn walk(run: Run, pair: Pair, found: Sender<PathBuf>) -> io::Result<HashSet<PathBuf>> {
    let (mut seen, mut directories) = (HashSet::new(), vec![pair.from.clone()]);
    while let Some(directory) = directories.pop() {
        let entries = run.spawn_blocking(move || list(&directory)).value().await;
        for (path, is_directory) in entries {
            if is_directory {
                directories.push(path);
                continue;
            }
            let file = path.strip_prefix(&pair.from).expect("it was found in there").to_path_buf();
            seen.insert(file.clone());
            // Waits while the hashers are behind. If no hasher is left, this child is about to be cancelled.
            let _ = found.send(file).await;
        }
    }
    Ok(seen)
}

/// Reads files, and passes on those that differ from the file in `to`.
async fn hash(
    run: Run,
    pair: Pair,
    files: Receiver<PathBuf>,
    changed: Sender<(PathBuf, Vec<u8>)>,
) -> io::Result<()> {
    while let Ok(file) = files.recv().await {
        let (from, to) = (pair.from.join(&file), pair.to.join(&file));
        let work = move || {
            let new = fs::read(&from).map_err(|error| named(&from, error))?;
            let same = fs::read(&to).is_ok_and(|old| Sha256::digest(&old) == Sha256::digest(&new));
            Ok((!same).then_some(new))
        };
        if let Some(content) = run.spawn_blocking(work).value().await {
            let _ = changed.send((file, content)).await;
        }
    }
    Ok(())
}

/// Writes each file under a temporary name, and renames it when it is complete.
async fn write(run: Run, pair: Pair, contents: Receiver<(PathBuf, Vec<u8>)>) -> io::Result<usize> {
    let mut written = 0;
    while let Ok((file, content)) = contents.recv().await {
        let to = pair.to.join(file);
        let work = move || {
            let mut part = to.clone().into_os_string();
            part.push(PART);
            fs::create_dir_all(to.parent().expect("it is in a directory"))?;
            let moved = fs::write(&part, content).and_then(|()| fs::rename(&part, &to));
            moved.map_err(|error| {
                let _ = fs::remove_file(&part);
                named(&to, error)
            })
        };
        run.spawn_blocking(work).value().await;
        written += 1;
    }
    Ok(written)
}

pub fn list(directory: &Path) -> io::Result<Vec<(PathBuf, bool)>> {
    let entries = fs::read_dir(directory).map_err(|error| named(directory, error))?;
    entries.map(|entry| entry.and_then(|entry| Ok((entry.path(), entry.file_type()?.is_dir())))).collect()
}

fn remove_others(root: &Path, directory: &Path, seen: &HashSet<PathBuf>) -> io::Result<usize> {
    let mut removed = 0;
    for (path, is_directory) in list(directory)? {
        if is_directory {
            removed += remove_others(root, &path, seen)?;
        } else if !seen.contains(path.strip_prefix(root).expect("it was found in there")) {
            fs::remove_file(path)?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
