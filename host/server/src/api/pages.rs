//! The web UI: one page, and the files that it consists of, carried by the binary.

use std::collections::HashMap;
use std::io::Write;
use std::sync::OnceLock;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use retake_core::id::ContentDigest;
use rust_embed::RustEmbed;

use super::{meta::nothing_there, served};
use crate::Host;

/// What the page may do: load what is ours and ask us. No script or style that is not a file of ours counts, and no
/// text becomes HTML.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      manifest-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// In a debug build they are read from the directory on each request.
#[derive(RustEmbed)]
#[folder = "ui/"]
#[include = "index.html"]
#[include = "*.css"]
#[include = "*.svg"]
#[include = "app/*.js"]
#[include = "vendor/*.js"]
struct Files;

pub(super) fn routes() -> Router<Host> {
    Router::new()
        .route("/", get(async |headers: HeaderMap| page(&headers)))
        .route("/ui/{*file}", get(async |Path(file): Path<String>, headers: HeaderMap| part(&file, &headers)))
}

/// What is no route is a place in the page, when a browser asks for one: it knows them all, and those that are none.
pub(super) async fn page_or_nothing(request: Request) -> Response {
    let wants_page = request.headers().get(header::ACCEPT).is_some_and(|it| it.as_bytes().starts_with(b"text/html"));
    let is_api = request.uri().path().starts_with("/api/");
    match *request.method() {
        Method::GET | Method::HEAD if wants_page && !is_api => page(request.headers()),
        _ => nothing_there().await.into_response(),
    }
}

fn page(headers: &HeaderMap) -> Response {
    let mut response = part("index.html", headers);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

fn part(name: &str, headers: &HeaderMap) -> Response {
    let Some(part) = find(name) else {
        return super::ApiError::not_found("there is no such file", "`/` is where the pages begin").into_response();
    };
    // Asked for each time, and answered in a few bytes while it is the same: another binary brings other files.
    let mut response = if headers.get(header::IF_NONE_MATCH).is_some_and(|it| *it == part.tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else if takes_gzip(headers) {
        ([(header::CONTENT_ENCODING, "gzip")], part.packed).into_response()
    } else {
        part.plain.into_response()
    };
    let kept = response.headers_mut();
    kept.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(name)));
    kept.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    kept.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    kept.insert(header::ETAG, part.tag);
    response
}

/// A file as it is served.
#[derive(Clone)]
struct Part {
    tag: HeaderValue,
    plain: Bytes,
    packed: Bytes,
}

impl Part {
    fn new(text: String) -> Self {
        let tag = HeaderValue::try_from(format!("W/\"{:.32}\"", ContentDigest::of(text.as_bytes()).to_string()));
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        // A vector takes what it is given.
        let _ = packer.write_all(text.as_bytes());
        Self {
            tag: tag.unwrap_or(HeaderValue::from_static("W/\"\"")),
            packed: packer.finish().unwrap_or_default().into(),
            plain: text.into(),
        }
    }
}

fn find(name: &str) -> Option<Part> {
    static ALL: OnceLock<HashMap<String, Part>> = OnceLock::new();
    if cfg!(debug_assertions) {
        return served(name).map(Part::new);
    }
    let all =
        ALL.get_or_init(|| Files::iter().filter_map(|it| Some((it.to_string(), Part::new(served(&it)?)))).collect());
    all.get(name).cloned()
}

fn served(name: &str) -> Option<String> {
    let text = read(name)?;
    match name {
        served::MAIN => Some(served::joined(&read)),
        "app/theme.js" => Some(served::lean(&text)),
        _ if name.starts_with("app/") => None,
        _ if name.ends_with(".css") => Some(served::lean_style(&text)),
        _ => Some(text),
    }
}

fn read(name: &str) -> Option<String> {
    String::from_utf8(Files::get(name)?.data.into_owned()).ok()
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let takes = headers.get(header::ACCEPT_ENCODING).and_then(|it| it.to_str().ok()).unwrap_or_default();
    takes.split(',').any(|it| it.trim() == "gzip")
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, it)| it) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
