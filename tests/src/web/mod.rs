//! HTTP and HTTPS servers with certificates of the lab's own authority, and a git repository.

mod http;
mod pages;
mod repository;
mod tls;

use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tokio_rustls::TlsAcceptor;

pub use self::pages::Page;
use self::pages::Pages;
use crate::lab::Host;

/// Counters of one web host.
#[derive(Debug, Default)]
pub struct Counters {
    connections: AtomicU64,
    requests: AtomicU64,
    uploaded: AtomicU64,
}

/// The running servers: port 80 and 443 on every address of the host.
#[derive(Debug)]
pub struct Web {
    host: Host,
    ca_file: PathBuf,
    site: Arc<http::Site>,
}

impl Web {
    /// Starts the servers; `folder` gets the authority's certificate and the repository.
    pub fn start(host: Host, folder: &Path) -> Result<Self> {
        let authority = tls::Authority::generate(host.addresses())?;
        let ca_file = folder.join("ca.pem");
        std::fs::write(&ca_file, authority.pem())?;
        let root = folder.join("www");
        let (counters, pages) = (Counters::default(), Pages::default());
        let site = Arc::new(http::Site { root, repository: OnceCell::new(), counters, pages });
        let acceptor = TlsAcceptor::from(Arc::new(authority.server_config()?));
        for &address in host.addresses() {
            let (plain, secure) = (site.clone(), site.clone());
            let acceptor = acceptor.clone();
            host.run(async move {
                serve(SocketAddr::new(address, 80), plain, None).await?;
                serve(SocketAddr::new(address, 443), secure, Some(acceptor)).await
            })??;
        }
        Ok(Self { host, ca_file, site })
    }

    /// The host they run on.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The certificate that clients must trust, as PEM.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// TCP connections accepted since the start.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.site.counters.connections.load(Ordering::SeqCst)
    }

    /// Requests served since the start.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.site.counters.requests.load(Ordering::SeqCst)
    }

    /// Bytes of request bodies since the start.
    #[must_use]
    pub fn uploaded(&self) -> u64 {
        self.site.counters.uploaded.load(Ordering::SeqCst)
    }

    /// Serves `page` on the host `host` at every path that ends in `ending`, by GET. A host on which something is
    /// published has nothing else.
    pub fn publish(&self, host: &str, ending: &str, page: Page) {
        self.site.pages.publish(host, ending, page);
    }

    /// Accepts on `port` and resets at once, with as little work as can be.
    pub fn listen_and_reset(&self, port: u16) -> Result<()> {
        self.host.run(async move {
            let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
            let listener = TcpListener::bind(address).await.context("binding a port to close")?;
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    // A reset: no port is left waiting on either side.
                    stream.set_zero_linger().ok();
                }
            });
            Ok(())
        })?
    }

    /// Serves plain HTTP on `port` of every address that reaches the host, routed ones included.
    pub fn listen_everywhere(&self, port: u16) -> Result<()> {
        let (site, address) = (self.site.clone(), SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
        self.host.run(async move { serve(address, site, None).await })?
    }
}

async fn serve(
    address: SocketAddr,
    site: Arc<http::Site>,
    acceptor: Option<TlsAcceptor>,
) -> Result<()> {
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("binding {address}/tcp"))?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            site.counters.connections.fetch_add(1, Ordering::SeqCst);
            stream.set_nodelay(true).ok();
            let (site, acceptor) = (site.clone(), acceptor.clone());
            tokio::spawn(async move {
                match acceptor {
                    None => http::converse(stream, &site).await,
                    Some(acceptor) => http::converse(acceptor.accept(stream).await?, &site).await,
                }
            });
        }
    });
    Ok(())
}
