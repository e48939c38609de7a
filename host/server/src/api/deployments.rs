//! Deployments: flows under names, ready to be run.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use retake_core::component::ComponentInfo;
use retake_core::deployment::{DEFAULT_QUEUE, Deployment, full_name};
use retake_core::id::ContentDigest;
use retake_core::limits;
use retake_core::task::Overrides;
use retake_core::time::Timestamp;
use retake_core::value::Json as Value;
use retake_store::{Definition, Store, kind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::components;
use super::extract::{Body, Path, Query};
use crate::access::Actor;
use crate::error::{ApiError, checked_name};
use crate::{Host, schema};

/// A deployment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Deployment)]
pub struct DeploymentView {
    /// `flow/name`, by which it is known.
    pub full_name: String,
    /// What it says.
    #[serde(flatten)]
    #[schema(value_type = schema::Deployment)]
    pub deployment: Deployment,
    /// How often it was changed, from 1.
    pub version: u64,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    pub updated: Timestamp,
}

/// What a deployment is to be. What is left out stays as it is, or has its default where the deployment is new.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeploymentAsk {
    /// The code: its digest, the beginning of it, or `latest` for the newest component of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// Where workers look for its runs; `default` unless it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A JSON object: parameters that runs have unless they are asked for with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub parameters: Option<Value>,
    /// For filters and notifications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Whether its schedules make no runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Retries of the flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Milliseconds before each retry of the flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_delay_ms: Option<u64>,
    /// Milliseconds of wall clock for each attempt of the flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Bytes of memory for each attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// What became of a deployment, or would.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Deployed {
    /// As it is now, or would be.
    pub deployment: DeploymentView,
    /// Whether it is new.
    pub created: bool,
    /// Whether it was done: not in a dry run.
    pub applied: bool,
    /// What differs from before.
    pub changes: Vec<Change>,
}

/// A difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// What differs: `queue`, or `flow.retry.retries` of its code.
    pub what: String,
    /// What it was; absent where there was nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Any>)]
    pub from: Option<serde_json::Value>,
    /// What it is; absent where there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Any>)]
    pub to: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PutQuery {
    /// Only say what would change.
    #[serde(default)]
    dry_run: bool,
    /// Refuse unless it is at this version; 0: unless it is new.
    version: Option<u64>,
}

/// Most differences that are told.
const CHANGES: usize = 100;

fn view(definition: &Definition) -> Result<DeploymentView, ApiError> {
    let deployment: Deployment = serde_json::from_str(definition.body.as_str()).map_err(|error| {
        tracing::error!(%error, name = definition.name, "a deployment that was kept cannot be read");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "damaged", "the deployment cannot be read", "deploy it again")
    })?;
    let (version, updated) = (definition.version, definition.updated);
    Ok(DeploymentView { full_name: deployment.full_name(), deployment, version, updated })
}

/// Returns a deployment.
pub(crate) async fn find(store: &dyn Store, full_name: &str) -> Result<DeploymentView, ApiError> {
    if let Some(found) = store.definition(kind::DEPLOYMENT, full_name).await? {
        return view(&found);
    }
    let all = store.definitions(kind::DEPLOYMENT).await?;
    let names: Vec<String> = all.iter().take(20).map(|it| format!("`{}`", it.name)).collect();
    let hint = match names.is_empty() {
        true => "nothing is deployed yet: `retake deploy FILE.wasm -n NAME`".to_owned(),
        false => format!("deployed are {}", names.join(", ")),
    };
    Err(ApiError::not_found(format!("there is no deployment `{full_name}`"), hint))
}

/// Deployments, by name
#[utoipa::path(get, path = "/api/v1/deployments", tag = "deployments", responses((status = 200, body = Vec<DeploymentView>)))]
pub(super) async fn list(State(host): State<Host>) -> Result<Json<Vec<DeploymentView>>, ApiError> {
    let all = host.store.definitions(kind::DEPLOYMENT).await?;
    Ok(Json(all.iter().map(view).collect::<Result<_, _>>()?))
}

