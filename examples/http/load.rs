//! Clients that run on their own threads, without any runtime.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    /// `true` if the server keeps the connection open.
    pub stays: bool,
}

/// One connection, which is used until the server closes it.
pub struct Client(BufReader<TcpStream>);

impl Client {
    pub fn connect(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Asks for one page. Returns `None` if the server closed the connection without an answer.
    pub fn get(&mut self, path: &str) -> io::Result<Option<Answer>> {
        match self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")) {
            Err(error) if is_closed(&error) => Ok(None),
            sent => sent.and_then(|()| self.receive()),
        }
    }

    pub fn send(&mut self, text: &str) -> io::Result<()> {
        self.0.get_mut().write_all(text.as_bytes())
    }

    pub fn receive(&mut self) -> io::Result<Option<Answer>> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => return Ok(None),
            Err(error) if line.is_empty() && is_closed(&error) => return Ok(None),
            read => read?,
        };
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("no status"))?;
        let (mut length, mut stays) = (0, true);
        loop {
            line.clear();
            self.0.read_line(&mut line)?;
            let (name, value) = line.trim().split_once(": ").unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().map_err(io::Error::other)?,
                "connection" => stays = value != "close",
                "" => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(Some(Answer { status, body: String::from_utf8_lossy(&body).into_owned(), stays }))
    }

    /// Tells whether data can be received now.
    pub fn has_heard(&mut self) -> io::Result<bool> {
        self.0.get_ref().set_nonblocking(true)?;
        let heard = self.0.fill_buf().map(|_| true);
        self.0.get_ref().set_nonblocking(false)?;
        match heard {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            heard => heard,
        }
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

/// Counts the outcomes of the requests of a load.
#[derive(Debug, Default)]
pub struct Count {
    pub answered: AtomicUsize,
    /// Requests for which the server closed the connection without a byte, as it may between two requests.
    pub refused: AtomicUsize,
    /// Requests for which the server closed the connection within an answer.
    pub torn: AtomicUsize,
}

/// A number of clients, each of which sends one request after the other.
pub struct Load {
    pub count: Arc<Count>,
    enough: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn start(server: SocketAddr, clients: usize, path: &'static str) -> Self {
        let (count, enough) = (Arc::<Count>::default(), Arc::<AtomicBool>::default());
        let start = |_| {
            let (count, enough) = (count.clone(), enough.clone());
            thread::spawn(move || client(server, path, &count, &enough))
        };
        let clients = (0..clients).map(start).collect();
        Self { count, enough, clients }
    }

    /// Tells the clients to end, and waits for them. They also end when the server is gone.
    pub fn end(self) -> Arc<Count> {
        self.enough.store(true, SeqCst);
        for client in self.clients {
            client.join().expect("clients do not panic");
        }
        self.count
    }
}

fn client(server: SocketAddr, path: &str, count: &Count, enough: &AtomicBool) {
    while let Ok(mut client) = Client::connect(server) {
        let mut stays = true;
        while stays {
            if enough.load(SeqCst) {
                return;
            }
            let answer = client.get(path);
            stays = matches!(answer, Ok(Some(Answer { stays: true, .. })));
            let counter = match answer {
                Ok(Some(Answer { status: 200, .. })) => &count.answered,
                Ok(None) => &count.refused,
                Ok(Some(_)) | Err(_) => &count.torn,
            };
            counter.fetch_add(1, SeqCst);
        }
    }
}
