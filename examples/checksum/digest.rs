//! Reads and hashes one file. Everything here blocks.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// How many bytes are read at a time: a cancelled run waits until the current read has ended.
const CHUNK: usize = 256 << 10;

pub type Digest = [u8; 32];

#[derive(Default)]
pub struct Reading {
    path: PathBuf,
    file: Option<File>,
    hasher: Sha256,
    buffer: Vec<u8>,
}

impl Reading {
    pub fn begin(&mut self, path: &Path) {
        self.path = path.into();
        self.file = None;
        self.hasher.reset();
        self.buffer.reserve_exact(CHUNK);
    }

    /// Reads the next chunk, and returns whether there may be another. The first call opens the file.
    pub fn chunk(&mut self) -> io::Result<bool> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(File::open(&self.path)?),
        };
        self.buffer.clear();
        file.take(CHUNK as u64).read_to_end(&mut self.buffer)?;
        self.hasher.update(&self.buffer);
        if self.buffer.len() < CHUNK {
            self.file = None;
        }
        Ok(self.file.is_some())
    }

    /// Returns the length of the last chunk in bytes.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    pub fn finish(&mut self) -> Digest {
        self.hasher.finalize_reset().into()
    }
}