/// One deployment
#[utoipa::path(get, path = "/api/v1/deployments/{flow}/{name}", tag = "deployments",
    params(("flow" = String, Path, description = "The flow's name"), ("name" = String, Path, description = "The deployment's")),
    responses((status = 200, body = DeploymentView)))]
pub(super) async fn show(
    State(host): State<Host>,
    Path((flow, name)): Path<(String, String)>,
) -> Result<Json<DeploymentView>, ApiError> {
    Ok(Json(find(host.store.as_ref(), &full_name(&flow, &name)).await?))
}

/// Create or change a deployment
///
/// With `dry_run` the answer says what would differ: code, policies, schemas, capabilities, and the rest. Runs that
/// were made before keep the code that they were made with.
#[utoipa::path(put, path = "/api/v1/deployments/{flow}/{name}", tag = "deployments", params(PutQuery,
    ("flow" = String, Path, description = "The flow's name"), ("name" = String, Path, description = "The deployment's")),
    request_body = DeploymentAsk, responses((status = 200, body = Deployed)))]
pub(super) async fn put(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path((flow, name)): Path<(String, String)>,
    Query(query): Query<PutQuery>,
    Body(ask): Body<DeploymentAsk>,
) -> Result<Json<Deployed>, ApiError> {
    checked_name("name", &name)?;
    let store = host.store.as_ref();
    let full = full_name(&flow, &name);
    let before = store.definition(kind::DEPLOYMENT, &full).await?;
    let before = before.as_ref().map(view).transpose()?;
    let old = before.as_ref().map(|it| &it.deployment);
    let component = match (&ask.component, old) {
        (Some(text), old) => components::find(store, text, old.map(|it| it.component)).await?,
        (None, Some(old)) => components::find(store, &old.component.to_string(), None).await?,
        (None, None) => {
            let hint = "upload the code first, and name its digest: `POST /api/v1/components`";
            return Err(ApiError::invalid("`component` is missing: the deployment is new", hint));
        }
    };
    let Some(info) = component.info.flow(&flow) else {
        let (component, flows) = (component.info.name.clone(), component.info.flows.into_iter().map(|it| it.name));
        return Err(retake_engine::AskError::NoFlow { component, flow, flows: flows.collect() }.into());
    };
    let deployment = merged(flow, name, component.digest, ask, old)?;
    deployment.check(info)?;
    let old_code = match old {
        Some(old) if old.component != component.digest => store.component(old.component).await?.map(|it| it.info),
        _ => None,
    };
    let changes = changes(old, old_code.as_ref(), &deployment, &component.info);
    let (version, updated) = (before.as_ref().map_or(0, |it| it.version), host.now());
    let created = before.is_none();
    let applied = !query.dry_run && (created || !changes.is_empty());
    let version = match applied {
        true => {
            let definition = Definition {
                kind: kind::DEPLOYMENT,
                name: full.clone(),
                body: Value::of(&deployment),
                component: Some(deployment.component),
                version: 0,
                updated,
            };
            let version = store.define(definition, query.version.or(Some(version))).await?;
            host.audit(&actor, "deploy", full, serde_json::json!({ "version": version, "changes": changes })).await;
            version
        }
        false => version,
    };
    let updated = if applied { updated } else { before.map_or(updated, |it| it.updated) };
    let deployment = DeploymentView { full_name: deployment.full_name(), deployment, version, updated };
    Ok(Json(Deployed { deployment, created, applied, changes }))
}

