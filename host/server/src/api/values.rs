//! Secrets and variables, which operators keep for flows.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use retake_core::deployment::Deployment;
use retake_core::limits;
use retake_core::retry::BadField;
use retake_core::time::Timestamp;
use retake_core::value::Json as Value;
use retake_store::{Definition, Store, kind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Listed;
use super::extract::{Body, Path};
use crate::access::Actor;
use crate::error::{ApiError, checked_name};
use crate::{Host, VaultError, schema};

/// A secret. Its value is never shown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Secret)]
pub struct SecretView {
    /// Its name.
    pub name: String,
    /// The deployments whose runs may have it.
    pub granted_to: Vec<String>,
    /// How often it was set, from 1.
    pub version: u64,
    /// When it was set last.
    #[schema(value_type = String, format = DateTime)]
    pub updated: Timestamp,
}

/// A secret's value. It has no `Debug`: what is printed is kept somewhere.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretAsk {
    /// A text of 64 KiB at most.
    #[schema(min_length = 1, max_length = 65536)]
    pub value: String,
}

/// A variable.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Variable)]
pub struct VariableView {
    /// Its name.
    pub name: String,
    /// Its value.
    #[schema(value_type = schema::Any)]
    pub value: Value,
    /// The deployments whose runs may have it.
    pub granted_to: Vec<String>,
    /// How often it was set, from 1.
    pub version: u64,
    /// When it was set last.
    #[schema(value_type = String, format = DateTime)]
    pub updated: Timestamp,
}

/// A variable's value.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VariableAsk {
    /// Any JSON of 64 KiB at most.
    #[schema(value_type = schema::Any)]
    pub value: Value,
}

/// Secrets, by name; never their values
#[utoipa::path(get, path = "/api/v1/secrets", tag = "secrets and variables", responses((status = 200, body = Listed<SecretView>)))]
pub(super) async fn secrets(State(host): State<Host>) -> Result<Json<Listed<SecretView>>, ApiError> {
    let granted = deployments(host.store.as_ref()).await?;
    let all = host.store.definitions(kind::SECRET).await?.into_iter();
    Ok(Json(Listed::all(all.map(|it| secret_view(it, &granted)).collect())))
}

/// Set a secret
///
/// It is kept sealed, and shown to nobody again. Runs have the new value from their next attempt on.
#[utoipa::path(put, path = "/api/v1/secrets/{name}", tag = "secrets and variables", request_body = SecretAsk,
    params(("name" = String, Path, description = "Its name")), responses((status = 200, body = SecretView)))]
pub(super) async fn put_secret(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
    Body(ask): Body<SecretAsk>,
) -> Result<Json<SecretView>, ApiError> {
    let (got, most) = (ask.value.len(), limits::GRANTED_BYTES);
    BadField::unless((1..=most).contains(&got), "value", || format!("{got} bytes, 1 to {most} are allowed"))?;
    let sealed = host.vault.seal(&name, &ask.value)?;
    let definition = set(&host, &actor, kind::SECRET, name, Value::of(&sealed)).await?;
    Ok(Json(secret_view(definition, &deployments(host.store.as_ref()).await?)))
}

/// Forget a secret
#[utoipa::path(delete, path = "/api/v1/secrets/{name}", tag = "secrets and variables",
    params(("name" = String, Path, description = "Its name")), responses((status = 204)))]
pub(super) async fn remove_secret(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    forget(&host, &actor, kind::SECRET, name).await
}

/// Variables, by name
#[utoipa::path(get, path = "/api/v1/variables", tag = "secrets and variables", responses((status = 200, body = Listed<VariableView>)))]
pub(super) async fn variables(State(host): State<Host>) -> Result<Json<Listed<VariableView>>, ApiError> {
    let granted = deployments(host.store.as_ref()).await?;
    let all = host.store.definitions(kind::VARIABLE).await?.into_iter();
    Ok(Json(Listed::all(all.map(|it| variable_view(it, &granted)).collect())))
}

/// One variable
#[utoipa::path(get, path = "/api/v1/variables/{name}", tag = "secrets and variables",
    params(("name" = String, Path, description = "Its name")), responses((status = 200, body = VariableView)))]
pub(super) async fn variable(
    State(host): State<Host>,
    Path(name): Path<String>,
) -> Result<Json<VariableView>, ApiError> {
    let store = host.store.as_ref();
    let found = store.definition(kind::VARIABLE, &name).await?.ok_or_else(|| not_there(kind::VARIABLE, &name))?;
    Ok(Json(variable_view(found, &deployments(store).await?)))
}

/// Set a variable
///
/// Runs have the new value from their next attempt on.
#[utoipa::path(put, path = "/api/v1/variables/{name}", tag = "secrets and variables", request_body = VariableAsk,
    params(("name" = String, Path, description = "Its name")), responses((status = 200, body = VariableView)))]
