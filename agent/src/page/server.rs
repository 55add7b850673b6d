//! HTTP on one connection of a pod's.

use std::{convert::Infallible, sync::Arc, time::Duration};

use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use super::{
    report::Report,
    request::{Check, Format, Unwanted, Wanted},
    text,
};

/// How long a request's head may take, and a connection altogether.
const HEAD: Duration = Duration::from_secs(5);
const CONNECTION: Duration = Duration::from_secs(30);
/// The largest head, in bytes; the smallest that hyper allows.
const HEAD_BYTES: usize = 8192;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// Answers one request, and ends the connection. `report` gives what is to be told, `None` where nothing is known.
///
/// What goes wrong is the job's business, which may be up to anything: it is logged for debugging only.
pub async fn serve<F>(stream: impl AsyncRead + AsyncWrite + Unpin, report: impl Fn() -> F)
where
    F: Future<Output = Option<Arc<Report>>>,
{
    let service = service_fn(|request: Request<Incoming>| {
        let report = &report;
        async move {
            let response = match read(&request) {
                Ok(wanted) => answer(wanted, report().await.as_deref()),
                Err(unwanted) => refuse(unwanted),
            };
            Ok::<_, Infallible>(response)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        // A client that has said all it has to say may close its side and read on.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a request for a pod's page broke off"),
        Err(_elapsed) => tracing::debug!("a request for a pod's page took too long"),
    }
}

fn read(request: &Request<Incoming>) -> Result<Wanted, Unwanted> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Err(Unwanted::Method);
    }
    Wanted::read(request.uri().path(), request.uri().query())
}

fn refuse(unwanted: Unwanted) -> Response<String> {
    let status = match unwanted {
        Unwanted::Method => StatusCode::METHOD_NOT_ALLOWED,
        Unwanted::Path => StatusCode::NOT_FOUND,
        Unwanted::Parameter => StatusCode::BAD_REQUEST,
    };
    let mut response = respond(status, TEXT, format!("{unwanted}\n"));
    if unwanted == Unwanted::Method {
        set(&mut response, ALLOW, "GET, HEAD");
    }
    response
}

fn answer(wanted: Wanted, report: Option<&Report>) -> Response<String> {
    let Some(report) = report else {
        let said = "nothing is known: the pod is ending, or its counts cannot be read\n".to_owned();
        return respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, said);
    };
    let failures = match wanted.check {
        Check::Nothing => 0,
        Check::Refused => report.refused,
        Check::RefusedOrAudited => report.refused.saturating_add(report.audited),
    };
    let status = if failures == 0 { StatusCode::OK } else { StatusCode::CONFLICT };
    match wanted.format {
        Format::Text => respond(status, TEXT, text::render(report)),
        Format::Json => respond(status, JSON, report.to_json()),
    }
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    set(&mut response, CONTENT_TYPE, kind);
    set(&mut response, CACHE_CONTROL, "no-store");
    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}

fn set(response: &mut Response<String>, name: HeaderName, value: &'static str) {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
}

#[cfg(test)]
mod tests;
