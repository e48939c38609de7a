//! Tokens, and who did what with them.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use retake_core::time::Timestamp;
use retake_core::value::Json as Value;
use retake_store::{AuditEntry, kind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Body, Path, Query};
use super::{Listed, page_limit, page_place};
use crate::Host;
use crate::access::{self, Actor, Role, TokenRecord};
use crate::error::{ApiError, checked_name};

/// A token, without the token.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Token)]
pub struct TokenView {
    /// Its name.
    pub name: String,
    /// What it may ask for.
    pub role: Role,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Timestamp>,
}

/// Tokens, by name
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", responses((status = 200, body = Listed<TokenView>)))]
pub(super) async fn list(State(host): State<Host>) -> Result<Json<Listed<TokenView>>, ApiError> {
    let all = host.store.definitions(kind::TOKEN).await?;
    let views = all.into_iter().filter_map(|it| {
        let TokenRecord { role, created, expires, session_of, .. } = access::record(&it)?;
        // Sessions come and go with the token that somebody signed in with.
        session_of.is_none().then_some(TokenView { name: it.name, role, created, expires })
    });
    Ok(Json(Listed::all(views.collect())))
}

/// A token that is asked for.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenAsk {
    /// What it may ask for.
    pub role: Role,
    /// When it is over; never, unless it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Timestamp>,
}

/// A new token. It is shown this once.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct NewToken {
    /// To be sent as `Authorization: Bearer TOKEN`.
    pub token: String,
    /// What is kept of it.
    #[serde(flatten)]
    pub kept: TokenView,
}

/// Make a token
///
/// It is shown this once: only its SHA-256 is kept.
#[utoipa::path(post, path = "/api/v1/tokens/{name}", tag = "tokens", request_body = TokenAsk,
    params(("name" = String, Path, description = "Its name")), responses((status = 201, body = NewToken)))]
pub(super) async fn make(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
    Body(ask): Body<TokenAsk>,
) -> Result<(StatusCode, Json<NewToken>), ApiError> {
    checked_name("name", &name)?;
    let (created, TokenAsk { role, expires }) = (host.now(), ask);
    if expires.is_some_and(|it| it <= created) {
        return Err(ApiError::invalid("`expires` is over already", "name an instant that is to come"));
    }
    let _changing = host.tokens.change().await;
    let record = |hash| TokenRecord { role, hash, created, expires, session_of: None };
    host.room_for(kind::TOKEN, &name, &Value::trusted("{}")).await?;
    let store = host.store.as_ref();
    let token = access::make(store, host.entropy.as_ref(), &name, record).await.map_err(|error| match error {
        retake_store::StoreError::Changed { .. } => {
            ApiError::conflict(format!("there is a token `{name}`"), "revoke it first, or take another name")
        }
        other => other.into(),
    })?;
    host.tokens.refresh(store).await?;
    host.audit(&actor, "make-token", name.clone(), serde_json::json!({ "role": role, "expires": expires })).await;
    let kept = TokenView { name, role, created, expires };
    Ok((StatusCode::CREATED, Json(NewToken { token, kept })))
}

/// Revoke a token
///
/// Who signed in with it is signed out. The last admin's is refused: nobody could make another.
#[utoipa::path(delete, path = "/api/v1/tokens/{name}", tag = "tokens",
    params(("name" = String, Path, description = "Its name")), responses((status = 204)))]
pub(super) async fn revoke(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let _changing = host.tokens.change().await;
    let store = host.store.as_ref();
    // Perhaps another server, or a change that was not answered, has brought them apart.
    host.tokens.refresh(store).await?;
    let all = store.definitions(kind::TOKEN).await?;
    let lasts = |it: &TokenRecord| it.role == Role::Admin && it.expires.is_none();
    let found = all.iter().find(|it| it.name == name).ok_or_else(|| {
        ApiError::not_found(
            format!("there is no token `{name}`"),
            "`GET /api/v1/tokens` or `retake tokens ls` lists them",
        )
    })?;
    let admins = all.iter().filter(|it| access::record(it).is_some_and(|it| lasts(&it))).count();
    if access::record(found).is_some_and(|it| lasts(&it)) && admins == 1 {
        let hint = "make another first: `retake tokens add NAME --role admin`";
        return Err(ApiError::conflict("it is the last token of an admin", hint));
    }
    // First here: one that may be gone must not be good any more.
    let sessions = host.tokens.sessions(&name);
    host.tokens.forget(&name);
    for session in sessions {
        store.undefine(kind::TOKEN, &session).await?;
    }
    store.undefine(kind::TOKEN, &name).await?;
    host.audit(&actor, "revoke-token", name, serde_json::json!({})).await;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Only about this run's id, or this name.
    subject: Option<String>,
    /// Entries before this one: `next` of the page before.
    #[param(pattern = "^[0-9]{1,19}$")]
    before: Option<String>,
    /// So many at most: 50 unless it says so, and 200 at most.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Who did what.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditEntry)]
pub struct AuditView {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The name of the token.
    pub actor: String,
    /// Such as `retry`.
    pub action: String,
    /// The id of a run, the name of a deployment.
    pub subject: String,
    /// How.
    #[schema(value_type = Object)]
    pub details: Value,
}

/// Who did what, the newest first
#[utoipa::path(get, path = "/api/v1/audit", tag = "tokens", params(AuditQuery), responses((status = 200, body = Listed<AuditView>)))]
pub(super) async fn audit(
    State(host): State<Host>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<Listed<AuditView>>, ApiError> {
    let limit = page_limit(query.limit, 50, 200)?;
    let before = page_place(query.before.as_ref())?;
    let found = host.store.audited(before, query.subject.as_deref(), limit + 1).await?;
    let show = |(_, it): (u64, AuditEntry)| AuditView {
        at: it.at,
        actor: it.actor,
        action: it.action,
        subject: it.subject,
        details: it.details,
    };
    Ok(Json(Listed::page(found, limit, |(seq, _)| seq.to_string(), show)))
}