pub(super) async fn put_variable(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
    Body(ask): Body<VariableAsk>,
) -> Result<Json<VariableView>, ApiError> {
    let (got, most) = (ask.value.as_str().len(), limits::GRANTED_BYTES);
    BadField::unless(got <= most, "value", || format!("{got} bytes, at most {most} are allowed"))?;
    let definition = set(&host, &actor, kind::VARIABLE, name, ask.value).await?;
    Ok(Json(variable_view(definition, &deployments(host.store.as_ref()).await?)))
}

/// Forget a variable
#[utoipa::path(delete, path = "/api/v1/variables/{name}", tag = "secrets and variables",
    params(("name" = String, Path, description = "Its name")), responses((status = 204)))]
pub(super) async fn remove_variable(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    forget(&host, &actor, kind::VARIABLE, name).await
}

fn secret_view(Definition { name, version, updated, .. }: Definition, all: &[Deployment]) -> SecretView {
    SecretView { granted_to: granted_to(all, kind::SECRET, &name), name, version, updated }
}

fn variable_view(Definition { name, body, version, updated, .. }: Definition, all: &[Deployment]) -> VariableView {
    VariableView { granted_to: granted_to(all, kind::VARIABLE, &name), name, value: body, version, updated }
}

async fn deployments(store: &dyn Store) -> Result<Vec<Deployment>, ApiError> {
    let all = store.definitions(kind::DEPLOYMENT).await?;
    Ok(all.iter().filter_map(|it| serde_json::from_str(it.body.as_str()).ok()).collect())
}

fn granted_to(all: &[Deployment], kind: &str, name: &str) -> Vec<String> {
    let grants = |it: &&Deployment| grants_of(it, kind).iter().any(|it| it == name);
    all.iter().filter(grants).map(Deployment::full_name).collect()
}

fn grants_of<'a>(deployment: &'a Deployment, kind: &str) -> &'a [String] {
    match kind {
        kind::SECRET => &deployment.secrets,
        _ => &deployment.variables,
    }
}

fn not_there(kind: &str, name: &str) -> ApiError {
    let hint = format!("`retake {kind}s ls` lists those that are there, `retake {kind}s set {name}` makes it");
    ApiError::not_found(format!("there is no {kind} `{name}`"), hint)
}

/// Checks that what a deployment grants is there: a grant that was mistyped would be noticed in the midst of a run.
pub(super) async fn are_there(store: &dyn Store, deployment: &Deployment) -> Result<(), ApiError> {
    for kind in [kind::SECRET, kind::VARIABLE] {
        for name in grants_of(deployment, kind) {
            store.definition(kind, name).await?.ok_or_else(|| not_there(kind, name))?;
        }
    }
    Ok(())
}

async fn set(
    host: &Host,
    actor: &Actor,
    kind: &'static str,
    name: String,
    body: Value,
) -> Result<Definition, ApiError> {
    checked_name("name", &name)?;
    let store = host.store.as_ref();
    if store.definition(kind, &name).await?.is_none() && store.definitions(kind).await?.len() >= limits::GRANTED {
        let message = format!("there are {} {kind}s, and no more are kept", limits::GRANTED);
        return Err(ApiError::conflict(message, format!("`retake {kind}s rm NAME` forgets one")));
    }
    let mut definition = Definition { kind, name, body, component: None, version: 0, updated: host.now() };
    definition.version = store.define(definition.clone(), None).await?;
    host.tell_engine().await?;
    let details = serde_json::json!({ "version": definition.version });
    host.audit(actor, &format!("set-{kind}"), definition.name.clone(), details).await;
    Ok(definition)
}

async fn forget(host: &Host, actor: &Actor, kind: &'static str, name: String) -> Result<StatusCode, ApiError> {
    let store = host.store.as_ref();
    let used = granted_to(&deployments(store).await?, kind, &name);
    if let [first, ..] = used.as_slice() {
        let message = match used.len() {
            1 => format!("it is granted to the deployment `{first}`"),
            several => format!("it is granted to {several} deployments, `{first}` among them"),
        };
        let hint = format!("take it away there first: `retake deploy … --{kind} ''` takes all away");
        return Err(ApiError::conflict(message, hint));
    }
    if !store.undefine(kind, &name).await? {
        return Err(not_there(kind, &name));
    }
    host.tell_engine().await?;
    host.audit(actor, &format!("remove-{kind}"), name, serde_json::json!({})).await;
    Ok(StatusCode::NO_CONTENT)
}

impl From<VaultError> for ApiError {
    fn from(error: VaultError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a secret could not be sealed");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string(), error.hint())
    }
}
