//! What every request passes: its name, the headers of its answer, who asks, and whether that may be asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::to_bytes;
use axum::extract::{MatchedPath, Request, State};
use axum::http::uri::Authority;
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
    let host = host_of(headers, uri).filter(|it| is_ours(settings, it));
    let Some(host) = host else {
        let said = headers.get(header::HOST).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let message = format!("this server is not called `{}`", crate::text::one_line(said));
        let hint = "call it by its own name, or start it with `--host NAME`";
        return Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", message, hint));
    };
    let mut origins = headers.get_all(header::ORIGIN).iter();
    if !origins.all(|it| it.to_str().is_ok_and(|it| is_own_page(settings, &host, it))) {
        let hint = "only pages of this server itself may ask it for something";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", "a page of another origin asks", hint));
    }
    Ok(())
}

/// Returns what a request calls this server: one name and perhaps a port, said once, or twice alike.
fn host_of(headers: &HeaderMap, uri: &Uri) -> Option<Authority> {
    let mut said = headers.get_all(header::HOST).iter().map(|it| Authority::try_from(it.as_bytes()).ok());
    let host = match (said.next(), said.next()) {
        (_, Some(_)) | (Some(None), None) => return None,
        (Some(host), None) => host,
        (None, None) => None,
    };
    let host = match (host, uri.authority()) {
        (Some(host), Some(other)) if host != *other => return None,
        (host, other) => host.or_else(|| other.cloned())?,
    };
    // Not `127.0.0.1:7420@elsewhere`, which some take for the one and some for the other.
    (!host.as_str().contains('@') && !host.as_str().ends_with(':')).then_some(host)
}

/// Whether a page's origin is this server, as it was called: the same scheme, name and port. Where a proxy calls it
/// otherwise, a page of a name that it was started with: `NAME` over https, or `NAME:PORT`.
fn is_own_page(settings: &Settings, host: &Authority, origin: &str) -> bool {
    let Some((scheme, page)) = origin.split_once("://") else { return false };
    let may_be_read = scheme == "http" && !settings.tls;
    let is_named = |it: &String| match it.contains(':') && !it.starts_with('[') {
        true => it.eq_ignore_ascii_case(page),
        false => scheme == "https" && it.eq_ignore_ascii_case(page),
    };
    (scheme == "https" || may_be_read)
        && (page.eq_ignore_ascii_case(host.as_str()) || settings.hosts.iter().any(is_named))
}

/// Whether a host, with or without a port, is this server.
fn is_ours(settings: &Settings, host: &Authority) -> bool {
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    let mut loopback = ["localhost", "127.0.0.1", "::1"].into_iter();
    let is_named =
        |it: &String| [name, host.host(), host.as_str()].into_iter().any(|said| it.eq_ignore_ascii_case(said));
    loopback.any(|it| it.eq_ignore_ascii_case(name)) || settings.hosts.iter().any(is_named)
}

/// Finds out who asks, and refuses what that token may not ask for.
pub(super) async fn who(State(host): State<Host>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|it| it.as_str().to_owned()).unwrap_or_default();
    let asks = asking(&host, request.method(), &route, &request);
    let counted = asks.and_then(|actor| match permitted(request.method(), &route, &actor) {
        Ok(()) => Ok(actor),
        Err(error) => Err(Refused::boxed(error, Some(actor))),
    });
    let actor = match counted {
        Ok(actor) => actor,
        Err(refused) => {
            let Refused { error, actor } = *refused;
            if let Some(place) = request.extensions().get::<Arc<Place>>() {
                place.disprove();
            }
            let peer = request.extensions().get::<Peer>().map(|it| it.0);
            let what = format!("{} {route}", request.method());
            return host.refuse(&actor.unwrap_or_else(Actor::nobody), what, error, peer).await.into_response();
        }
    };
    if let Some(place) = request.extensions().get::<Arc<Place>>() {
        match actor.is_nobody() {
            true => place.disprove(),
            false => place.prove(&actor.name),
        }
    }
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
        // Its share with it, which would be free too early otherwise.
        let _ = answer.send(sent(next.run(request).await));
    });
    answered.await.unwrap_or_else(|_| {
        let hint = "the server's log says more; what was asked for may have happened";
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed", hint).into_response()
    })
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
            "components"
            | "flows"
            | "flow-runs/{run}"
            | "flow-runs/{run}/explanation"
            | "flow-runs/{run}/task-runs/{number}",
        ) => Some(&doing.large),
        (&Method::GET | &Method::HEAD, "session" | "version" | "settings") => None,
        (&Method::GET | &Method::HEAD, _) => Some(&doing.lists),
        // It has shares of its own, which it keeps while its body comes.
        (_, "components") => None,
        _ => Some(&doing.changes),
    }
}

/// What is not done, and who asked for it, if that is known.
struct Refused {
    error: ApiError,
    actor: Option<Actor>,
}

impl Refused {
    fn boxed(error: ApiError, actor: Option<Actor>) -> Box<Self> {
        Box::new(Self { error, actor })
    }
}

/// Finds out who asks for something that not everybody may ask for.
fn asking(host: &Host, method: &Method, route: &str, request: &Request) -> Result<Actor, Box<Refused>> {
    if access::needs(method, route).flatten().is_none() {
        return Ok(Actor::nobody());
    }
    let headers = request.headers();
    let unauthorized = |message: &str| {
        let hint = "send `Authorization: Bearer TOKEN`; `retake tokens add NAME` makes one";
        Refused::boxed(ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message, hint), None)
    };
    let actor = match headers.get(header::AUTHORIZATION) {
        Some(token) => {
            let token = token.to_str().ok().and_then(|it| it.split_once(' '));
            let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, it)| it.trim());
            // What a browser sends by itself is no token.
            token.and_then(|it| host.tokens.actor(it, host.now())).filter(|it| !it.is_session())
        }
        None => {
            let settings = request.extensions().get::<Arc<Settings>>();
            let key =
                settings.and_then(|it| session::key(headers, it)).ok_or_else(|| unauthorized("no token was sent"))?;
            let actor = host.tokens.actor(key, host.now()).filter(Actor::is_session);
            let changes = !matches!(*method, Method::GET | Method::HEAD);
            if changes && !headers.contains_key(BY_A_PAGE) {
                let hint = "a page of ours sends it; other programs send a token";
                let message = "a cookie counts only with a header `X-Retake`";
                return Err(Refused::boxed(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message, hint), actor));
            }
            actor
        }
    };
    let actor = actor.ok_or_else(|| unauthorized("the token is not known, or has expired"))?;
    match host.bounds.request(&actor.name) {
        Ok(()) => Ok(actor),
        Err(error) => Err(Refused::boxed(error, Some(actor))),
    }
}

fn permitted(method: &Method, route: &str, actor: &Actor) -> Result<(), ApiError> {
    let Some(needed) = access::needs(method, route) else {
        if access::ROUTES.iter().any(|(_, path, _)| *path == route) {
            return Err(super::meta::not_so());
        }
        tracing::error!(%method, route, "this route is not listed in `access::ROUTES`");
        let (message, hint) = ("nobody may ask for this", "it is a bug: tell us");
        return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message, hint));
    };
    match needed.filter(|it| actor.role < *it) {
        None => Ok(()),
        Some(needed) => {
            let (has, needs) = (actor.role.as_str(), needed.as_str());
            let message = format!("the token `{}` has the role {has}, and this needs {needs}", actor.name);
            Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message, "ask an admin for another token"))
        }
    }
}
