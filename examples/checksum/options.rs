//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

pub const USAGE: &str = "\
usage: checksum [--runtime smol|async-std|tokio] [--keep-going] [--] PATH

Prints the SHA-256 of PATH, or of every file under it. Symbolic links and special
files are left out.

  --runtime NAME  what to run on, of what is compiled in
  --keep-going    report every file that cannot be read, instead of ending with the first
  --help          show this
";

pub enum Request {
    Run(Options),
    Help,
}

pub struct Options {
    pub path: PathBuf,
    pub runtime: Option<String>,
    pub keep_going: bool,
}

pub fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Request, String> {
    let (mut paths, mut runtime, mut keep_going) = (Vec::new(), None, false);
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--help" | "-h") => return Ok(Request::Help),
            Some("--keep-going") => keep_going = true,
            Some("--runtime") => {
                let name = args.next().ok_or("--runtime wants a name")?;
                runtime = Some(name.to_string_lossy().into_owned());
            }
            Some("--") => paths.extend(args.by_ref()),
            Some(option) if option.starts_with('-') => return Err(format!("unknown option {option}")),
            _ => paths.push(arg),
        }
    }
    match <[OsString; 1]>::try_from(paths) {
        Ok([path]) => Ok(Request::Run(Options { path: path.into(), runtime, keep_going })),
        Err(paths) => Err(format!("one PATH is wanted, not {}", paths.len())),
    }
}
