//! Lists the files of a tree. Everything here blocks.

use std::fs::{self, ReadDir};
use std::io::{self, Write};
use std::path::PathBuf;

/// How many directory entries are read at a time.
const BATCH: usize = 256;

/// A file or directory that cannot be read.
#[derive(Debug)]
pub struct FileError {
    path: PathBuf,
    error: io::Error,
}

impl FileError {
    pub fn new(path: PathBuf, error: io::Error) -> Self {
        Self { path, error }
    }

    /// Writes the error and the unchanged name, which need not be UTF-8.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"checksum: ")?;
        out.write_all(self.path.as_os_str().as_encoded_bytes())?;
        writeln!(out, ": {}", self.error)
    }
}

/// Lists the files under a path, without recursion and with one descriptor.
#[derive(Debug, Default)]
pub struct Files {
    root: Option<PathBuf>,
    /// Directories that are still to be read.
    directories: Vec<PathBuf>,
    /// The directory that is being read.
    open: Option<(PathBuf, ReadDir)>,
}

impl Files {
    pub fn under(root: PathBuf) -> Self {
        Self { root: Some(root), ..Self::default() }
    }

    /// Returns some more files, perhaps none, or `None` at the end. May be called again after an error.
    pub fn next_batch(&mut self) -> Result<Option<Vec<PathBuf>>, FileError> {
        if let Some(root) = self.root.take() {
            return self.look_at(root).map(Some);
        }
        if self.open.is_none() {
            let Some(path) = self.directories.pop() else { return Ok(None) };
            let entries = fs::read_dir(&path).map_err(|error| FileError::new(path.clone(), error))?;
            self.open = Some((path, entries));
        }
        self.read_some().map(Some)
    }

    fn look_at(&mut self, root: PathBuf) -> Result<Vec<PathBuf>, FileError> {
        let kind = match root.symlink_metadata() {
            Ok(metadata) => metadata.file_type(),
            Err(error) => return Err(FileError::new(root, error)),
        };
        if kind.is_file() {
            return Ok(vec![root]);
        }
        if !kind.is_dir() {
            return Err(FileError::new(root, io::Error::other("neither a file nor a directory")));
        }
        self.directories.push(root);
        Ok(Vec::new())
    }

    fn read_some(&mut self) -> Result<Vec<PathBuf>, FileError> {
        let (path, mut entries) = self.open.take().expect("opened by the caller");
        let mut files = Vec::new();
        for _ in 0..BATCH {
            let Some(entry) = entries.next() else { return Ok(files) };
            let entry = entry.map_err(|error| FileError::new(path.clone(), error))?;
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.directories.push(entry.path()),
                Ok(kind) if !kind.is_file() => {}
                // If the kind is unknown, opening the file will report why.
                _ => files.push(entry.path()),
            }
        }
        self.open = Some((path, entries));
        Ok(files)
    }
}
