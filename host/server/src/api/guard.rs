//! What every request passes: its name, the headers of its answer, who asks, and whether that may be asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::to_bytes;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use retake_engine::Entropy;

use super::session;
use crate::access::{self, Actor};
use crate::doing::Shares;
use crate::error::{ApiError, ErrorView};
use crate::places::Place;
use crate::serve::Peer;
use crate::{Host, Settings};

/// Sent by our own pages: others would have to ask whether they may, and are told that they may not (A06).
const BY_A_PAGE: HeaderName = HeaderName::from_static("x-retake");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives out the names of requests: no two of a server are the same, and none of two servers either.
#[derive(Debug, Clone)]
pub(super) struct Names(Arc<(u32, AtomicU64)>);

impl Names {
    pub(super) fn new(entropy: &dyn Entropy) -> Self {
        Self(Arc::new((entropy.next() as u32, AtomicU64::new(1))))
    }

    fn next(&self) -> String {
        let (server, requests) = &*self.0;
        format!("req-{server:08x}-{}", requests.fetch_add(1, Ordering::Relaxed))
    }
}

/// Gives each request a name, which its answer and our log have in common.
pub(super) async fn named(State(names): State<Names>, request: Request, next: Next) -> Response {
    let id = names.next();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    let status = response.status();
    if status.is_server_error() {
        tracing::error!(%id, %method, path, %status, "answered");
    } else {
        tracing::debug!(%id, %method, path, %status, "answered");
    }
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        let headers = std::mem::take(response.headers_mut());
        let error = ApiError { request_id: Some(id.as_str().into()), ..error };
        response = (status, axum::Json(ErrorView { error })).into_response();
        for (name, value) in &headers {
            if name != header::CONTENT_LENGTH && name != header::CONTENT_TYPE {
                response.headers_mut().insert(name, value.clone());
            }
        }
    } else if status.is_client_error() && !is_json(&response) {
        // Of the library's own: in the same form as ours.
        let (parts, body) = response.into_parts();
        let text = to_bytes(body, 4096).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let error = ApiError::new(status, "invalid", text, "`GET /api/v1/openapi.json` says what may be sent");
        response =
            (status, axum::Json(ErrorView { error: ApiError { request_id: Some(id.as_str().into()), ..error } }))
                .into_response();
        if let Some(allow) = parts.headers.get(header::ALLOW) {
            response.headers_mut().insert(header::ALLOW, allow.clone());
        }
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn is_json(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|it| it.as_bytes().starts_with(b"application/json"))
}

