//! Starts and ends what serves one pod.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use nix::sys::socket;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use super::listener::Listener;
use super::lookup::Resolver;
use super::pod::Pod;
use super::session::Session;
use super::{tcp, udp};

/// Plenty for a thread that parses and copies; pods are many.
const STACK_BYTES: usize = 256 << 10;

/// A pod being served; dropping it ends that.
pub struct Server {
    close: Box<dyn Fn() + Send + Sync>,
    stop: watch::Sender<bool>,
    sockets: Vec<Arc<UdpSocket>>,
    threads: Vec<JoinHandle<()>>,
}

/// Serves `pod` on `listener`: a thread for each UDP socket, tasks for the rest.
///
/// # Errors
/// If the caller is not within a tokio runtime, or a thread or socket cannot be set up. Nothing is
/// left running then.
pub fn serve<P: Pod>(
    resolver: Arc<Resolver>,
    pod: Arc<P>,
    listener: Listener,
) -> io::Result<Server> {
    let runtime = Handle::try_current().map_err(io::Error::other)?;
    let connections = Arc::new(Semaphore::new(resolver.settings().pod_connections));
    let session = Arc::new(Session::new(resolver, pod, listener.versions()));
    let (stop, stopped) = watch::channel(false);
    let closing = Arc::clone(&session);
    let mut server = Server {
        close: Box::new(move || closing.close()),
        stop,
        sockets: Vec::new(),
        threads: Vec::new(),
    };
    for socket in listener.tcp {
        let socket = tokio::net::TcpListener::from_std(socket)?;
        let (session, connections) = (Arc::clone(&session), Arc::clone(&connections));
        runtime.spawn(tcp::serve(session, socket, connections, stopped.clone()));
    }
    let (holder, mut stopped) = (Arc::clone(&session), stopped);
    runtime.spawn(async move {
        tokio::select! {
            () = holder.report_held() => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    });
    for socket in listener.udp {
        socket.set_nonblocking(false)?;
        let socket = Arc::new(socket);
        server.sockets.push(Arc::clone(&socket));
        let (session, runtime) = (Arc::clone(&session), runtime.clone());
        let thread = thread::Builder::new()
            .name("weir-dns".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || udp::serve(&session, &socket, &runtime))?;
        server.threads.push(thread);
    }
    Ok(server)
}

impl Server {
    /// Ends serving. When it returns, nothing calls the pod any more; the sockets close as their
    /// last users let go of them.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        (self.close)();
        self.stop.send_replace(true);
        for socket in &self.sockets {
            // An unconnected UDP socket answers ENOTCONN and wakes its readers all the same.
            if let Err(errno) = socket::shutdown(socket.as_raw_fd(), socket::Shutdown::Both) {
                tracing::trace!(%errno, "a DNS socket was shut down");
            }
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a DNS thread had panicked");
            }
        }
    }
}
