//! The server: each client is a child keyed by its name, and has its own group for reading and writing.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use async_channel::{Receiver, Sender};
use futures_lite::future;
use futures_lite::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use smol::net::{TcpListener, TcpStream};
use taskgroup::group::{Keyed, Ready};
use taskgroup::{Group, Smol, scope};

/// How many lines may wait for a client that does not read.
const QUEUE: usize = 16;

type Server = Group<Smol, io::Error>;
type Clients = Keyed<Smol, Arc<str>, io::Error>;

/// The room of each client, and the queue of lines to write to it.
type Guests = HashMap<Arc<str>, (String, Sender<String>)>;
#[derive(Clone, Default)]
pub struct House(Arc<Mutex<Guests>>);

impl House {
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Guests> {
        self.0.lock().unwrap()
    }
}

/// A client that is in a room until this is dropped.
struct Guest {
    name: Arc<str>,
    house: House,
    queue: Sender<String>,
}

impl Guest {
    fn enter(&self, room: &str) {
        self.say("goes");
        self.house.lock().insert(self.name.clone(), (room.to_string(), self.queue.clone()));
        let _ = self.queue.try_send(format!("welcome to the {room}\n"));
        self.say("comes");
    }

    /// Sends the line to all others in the room. A client whose queue is full does not get it.
    fn say(&self, line: &str) {
        let house = self.house.lock();
        let own = house.get(&self.name).filter(|(_, queue)| self.is_behind(queue));
        let Some((room, _)) = own else { return };
        for (name, (_, queue)) in house.iter().filter(|(_, (other, _))| other == room) {
            if *name != self.name {
                let _ = queue.try_send(format!("{}: {line}\n", self.name));
            }
        }
    }

    /// Tells whether the queue is this client's: another client may have taken over the name.
    fn is_behind(&self, queue: &Sender<String>) -> bool {
        queue.same_channel(&self.queue)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.say("goes");
        self.house.lock().retain(|name, (_, queue)| *name != self.name || !self.is_behind(queue));
    }
}

/// Accepts until the server is asked to stop.
pub async fn serve(server: Server, port: u16, house: House, ready: Ready<SocketAddr>) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    ready.set(listener.local_addr()?);
    let clients = server.keyed();
    while let Some(accepted) = server.until_stopping(listener.accept()).await {
        let (stream, _) = accepted?;
        server.launch(hello(server.clone(), clients.clone(), stream, house.clone()));
    }
    Ok(())
}

/// Reads the first line, which is the name, and then starts the child with that name.
async fn hello(server: Server, clients: Clients, stream: TcpStream, house: House) -> io::Result<()> {
    let mut lines = BufReader::new(stream.clone());
    let mut name = String::new();
    if server.until_stopping(lines.read_line(&mut name)).await.transpose()?.is_some() {
        let name: Arc<str> = name.trim().into();
        clients.replace(name.clone(), client(server, name, lines, stream, house));
    }
    Ok(())
}

/// Reads, while a child writes. If either direction fails, or another client takes the name, both end.
async fn client(
    server: Server,
    name: Arc<str>,
    mut lines: BufReader<TcpStream>,
    stream: TcpStream,
    house: House,
) -> io::Result<()> {
    let (queue, said) = async_channel::bounded(QUEUE);
    let guest = Guest { name, house, queue };
    let both = scope(Smol, |group| async move {
        group.launch(write(said, stream));
        guest.enter("hall");
        let mut line = String::new();
        while let Some(read) = server.until_stopping(lines.read_line(&mut line)).await {
            match read? {
                0 => break,
                _ => match line.trim().strip_prefix("/join ") {
                    Some(room) => guest.enter(room),
                    None => guest.say(line.trim()),
                },
            }
            line.clear();
            future::yield_now().await; // so that a client that sends much does not starve the others
        }
        let _ = guest.queue.try_send("goodbye\n".to_string());
        Ok(()) // this drops the last sender, so the writer writes what is left and ends
    });
    both.await.map_err(|error| error.into_primary().unwrap_or_else(io::Error::other))
}

async fn write(said: Receiver<String>, mut stream: TcpStream) -> io::Result<()> {
    while let Ok(line) = said.recv().await {
        stream.write_all(line.as_bytes()).await?;
    }
    Ok(())
}
