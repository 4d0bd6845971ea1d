//! Downloads many files, a few at a time, from a server that it starts itself, and shows progress bars.
//!
//!     cargo run --example download
//!
//! A download that breaks off is tried again. A file that does not exist ends the run: the group cancels all other
//! downloads, and clean-ups remove their incomplete files.

#![allow(unreachable_pub, reason = "an example exports nothing")]

mod server;

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use futures_lite::AsyncReadExt;
use futures_lite::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use smol::Timer;
use smol::net::TcpStream;
use taskgroup::{Group, GroupError, Smol, TaskGroup, scope};

use crate::server::{FILES, Traffic, content, serve};

const AT_ONCE: NonZero<usize> = NonZero::new(4).unwrap();
const ATTEMPTS: u32 = 3;

type Run = Group<Smol, io::Error>;

/// Downloads all files into a directory. If that fails, only complete files are left there.
async fn download(server: SocketAddr, files: Vec<usize>, into: PathBuf) -> Result<(), GroupError<io::Error>> {
    let bars = MultiProgress::new();
    let run = scope(Smol, |run| async move {
        for file in files {
            let one = one(run.clone(), server, file, into.join(file.to_string()), bars.clone());
            run.child().name(format!("file {file}")).launch(one); // waits for its turn
        }
        Ok(())
    });
    run.name("download").limit(AT_ONCE).await
}

/// Downloads a file to a temporary name, with several attempts, and then renames it.
async fn one(
    run: Run,
    server: SocketAddr,
    file: usize,
    place: PathBuf,
    bars: MultiProgress,
) -> io::Result<()> {
    let style = ProgressStyle::with_template("{msg:>4} {wide_bar} {bytes}/{total_bytes}");
    let bar = ProgressBar::no_length().with_style(style.expect("it is well formed"));
    let bar = bars.add(bar.with_message(file.to_string()));
    let part = place.with_extension("part");
    let left = part.clone();
    run.defer(async move {
        // The file does not exist if it was renamed, or never created.
        let _ = smol::fs::remove_file(left).await;
    });
    let mut pause = Duration::from_millis(5);
    for attempt in 1.. {
        match fetch(server, file, &part, &bar).await {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound || attempt == ATTEMPTS => {
                return Err(error);
            }
            Err(error) => bar.println(format!("file {file}, attempt {attempt}: {error}")),
        }
        Timer::after(pause).await;
        pause *= 2;
    }
    bar.finish_and_clear();
    smol::fs::rename(part, place).await
}

async fn fetch(server: SocketAddr, file: usize, part: &Path, bar: &ProgressBar) -> io::Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(format!("GET /{file} HTTP/1.1\r\nHost: {server}\r\n\r\n").as_bytes()).await?;
    let (mut stream, mut head, mut line) = (BufReader::new(stream), String::new(), String::new());
    while stream.read_line(&mut line).await? > 2 {
        head += &std::mem::take(&mut line);
    }
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(io::Error::new(io::ErrorKind::NotFound, head.lines().next().unwrap_or_default()));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
    let length: u64 = length.ok_or_else(|| io::Error::other("no length"))?;
    bar.set_length(length);
    bar.set_position(0);
    let mut out = smol::fs::File::create(part).await?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match stream.read(&mut buffer).await? {
            0 if bar.position() == length => return out.flush().await,
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                out.write_all(&buffer[..read]).await?;
                bar.inc(read as u64);
            }
        }
    }
}

async fn try_it(into: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let traffic = Arc::<Traffic>::default();
    let server = TaskGroup::builder::<io::Error>(Smol).name("server").supervise(|_, _| {}).open();
    let address = server.start(|ready| serve(server.group(), traffic.clone(), ready)).await?;

    download(address, (0..FILES).collect(), into.to_path_buf()).await?;
    for file in 0..FILES {
        assert_eq!(fs::read(into.join(file.to_string()))?, content(file));
        fs::remove_file(into.join(file.to_string()))?;
    }
    println!("{FILES} files, {} requests, {} at once", traffic.requests(), traffic.most());
    assert!(traffic.most() <= AT_ONCE.get());
    assert_eq!(traffic.requests(), FILES + FILES / 3, "every third broke off once");

    // The last but one of these files does not exist.
    let mut files: Vec<_> = (0..FILES).collect();
    files.insert(FILES - 1, 404);
    let error = download(address, files, into.to_path_buf()).await.unwrap_err();
    println!("{error}");
    assert_eq!(error.origin().and_then(|origin| origin.path()), Some("download/file 404"));
    let left: Vec<_> = fs::read_dir(into)?.collect::<Result<_, _>>()?;
    assert!(left.iter().all(|file| file.path().extension().is_none()), "{left:?}");
    println!("{} files are there, all of them complete", left.len());
    for file in left {
        let number = file.file_name().to_string_lossy().parse()?;
        assert_eq!(fs::read(file.path())?, content(number));
    }
    server.cancel();
    server.join().await.map_err(Into::into)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = std::env::temp_dir().join(format!("taskgroup-download-{}", std::process::id()));
    fs::create_dir_all(&place)?;
    let tried = smol::block_on(try_it(&place));
    fs::remove_dir_all(place)?;
    tried
}
