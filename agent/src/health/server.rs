//! The HTTP server.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::readiness::Readiness;
use crate::metrics::{self, Metrics};

/// How long a request's head may take, and a connection altogether.
const HEAD: Duration = Duration::from_secs(5);
const CONNECTION: Duration = Duration::from_secs(60);
/// The largest head, in bytes; the smallest that hyper allows.
const HEAD_BYTES: usize = 8192;
/// Connections at one time; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 64;
/// The pause after a connection that could not be taken (no descriptors left), lest the loop spin.
const PAUSE: Duration = Duration::from_millis(100);

/// A server that could not be started.
#[derive(Debug, thiserror::Error)]
#[error(
    "listening for health checks at {address}; `http` in the configuration is another address, or null for none"
)]
pub struct HealthError {
    /// Where.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// A server that listens and does not answer yet.
#[derive(Debug)]
pub struct HealthServer {
    listener: TcpListener,
    told: Told,
}

/// What is told to whoever asks.
#[derive(Clone, Debug)]
struct Told {
    readiness: Readiness,
    metrics: Arc<OnceLock<Metrics>>,
}

impl HealthServer {
    /// Listens at an address.
    ///
    /// # Errors
    ///
    /// [`HealthError`] when the address cannot be had.
    pub async fn bind(address: SocketAddr, readiness: Readiness) -> Result<Self, HealthError> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| HealthError { address, source })?;
        Ok(Self { listener, told: Told { readiness, metrics: Arc::default() } })
    }

    /// Serves metrics too, from the time on that there are some.
    #[must_use]
    pub fn with_metrics(self, metrics: Arc<OnceLock<Metrics>>) -> Self {
        Self { told: Told { metrics, ..self.told }, ..self }
    }

    /// Where it listens: of use when the configured port is 0.
    ///
    /// # Errors
    ///
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until it is dropped.
    pub async fn serve(self) -> Infallible {
        let free = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&free).acquire_owned().await else { continue };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let told = self.told.clone();
                    tokio::spawn(async move {
                        let served = tokio::time::timeout(CONNECTION, serve_one(stream, told));
                        if let Ok(Err(error)) = served.await {
                            tracing::debug!(%error, "a health check broke off");
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a health check could not be taken");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn serve_one(stream: TcpStream, told: Told) -> hyper::Result<()> {
    let service = service_fn(move |request| {
        let response = respond(&request, &told);
        async move { Ok::<_, Infallible>(response) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn respond(request: &Request<Incoming>, told: &Told) -> Response<String> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => match told.readiness.check() {
            Ok(()) => text(StatusCode::OK, "ready\n".to_owned()),
            Err(reasons) => text(StatusCode::SERVICE_UNAVAILABLE, reasons),
        },
        "/metrics" => match told.metrics.get().map(Metrics::text) {
            Some(Ok(page)) => {
                let mut response = text(StatusCode::OK, page);
                let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
            Some(Err(_)) => text(StatusCode::INTERNAL_SERVER_ERROR, "no metrics\n".to_owned()),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "starting\n".to_owned()),
        },
        _ => text(StatusCode::NOT_FOUND, "see /healthz, /readyz and /metrics\n".to_owned()),
    }
}

fn text(status: StatusCode, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
