//! Writes lines to standard output and standard error.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::digest::Digest;

/// Writes a line as `sha256sum` does: it marks and escapes names that would break the line.
pub fn write_digest(out: &mut dyn Write, path: &Path, digest: &Digest) -> io::Result<()> {
    let name = bytes(path);
    if name.iter().any(|byte| escape(*byte).is_some()) {
        out.write_all(b"\\")?;
    }
    digest.iter().try_for_each(|byte| write!(out, "{byte:02x}"))?;
    out.write_all(b"  ")?;
    for byte in name {
        match escape(*byte) {
            Some(escaped) => out.write_all(escaped)?,
            None => out.write_all(&[*byte])?,
        }
    }
    out.write_all(b"\n")
}

fn escape(byte: u8) -> Option<&'static [u8]> {
    match byte {
        b'\\' => Some(b"\\\\"),
        b'\n' => Some(b"\\n"),
        b'\r' => Some(b"\\r"),
        _ => None,
    }
}

pub fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

/// Writes to standard output, and returns whether that succeeded. A reader that goes away is not a failure.
pub fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> bool {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            note(|err| writeln!(err, "checksum: standard output: {error}"));
            false
        }
        _ => true,
    }
}

/// Writes to standard error. A failure to do so is ignored, as there is nowhere to report it.
pub fn note(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
    let _ = write(&mut io::stderr().lock());
}
