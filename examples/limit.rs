//! Crawls an HTTP server that it starts itself, with at most four requests under way.
//!
//!     cargo run --example limit -- [DIRECTORY]
//!
//! The server shows a directory (`src` if none is given) as pages of links, and the crawler follows all of them. The body
//! of the crawler's group receives the links as they are found. Before it starts the next request it waits for a place
//! under the limit: that is back-pressure.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures_lite::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use smol::net::{TcpListener, TcpStream};
use taskgroup::group::Ready;
use taskgroup::{Group, Smol, TaskGroup, scope};

const AT_ONCE: NonZero<usize> = NonZero::new(4).unwrap();

/// Counts the requests under way now, and the most that there were at once.
#[derive(Default)]
struct Gauge {
    now: AtomicUsize,
    most: AtomicUsize,
}

async fn serve(
    group: Group<Smol, io::Error>,
    root: PathBuf,
    gauge: Arc<Gauge>,
    ready: Ready<SocketAddr>,
) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    ready.set(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let (root, gauge) = (root.clone(), gauge.clone());
        group.launch(async move {
            gauge.most.fetch_max(gauge.now.fetch_add(1, SeqCst) + 1, SeqCst);
            let answered = answer(stream.clone(), root).await;
            // As long as the stream is open, the crawler does not start the next request.
            gauge.now.fetch_sub(1, SeqCst);
            drop(stream);
            answered
        });
    }
}

async fn answer(mut stream: TcpStream, root: PathBuf) -> io::Result<()> {
    let mut request = String::new();
    BufReader::new(stream.clone()).read_line(&mut request).await?;
    let path = request.split(' ').nth(1).unwrap_or("/").trim_matches('/').to_string();
    let page = smol::unblock(move || page(&root.join(&path), &path)).await;
    let (status, body) = page.map_or(("404 Not Found", String::new()), |body| ("200 OK", body));
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await
}

/// Returns a directory as links, and a file unchanged.
fn page(file: &Path, path: &str) -> io::Result<String> {
    if !file.is_dir() {
        return Ok(String::from_utf8_lossy(&std::fs::read(file)?).into_owned());
    }
    let mut links = String::from("<ul>\n");
    for entry in std::fs::read_dir(file)? {
        let name = entry?.file_name();
        links += &format!("<li><a href=\"/{path}/{0}\">{0}</a>\n", name.to_string_lossy());
    }
    Ok(links + "</ul>\n")
}

/// Fetches one page, and returns its size and its links.
async fn fetch(server: SocketAddr, path: &str) -> io::Result<(usize, Vec<String>)> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {server}\r\n\r\n").as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    let (head, body) = response.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("no answer"))?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(io::Error::other(format!("{path}: {head}")));
    }
    let is_list = body.starts_with("<ul>");
    let links = body.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    Ok((body.len(), links.filter(|_| is_list).map(|link| link.replace("//", "/")).collect()))
}

/// Crawls all pages, and returns the number of pages and of bytes.
async fn crawl(server: SocketAddr) -> Result<(usize, usize), taskgroup::GroupError<io::Error>> {
    scope(Smol, |group| async move {
        let (found, links) = async_channel::unbounded();
        let bytes = Arc::new(AtomicUsize::new(0));
        let mut seen = HashSet::from(["/".to_string()]);
        let mut next = vec!["/".to_string()];
        loop {
            for path in next.drain(..) {
                let (found, bytes) = (found.clone(), bytes.clone());
                let request = async move {
                    let (size, links) = fetch(server, &path).await?;
                    bytes.fetch_add(size, SeqCst);
                    let _ = found.send(links).await;
                    Ok(())
                };
                group.spawn_when_free(request).await;
            }
            // Waits for a page, or until no request is under way, after which no page can come.
            let idle = async {
                group.idle().await;
                Err(async_channel::RecvError)
            };
            match links.try_recv() {
                Ok(more) => next.extend(more.into_iter().filter(|link| seen.insert(link.clone()))),
                Err(_) => match futures_lite::future::or(links.recv(), idle).await {
                    Ok(more) => next.extend(more.into_iter().filter(|link| seen.insert(link.clone()))),
                    Err(_) if links.is_empty() => return Ok((seen.len(), bytes.load(SeqCst))),
                    Err(_) => {}
                },
            }
        }
    })
    .limit(AT_ONCE)
    .await
}

/// Counts a directory and all that is in it.
fn count(root: &Path) -> io::Result<usize> {
    let mut pages = 1;
    if root.is_dir() {
        for entry in std::fs::read_dir(root)? {
            pages += count(&entry?.path())?;
        }
    }
    Ok(pages)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "src".into()));
    smol::block_on(async {
        let (server, gauge) = (TaskGroup::fallible::<io::Error>(Smol), Arc::new(Gauge::default()));
        let (group, served, seen) = (server.group(), root.clone(), gauge.clone());
        let address = server.start(|ready| serve(group, served, seen, ready)).await?;
        let (pages, bytes) = crawl(address).await?;
        let most = gauge.most.load(SeqCst);
        println!("{pages} pages, {bytes} bytes, at most {most} requests at once");
        assert!(most <= AT_ONCE.get());
        assert_eq!(pages, count(&root)?);
        server.cancel();
        server.join().await?;
        Ok(())
    })
}
