//! A browser's session: what a page has instead of a token, so that no script ever holds one.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use retake_core::time::Timestamp;
use retake_store::kind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::Body;
use crate::access::{self, Actor, Role, TokenRecord};
use crate::error::ApiError;
use crate::serve::Peer;
use crate::{Host, Settings};

/// How long a session lasts.
const LASTS: Duration = Duration::from_secs(12 * 3600);
/// Largest body of who signs in, which anybody may send (A05).
const BODY_BYTES: usize = 4 << 10;
/// Sessions of one token: one more ends the oldest.
const MOST: usize = 100;

/// Who signs in.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionAsk {
    /// A token, or a code, which is good once.
    pub token: String,
}

/// A code to sign in with.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SessionCode {
    /// It is good once, and for nothing else.
    pub code: String,
    /// Until when: a minute from now.
    #[schema(value_type = String, format = DateTime)]
    pub expires: Timestamp,
}

/// Who is signed in.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionView {
    /// The token's name.
    pub name: String,
    /// What it may ask for.
    pub role: Role,
    /// When it is over; never for a token that has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Timestamp>,
}

impl SessionView {
    fn new(actor: Actor) -> Self {
        Self { name: actor.name, role: actor.role, expires: actor.expires }
    }
}

/// Sign in with a token
///
/// For browsers: the answer sets a cookie that no script can read, and that counts for twelve hours, or as long as the
/// token does. Requests that change something and come with the cookie need a header `X-Retake` with any value, which
/// a page of another origin cannot send. Whoever is signed in stays who they are until they sign out.
#[utoipa::path(post, path = "/api/v1/session", tag = "session", request_body = SessionAsk,
    responses((status = 200, body = SessionView)))]
pub(super) async fn begin(
    State(host): State<Host>,
    Extension(settings): Extension<Arc<Settings>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Body(ask): Body<SessionAsk, BODY_BYTES>,
) -> Result<Response, ApiError> {
    let now = host.now();
    // A link that somebody sent makes nobody another: who wants that signs out first.
    let had = key(&headers, &settings).and_then(|it| host.tokens.actor(it, now)).filter(Actor::is_session);
    if let Some(actor) = had {
        return Ok(axum::Json(SessionView::new(actor)).into_response());
    }
    let _changing = host.tokens.change().await;
    // What a session has is no token: nobody signs in with another's cookie.
    let given = host.tokens.take_code(ask.token.trim(), now);
    let given = given.or_else(|| host.tokens.actor(ask.token.trim(), now).filter(|it| !it.is_session()));
    let Some(actor) = given else {
        let peer = peer.map(|Extension(it)| it.0);
        let hint = "`retake tokens add NAME` makes one; the server printed where the first one is";
        let message = "the token is not known, or has expired";
        let error = ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message, hint);
        return Err(host.refuse(&Actor::nobody(), "sign-in".to_owned(), error, peer).await);
    };
    host.bounds.request(&actor.name)?;
    let ends = now + LASTS;
    let expires = actor.expires.map_or(ends, |it| it.min(ends));
    for old in host.tokens.sessions_to_end(&actor.name, MOST, now) {
        host.store.undefine(kind::TOKEN, &old).await?;
    }
    let (name, store) = (format!("{}/{:016x}", actor.name, host.entropy.next()), host.store.as_ref());
    let record = |hash| TokenRecord {
        role: actor.role,
        hash,
        created: now,
        expires: Some(expires),
        session_of: Some(actor.name.clone()),
    };
    let key = access::make(store, host.entropy.as_ref(), &name, record).await?;
    host.tokens.refresh(store).await?;
    host.audit(&actor, "sign-in", actor.name.clone(), serde_json::json!({ "expires": expires })).await;
    let view = SessionView { expires: Some(expires), ..SessionView::new(actor) };
    let lasts = expires.since(now).as_secs();
    Ok(([(header::SET_COOKIE, cookie(&headers, &settings, &key, lasts)?)], axum::Json(view)).into_response())
}

/// A code for a browser to sign in with
///
/// As whoever asks. It is good once, for a minute, and for nothing but `POST /session`: `retake ui` hands it to a browser.
#[utoipa::path(post, path = "/api/v1/session/code", tag = "session", responses((status = 200, body = SessionCode)))]
pub(super) async fn code(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
) -> Result<axum::Json<SessionCode>, ApiError> {
    if actor.is_session() {
        let hint = "open the page in another window: it is signed in there, too";
        return Err(ApiError::conflict("a session asks, and no token", hint));
    }
    let (code, expires) = host.tokens.code(&actor, host.entropy.as_ref(), host.now());
    Ok(axum::Json(SessionCode { code, expires }))
}

/// Who is signed in
#[utoipa::path(get, path = "/api/v1/session", tag = "session", responses((status = 200, body = SessionView)))]
pub(super) async fn show(Extension(actor): Extension<Actor>) -> axum::Json<SessionView> {
    axum::Json(SessionView::new(actor))
}

/// Sign out of a session
#[utoipa::path(delete, path = "/api/v1/session", tag = "session", responses((status = 204)))]
pub(super) async fn end(
    State(host): State<Host>,
    Extension(settings): Extension<Arc<Settings>>,
    Extension(actor): Extension<Actor>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Some(session) = actor.session() else {
        let hint = "`retake tokens rm NAME` revokes a token";
        return Err(ApiError::conflict("a token was sent, and no session", hint));
    };
    let _changing = host.tokens.change().await;
    host.tokens.forget(session);
    host.store.undefine(kind::TOKEN, session).await?;
    host.audit(&actor, "sign-out", actor.name.clone(), serde_json::json!({})).await;
    let over = [(header::SET_COOKIE, cookie(&headers, &settings, "", 0)?)];
    Ok((StatusCode::NO_CONTENT, over).into_response())
}

/// The name of the cookie. Browsers do not tell the ports of a host apart, and several servers may run on one.
/// Over TLS they take one of that name from nobody but this host, over TLS (RFC 6265bis, 4.1.3.2).
fn cookie_name(headers: &HeaderMap, settings: &Settings) -> String {
    let host = headers.get(header::HOST).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let port = host.rsplit_once(':').map(|(_, port)| port).filter(|it| it.bytes().all(|it| it.is_ascii_digit()));
    let prefix = if settings.tls { "__Host-" } else { "" };
    format!("{prefix}retake-session-{}", port.unwrap_or("443"))
}

fn cookie(headers: &HeaderMap, settings: &Settings, key: &str, seconds: u64) -> Result<HeaderValue, ApiError> {
    let secure = if settings.tls { "; Secure" } else { "" };
    let name = cookie_name(headers, settings);
    let text = format!("{name}={key}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    HeaderValue::from_str(&text)
        .map_err(|_| ApiError::invalid("the `Host` has an odd port", "call the server by its name"))
}

/// Returns what a page was given when somebody signed in.
pub(super) fn key<'a>(headers: &'a HeaderMap, settings: &Settings) -> Option<&'a str> {
    headers.get(header::COOKIE)?;
    let name = cookie_name(headers, settings);
    let all = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(';'));
    all.filter_map(|it| it.trim().split_once('=')).find(|(it, _)| *it == name).map(|(_, key)| key)
}