/// Lays what is asked for over what there is.
fn merged(
    flow: String,
    name: String,
    component: ContentDigest,
    ask: DeploymentAsk,
    old: Option<&Deployment>,
) -> Result<Deployment, ApiError> {
    let millis = |it: u64| std::time::Duration::from_millis(it);
    let had = old.map(|it| it.overrides.clone()).unwrap_or_default();
    let parameters = match ask.parameters {
        Some(parameters) if parameters.to_value().is_object() => parameters,
        Some(_) => return Err(ApiError::invalid("`parameters` is no JSON object", "`{\"name\": value}`")),
        None => old.map_or_else(|| Value::trusted("{}"), |it| it.parameters.clone()),
    };
    let (bytes, most) = (parameters.as_str().len(), limits::VALUE_BYTES);
    if bytes > most {
        let hint = "large data belongs where a flow fetches it from";
        return Err(ApiError::invalid(format!("`parameters` has {bytes} bytes, at most {most} are allowed"), hint));
    }
    Ok(Deployment {
        flow,
        name,
        description: ask.description.or_else(|| old.map(|it| it.description.clone())).unwrap_or_default(),
        component,
        queue: ask.queue.or_else(|| old.map(|it| it.queue.clone())).unwrap_or_else(|| DEFAULT_QUEUE.to_owned()),
        parameters,
        overrides: Overrides {
            retries: ask.retries.or(had.retries),
            retry_delay: ask.retry_delay_ms.map(millis).or(had.retry_delay),
            timeout: ask.timeout_ms.map(millis).or(had.timeout),
            memory_bytes: ask.memory_bytes.or(had.memory_bytes),
            ..had
        },
        tags: ask.tags.or_else(|| old.map(|it| it.tags.clone())).unwrap_or_default(),
        paused: ask.paused.or(old.map(|it| it.paused)).unwrap_or(false),
    })
}

/// Says what differs, in the deployment and in its code.
fn changes(
    old: Option<&Deployment>,
    old_code: Option<&ComponentInfo>,
    new: &Deployment,
    new_code: &ComponentInfo,
) -> Vec<Change> {
    let mut changes = Vec::new();
    let as_json = |it: &Deployment| serde_json::to_value(it).unwrap_or_default();
    let Some(old) = old else { return changes };
    differ("", Some(&as_json(old)), Some(&as_json(new)), &mut changes);
    if let Some(old_code) = old_code {
        let code = |info: &ComponentInfo| {
            let flow = info.flow(&new.flow).map(|it| serde_json::to_value(it).unwrap_or_default());
            let tasks: serde_json::Map<String, serde_json::Value> =
                info.tasks.iter().map(|it| (it.name.clone(), serde_json::to_value(it).unwrap_or_default())).collect();
            serde_json::json!({ "version": info.version, "flow": flow, "tasks": tasks })
        };
        differ("code", Some(&code(old_code)), Some(&code(new_code)), &mut changes);
    }
    changes
}

fn differ(what: &str, from: Option<&serde_json::Value>, to: Option<&serde_json::Value>, changes: &mut Vec<Change>) {
    if from == to || changes.len() >= CHANGES {
        return;
    }
    match (from, to) {
        (Some(serde_json::Value::Object(a)), Some(serde_json::Value::Object(b))) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let what = if what.is_empty() { key.clone() } else { format!("{what}.{key}") };
                differ(&what, a.get(key), b.get(key), changes);
            }
        }
        (from, to) => changes.push(Change { what: what.to_owned(), from: from.cloned(), to: to.cloned() }),
    }
}

/// Forget a deployment
///
/// Its runs stay. Its schedules are removed with it.
#[utoipa::path(delete, path = "/api/v1/deployments/{flow}/{name}", tag = "deployments",
    params(("flow" = String, Path, description = "The flow's name"), ("name" = String, Path, description = "The deployment's")),
    responses((status = 204)))]
pub(super) async fn remove(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path((flow, name)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let full = full_name(&flow, &name);
    find(host.store.as_ref(), &full).await?;
    super::schedules::remove_all_of(&host, &full).await?;
    host.store.undefine(kind::DEPLOYMENT, &full).await?;
    host.audit(&actor, "remove-deployment", full, serde_json::json!({})).await;
    Ok(StatusCode::NO_CONTENT)
}