/// Refuses what a page of somebody else makes a browser send (A06, A17), and says to browsers what they may do with
/// the answer (A09).
pub(super) async fn headers(State(settings): State<Arc<Settings>>, request: Request, next: Next) -> Response {
    let mut response = match allowed(&settings, request.headers(), request.uri()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    let headers = response.headers_mut();
    // Pages have their own.
    let has_policy = headers.contains_key(header::CONTENT_SECURITY_POLICY);
    let may_be_kept = headers.contains_key(header::CACHE_CONTROL);
    let mut say = |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    say(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    say(header::REFERRER_POLICY, "no-referrer");
    if !may_be_kept {
        say(header::CACHE_CONTROL, "no-store");
    }
    say(header::X_FRAME_OPTIONS, "DENY");
    if !has_policy {
        say(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    }
    say(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    say(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if settings.tls {
        say(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    response
}

fn allowed(settings: &Settings, headers: &HeaderMap, uri: &Uri) -> Result<(), ApiError> {
    let host =
        headers.get(header::HOST).and_then(|it| it.to_str().ok()).or_else(|| uri.authority().map(|it| it.as_str()));
    if !host.is_some_and(|it| is_ours(settings, it)) {
        let message = format!("this server is not called `{}`", host.unwrap_or_default());
        let hint = "call it by its own name, or start it with `--host NAME`";
        return Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", message, hint));
    }
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = origin.to_str().ok().and_then(|it| it.split_once("://")).map(|(_, host)| host);
        // Not what merely has the same name: another program of this machine serves pages on another port.
        let is_same = |it: &str| Some(it) == host || is_named(settings, name_of(it));
        if !origin.is_some_and(is_same) {
            let hint = "only pages of this server itself may ask it for something";
            return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", "a page of another origin asks", hint));
        }
    }
    Ok(())
}

/// Whether a host, with or without a port, is this server.
fn is_ours(settings: &Settings, host: &str) -> bool {
    let name = name_of(host);
    let mut loopback = ["localhost", "127.0.0.1", "::1"].into_iter();
    loopback.any(|it| it.eq_ignore_ascii_case(name)) || is_named(settings, name)
}

/// Returns a host without its port.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(address, _)| address),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    }
}

/// Whether somebody said that this server is called so.
fn is_named(settings: &Settings, name: &str) -> bool {
    settings.hosts.iter().any(|it| it.eq_ignore_ascii_case(name))
}

/// Finds out who asks, and refuses what that token may not ask for.
pub(super) async fn who(State(host): State<Host>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|it| it.as_str().to_owned()).unwrap_or_default();
    let counted = permitted(&host, request.method(), &route, request.headers()).and_then(|actor| {
        if !actor.is_nobody() {
            host.bounds.request(&actor.name)?;
            if let Some(place) = request.extensions().get::<Arc<Place>>() {
                place.prove(&actor.name);
            }
        }
        Ok(actor)
    });
    let actor = match counted {
        Ok(actor) => actor,
        Err(error) => {
            let peer = request.extensions().get::<Peer>().filter(|_| error.status() == StatusCode::UNAUTHORIZED);
            return peer.map_or(Ok(()), |it| host.bounds.guess(it.0)).err().unwrap_or(error).into_response();
        }
    };
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let shares = shares(&host, request.method(), &route, request.uri().query()).filter(|_| !actor.is_nobody());
    let share = match shares {
        Some(shares) => shares.take(&actor.name).await,
        None => None,
    };
    let sent = |answer| match share {
        Some(share) => share.until_sent(answer),
        None => answer,
    };
    request.extensions_mut().insert(actor);
    if !changes {
        return sent(next.run(request).await);
    }
    // What was begun is done to its end, also when whoever asked does not wait for the answer.
    let (answer, answered) = tokio::sync::oneshot::channel();
    host.doing.begin(async move {
        let _ = answer.send(next.run(request).await);
    });
    sent(answered.await.unwrap_or_else(|_| {
        let hint = "the server's log says more; what was asked for may have happened";
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed", hint).into_response()
    }))
}

/// Returns of what a request takes a share, which it has until its answer is sent.
fn shares<'a>(host: &'a Host, method: &Method, route: &str, query: Option<&str>) -> Option<&'a Shares> {
    let route = route.strip_prefix("/api/v1/")?;
    let doing = &host.doing;
    match (method, route) {
        (&Method::POST, "flow-runs/{run}/retry" | "flow-runs/bulk-retry") => Some(&doing.large),
        (&Method::GET | &Method::HEAD, _) if route.ends_with("/stream") => None,
        (&Method::GET | &Method::HEAD, _) if query.is_some_and(|it| it.contains("text=")) => Some(&doing.searches),
        (&Method::GET | &Method::HEAD, "flow-runs/{run}/logs") if query.is_some_and(|it| it.contains("tree=")) => {
            Some(&doing.large)
        }
        (
            &Method::GET | &Method::HEAD,
            "flow-runs/{run}" | "flow-runs/{run}/explanation" | "flow-runs/{run}/task-runs/{number}",
        ) => Some(&doing.large),
        (&Method::GET | &Method::HEAD, "session" | "version" | "settings") => None,
        (&Method::GET | &Method::HEAD, _) => Some(&doing.lists),
        _ => None,
    }
}

fn permitted(host: &Host, method: &Method, route: &str, headers: &HeaderMap) -> Result<Actor, ApiError> {
    let Some(needed) = access::needs(method, route) else {
        if access::ROUTES.iter().any(|(_, path, _)| *path == route) {
            return Err(super::meta::not_so());
        }
        tracing::error!(%method, route, "this route is not listed in `access::ROUTES`");
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "nobody may ask for this",
            "it is a bug: tell us",
        ));
    };
    let Some(needed) = needed else { return Ok(Actor::nobody()) };
    let unauthorized = |message: &str| {
        let hint = "send `Authorization: Bearer TOKEN`; `retake tokens add NAME` makes one";
        ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message, hint)
    };
    let actor = match headers.get(header::AUTHORIZATION) {
        Some(token) => {
            let token = token.to_str().ok().and_then(|it| it.split_once(' '));
            let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, it)| it.trim());
            // What a browser sends by itself is no token.
            token.and_then(|it| host.tokens.actor(it, host.now())).filter(|it| !it.is_session())
        }
        None => {
            let key = session::key(headers).ok_or_else(|| unauthorized("no token was sent"))?;
            let changes = !matches!(*method, Method::GET | Method::HEAD);
            if changes && !headers.contains_key(BY_A_PAGE) {
                let hint = "a page of ours sends it; other programs send a token";
                let message = "a cookie counts only with a header `X-Retake`";
                return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message, hint));
            }
            host.tokens.actor(key, host.now()).filter(Actor::is_session)
        }
    };
    let actor = actor.ok_or_else(|| unauthorized("the token is not known, or has expired"))?;
    if actor.role < needed {
        let (has, needs) = (actor.role.as_str(), needed.as_str());
        let message = format!("the token `{}` has the role {has}, and this needs {needs}", actor.name);
        return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message, "ask an admin for another token"));
    }
    Ok(actor)
}
