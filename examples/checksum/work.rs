//! The group: a walker, and the children that hash the files that it finds.

use std::future::ready;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use async_channel::{Receiver, Sender};
use futures_lite::future::yield_now;
use taskgroup::{Group, Spawner, scope, shield};

use crate::digest::{Digest, Reading};
use crate::files::{FileError, Files};
use crate::options::Options;
use crate::report::{Progress, Report};

/// How many files are read at a time; the walker has one more descriptor open.
const HASHERS: usize = 8;
/// How many paths the walker may be ahead of the hashers.
const AHEAD: usize = 256;

/// A runtime with a pool of threads for calls that block.
pub trait Blocking: Spawner {
    /// Runs `work` on that pool. If it panics, the panic is resumed in the caller.
    fn unblock<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static;
}

/// Hashes every file that the options ask for.
pub async fn run<S: Blocking>(spawner: S, options: Options) -> Report {
    let Options { path, keep_going, .. } = options;
    let progress = Arc::new(Progress::start());
    let (found, digests) = mpsc::channel();

    let shown = progress.clone();
    let mut work = scope(spawner.clone(), |group| async move {
        let (send, paths) = async_channel::bounded(AHEAD);
        let member = Member { spawner, group: group.clone(), progress: shown, keep_going };
        group.launch(member.clone().walk(Files::under(path), send));
        for _ in 0..HASHERS {
            group.launch(member.clone().hash(paths.clone(), found.clone()));
        }
        Ok(())
    });
    if keep_going {
        let progress = progress.clone();
        work = work.collect().on_failure(move |_, failure| progress.failed(failure));
    }
    let result = work.await;

    // Only the body and the children had senders, and all of them are gone, so this iteration ends.
    let digests = digests.into_iter().collect();
    progress.finish(digests, result.err(), keep_going)
}

/// What each child needs.
#[derive(Clone)]
struct Member<S> {
    spawner: S,
    group: Group<S, FileError>,
    progress: Arc<Progress>,
    keep_going: bool,
}

impl<S: Blocking> Member<S> {
    /// Runs the child that sends the path of every file.
    async fn walk(self, mut files: Files, paths: Sender<PathBuf>) -> Result<(), FileError> {
        loop {
            let batch = self.blocking(&mut files, Files::next_batch).await;
            match batch {
                Ok(Some(batch)) => send_all(&paths, batch).await,
                Ok(None) => return Ok(()),
                Err(error) => self.hand_in(error)?,
            }
        }
    }

    /// Runs a child that hashes files until there are no more.
    async fn hash(
        self,
        paths: Receiver<PathBuf>,
        found: mpsc::Sender<(PathBuf, Digest)>,
    ) -> Result<(), FileError> {
        let mut reading = Reading::default();
        while let Ok(path) = paths.recv().await {
            match self.hash_file(&mut reading, &path).await {
                // The receiver is gone only if the whole run was dropped, so the error is ignored.
                Ok(digest) => drop(found.send((path, digest))),
                Err(error) => self.hand_in(FileError::new(path, error))?,
            }
        }
        Ok(())
    }

    async fn hash_file(&self, reading: &mut Reading, path: &Path) -> io::Result<Digest> {
        reading.begin(path);
        loop {
            let more = self.blocking(reading, Reading::chunk).await?;
            self.progress.read(reading.len());
            if !more {
                self.progress.hashed();
                return Ok(reading.finish());
            }
        }
    }

    /// Calls `f` on the pool, where it may block.
    ///
    /// A call that has begun cannot be stopped. The call is under a shield, so that the group waits for it and does
    /// not leave it behind with an open file.
    async fn blocking<T, R>(&self, on: &mut T, f: fn(&mut T) -> R) -> R
    where
        T: Default + Send + 'static,
        R: Send + 'static,
    {
        // Shields without an await between them act as one long shield. A cancelled member is dropped at this await.
        yield_now().await;
        let mut lent = std::mem::take(on);
        let call = move || {
            let result = f(&mut lent);
            (lent, result)
        };
        let (returned, result) = shield(self.spawner.unblock(call)).await;
        *on = returned;
        result
    }

    /// Ends the run with `error`, or, with `--keep-going`, gives it to the group through an extra child.
    fn hand_in(&self, error: FileError) -> Result<(), FileError> {
        if !self.keep_going {
            return Err(error);
        }
        self.group.launch(ready(Err::<(), _>(error)));
        Ok(())
    }
}

async fn send_all(paths: &Sender<PathBuf>, batch: Vec<PathBuf>) {
    for path in batch {
        // If there is no receiver, the group is being cancelled, and this child with it.
        let _ = paths.send(path).await;
    }
}
