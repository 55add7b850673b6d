//! HTTP/1.1 (RFC 9112), as much of it as curl, git and python ask for.
//!
//! | path | answer |
//! | --- | --- |
//! | `/` and what has no other row | the Host header and a greeting |
//! | `/bytes/N` | N bytes |
//! | `/drip/N` | N bytes every 100 ms until the client goes |
//! | `/project.git/…` | files of the repository |
//! | any POST or PUT | how many bytes the body had |
//!
//! What a test publishes on a host ([`super::Web::publish`]) stands ahead of all of these.

use std::path::{Component, Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::sync::OnceCell;

use super::Counters;
use super::pages::Pages;
use super::repository;

/// Largest request head, bytes.
const MAX_HEAD: usize = 32 * 1024;
const CHUNK: &[u8] = &[b'w'; 16 * 1024];

/// What the servers of one host share.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) root: PathBuf,
    /// Made when somebody asks for it.
    pub(super) repository: OnceCell<()>,
    pub(super) counters: Counters,
    pub(super) pages: Pages,
}

struct Request {
    method: String,
    path: String,
    host: String,
    length: usize,
    expects_continue: bool,
    close: bool,
}

/// Serves one connection until either side ends it.
pub(super) async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    site: &Site,
) -> Result<()> {
    let mut stream = BufStream::new(stream);
    while let Some(request) = read_head(&mut stream).await? {
        site.counters.requests.fetch_add(1, Ordering::SeqCst);
        let body = read_body(&mut stream, &request, site).await?;
        if matches!(request.method.as_str(), "POST" | "PUT") {
            reply(&mut stream, 200, None, format!("{body} bytes taken\n").as_bytes()).await?;
        } else if site.pages.has(&request.host) {
            match site.pages.find(&request.host, &request.path) {
                Some(page) => reply(&mut stream, 200, Some(page.kind), &page.body).await?,
                None => reply(&mut stream, 404, None, b"no such page\n").await?,
            }
        } else if let Some(rate) = number_after(&request.path, "/drip/") {
            return drip(&mut stream, rate).await;
        } else if let Some(length) = number_after(&request.path, "/bytes/") {
            send_bytes(&mut stream, length).await?;
        } else if request.path.starts_with("/project.git/") {
            site.repository.get_or_try_init(|| repository::make(&site.root)).await?;
            match std::fs::read(file_below(&site.root, &request.path)?) {
                Ok(bytes) => reply(&mut stream, 200, None, &bytes).await?,
                Err(_) => reply(&mut stream, 404, None, b"no such file\n").await?,
            }
        } else {
            let text = format!("hello from {}\n", request.host);
            reply(&mut stream, 200, None, text.as_bytes()).await?;
        }
        if request.close {
            break;
        }
    }
    stream.shutdown().await?;
    Ok(())
}

async fn read_head(
    stream: &mut BufStream<impl AsyncRead + AsyncWrite + Unpin>,
) -> Result<Option<Request>> {
    let mut lines = Vec::new();
    let mut size = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        size += line.len();
        ensure!(size <= MAX_HEAD, "a request head of more than {MAX_HEAD} bytes");
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        lines.push(line.to_owned());
    }
    let mut words = lines.first().context("an empty request")?.split(' ');
    let header = |name: &str| {
        lines.iter().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    Ok(Some(Request {
        method: words.next().unwrap_or_default().to_owned(),
        path: words.next().unwrap_or_default().split('?').next().unwrap_or_default().to_owned(),
        host: header("host").unwrap_or_default(),
        length: header("content-length").map_or(Ok(0), |value| value.parse())?,
        expects_continue: header("expect").is_some(),
        close: header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
    }))
}

async fn read_body(
    stream: &mut BufStream<impl AsyncRead + AsyncWrite + Unpin>,
    request: &Request,
    site: &Site,
) -> Result<u64> {
    if request.expects_continue {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        stream.flush().await?;
    }
    let mut taken = 0;
    let mut buffer = vec![0_u8; CHUNK.len()];
    while taken < request.length {
        let want = buffer.len().min(request.length - taken);
        let room = buffer.get_mut(..want).unwrap_or_default();
        let length = stream.read(room).await?;
        ensure!(length > 0, "a body that ends early");
        taken += length;
        site.counters.uploaded.fetch_add(length as u64, Ordering::SeqCst);
    }
    Ok(taken as u64)
}

async fn reply(
    stream: &mut BufStream<impl AsyncRead + AsyncWrite + Unpin>,
    status: u16,
    kind: Option<&str>,
    body: &[u8],
) -> Result<()> {
    let phrase = if status == 200 { "OK" } else { "Not Found" };
    let kind = kind.map(|kind| format!("Content-Type: {kind}\r\n")).unwrap_or_default();
    let length = body.len();
    let head = format!("HTTP/1.1 {status} {phrase}\r\n{kind}Content-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    Ok(stream.flush().await?)
}

async fn send_bytes(
    stream: &mut BufStream<impl AsyncRead + AsyncWrite + Unpin>,
    length: usize,
) -> Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut left = length;
    while left > 0 {
        let now = CHUNK.get(..left.min(CHUNK.len())).unwrap_or_default();
        stream.write_all(now).await?;
        left -= now.len();
    }
    Ok(stream.flush().await?)
}

async fn drip(
    stream: &mut BufStream<impl AsyncRead + AsyncWrite + Unpin>,
    rate: usize,
) -> Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await?;
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    loop {
        tick.tick().await;
        stream.write_all(CHUNK.get(..rate.min(CHUNK.len())).unwrap_or_default()).await?;
        stream.flush().await?;
    }
}

fn number_after(path: &str, prefix: &str) -> Option<usize> {
    path.strip_prefix(prefix)?.parse().ok()
}

/// `path` below `root`, with nothing in it that climbs.
fn file_below(root: &Path, path: &str) -> Result<PathBuf> {
    let relative = Path::new(path.trim_start_matches('/'));
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    ensure!(plain, "a path that climbs: {path}");
    Ok(root.join(relative))
}
