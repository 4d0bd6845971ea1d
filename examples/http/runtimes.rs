//! What the example needs from a runtime besides its spawner: sockets, and a way to run a future.

use std::io;
use std::net::TcpListener;

use hyper_util::rt::TokioIo;
use smol_hyper::rt::FuturesIo;
use taskgroup::Smol;
use tokio::runtime::Handle;

use crate::server::{Listener, Runtime};

pub trait Sockets: Runtime {
    type Listener: Listener;

    /// Runs `main` on this thread.
    fn block_on<T>(&self, main: impl Future<Output = T>) -> T;

    /// Turns a listener of the standard library into one of the runtime. Called in the context of the runtime.
    fn listener(&self, bound: TcpListener) -> io::Result<Self::Listener>;

    /// Starts a task with the runtime's own spawn, for comparison.
    fn detach(&self, task: impl Future<Output = ()> + Send + 'static);
}

impl Sockets for Smol {
    type Listener = smol::net::TcpListener;

    fn block_on<T>(&self, main: impl Future<Output = T>) -> T {
        smol::block_on(main)
    }

    fn listener(&self, bound: TcpListener) -> io::Result<Self::Listener> {
        bound.try_into().map(|listener: smol::Async<TcpListener>| listener.into())
    }

    fn detach(&self, task: impl Future<Output = ()> + Send + 'static) {
        smol::spawn(task).detach();
    }
}

impl Listener for smol::net::TcpListener {
    type Stream = FuturesIo<smol::net::TcpStream>;

    async fn accept(&self) -> io::Result<Self::Stream> {
        let (stream, _) = self.accept().await?;
        stream.set_nodelay(true)?;
        Ok(FuturesIo::new(stream))
    }
}

impl Sockets for Handle {
    type Listener = tokio::net::TcpListener;

    fn block_on<T>(&self, main: impl Future<Output = T>) -> T {
        self.block_on(main)
    }

    fn listener(&self, bound: TcpListener) -> io::Result<Self::Listener> {
        bound.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(bound)
    }

    fn detach(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.spawn(task));
    }
}

impl Listener for tokio::net::TcpListener {
    type Stream = TokioIo<tokio::net::TcpStream>;

    async fn accept(&self) -> io::Result<Self::Stream> {
        let (stream, _) = self.accept().await?;
        stream.set_nodelay(true)?;
        Ok(TokioIo::new(stream))
    }
}
