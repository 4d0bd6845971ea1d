//! The server: it is slow, and for every third file it breaks the first answer off.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures_lite::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use smol::Timer;
use smol::net::{TcpListener, TcpStream};
use taskgroup::group::Ready;
use taskgroup::{Group, Smol};

pub const FILES: usize = 24;

/// Counts the requests for each file, and how many were under way at once.
#[derive(Default)]
pub struct Traffic {
    asked: [AtomicUsize; FILES],
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Traffic {
    pub fn requests(&self) -> usize {
        self.asked.iter().map(|asked| asked.load(SeqCst)).sum()
    }

    pub fn most(&self) -> usize {
        self.most.load(SeqCst)
    }
}

/// Returns the content of a file.
pub fn content(file: usize) -> Vec<u8> {
    (0..50_000 + 7_000 * file).map(|at| (at * (file + 1)) as u8).collect()
}

pub async fn serve(
    server: Group<Smol, io::Error>,
    traffic: Arc<Traffic>,
    ready: Ready<SocketAddr>,
) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    ready.set(listener.local_addr()?);
    loop {
        let (mut stream, _) = listener.accept().await?;
        let traffic = traffic.clone();
        server.launch(async move {
            traffic.most.fetch_max(traffic.now.fetch_add(1, SeqCst) + 1, SeqCst);
            let answered = answer(&mut stream, &traffic).await;
            traffic.now.fetch_sub(1, SeqCst); // the stream is closed after this, and the client waits for that
            answered
        });
    }
}

async fn answer(stream: &mut TcpStream, traffic: &Traffic) -> io::Result<()> {
    let mut line = String::new();
    BufReader::new(stream.clone()).read_line(&mut line).await?;
    let file = line.split(['/', ' ']).nth(2).and_then(|file| file.parse().ok()).filter(|file| *file < FILES);
    let Some(file) = file else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    };
    let content = content(file);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len());
    stream.write_all(head.as_bytes()).await?;
    let breaks_off = traffic.asked[file].fetch_add(1, SeqCst) == 0 && file % 3 == 0;
    let sent = if breaks_off { content.len() / 2 } else { content.len() };
    for piece in content[..sent].chunks(16 * 1024) {
        stream.write_all(piece).await?;
        Timer::after(Duration::from_millis(1)).await;
    }
    Ok(())
}
