//! The server: a client is a child by its name, with a group of its own for its two directions.

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

/// How many lines wait for a client that does not read.
const QUEUE: usize = 16;

type Server = Group<Smol, io::Error>;
type Clients = Keyed<Smol, Arc<str>, io::Error>;

/// The room of everybody, and what is to be written to them.
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

/// Somebody who is there, until this is dropped.
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

    /// Says it to all others in the room. What does not fit in somebody's queue is lost to him.
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

    /// Somebody else may be here under the same name by now.
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
    loop {
        let stopping = async {
            server.stopping().await;
            Ok(None)
        };
        let accepted = async { listener.accept().await.map(Some) };
        let Some((stream, _)) = future::or(stopping, accepted).await? else { return Ok(()) };
        server.launch(hello(server.clone(), clients.clone(), stream, house.clone()));
    }
}

/// The first line is the name, and then there is a child by that name.
async fn hello(server: Server, clients: Clients, stream: TcpStream, house: House) -> io::Result<()> {
    let mut lines = BufReader::new(stream.clone());
    let mut name = String::new();
    let named = async { lines.read_line(&mut name).await.map(|_| true) };
    let stopping = async {
        server.stopping().await;
        Ok(false)
    };
    if future::or(named, stopping).await? {
        let name: Arc<str> = name.trim().into();
        clients.replace(name.clone(), client(server, name, lines, stream, house));
    }
    Ok(())
}

/// Reads, beside a child that writes. If either direction fails, or the client is replaced, both are gone.
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
        loop {
            let stopping = async {
                server.stopping().await;
                Ok(0)
            };
            match future::or(lines.read_line(&mut line), stopping).await? {
                0 => break,
                _ => match line.trim().strip_prefix("/join ") {
                    Some(room) => guest.enter(room),
                    None => guest.say(line.trim()),
                },
            }
            line.clear();
            future::yield_now().await; // who says much lets others have their turn
        }
        let _ = guest.queue.try_send("goodbye\n".to_string());
        Ok(()) // the last sender is dropped here: the writer writes what there is, and ends
    });
    both.await.map_err(|error| error.into_primary().unwrap_or_else(io::Error::other))
}

async fn write(said: Receiver<String>, mut stream: TcpStream) -> io::Result<()> {
    while let Ok(line) = said.recv().await {
        stream.write_all(line.as_bytes()).await?;
    }
    Ok(())
}
