//! Deployments: flows under names, ready to be run.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use retake_core::component::{Capability, ComponentInfo};
use retake_core::deployment::{DEFAULT_QUEUE, Deployment, full_name};
use retake_core::id::ContentDigest;
use retake_core::limits;
use retake_core::task::Overrides;
use retake_core::time::Timestamp;
use retake_core::value::Json as Value;
use retake_engine::AskError;
use retake_store::{ComponentRecord, Definition, OldRuns, Store, StoreError, kind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Body, Path, Query};
use super::runs::PolicyAsk;
use super::{Listed, components, kept, values};
use crate::access::Actor;
use crate::error::{ApiError, checked_name};
use crate::retention::{Pruned, prune};
use crate::wire::millis;
use crate::{Host, schema};

/// A deployment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Deployment)]
pub struct DeploymentView {
    /// `flow/name`, by which it is known.
    pub full_name: String,
    /// The flow's name.
    pub flow: String,
    /// Its own, unique among those of its flow.
    pub name: String,
    /// For people.
    pub description: String,
    /// SHA-256 of the code.
    #[schema(value_type = String)]
    pub component: ContentDigest,
    /// Where workers look for its runs.
    pub queue: String,
    /// Parameters that runs have unless they are asked for with others.
    #[schema(value_type = Object)]
    pub parameters: Value,
    /// For filters and notifications.
    pub tags: Vec<String>,
    /// Whether its schedules make no runs.
    pub paused: bool,
    /// How many of its runs are worked on at once; absent for as many as there are slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// How many milliseconds its runs are kept after they have ended; absent for as long as the server keeps them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_ms: Option<u64>,
    /// The secrets that its runs may have, where their code asks for them.
    pub secrets: Vec<String>,
    /// The variables that its runs may have, where their code asks for them.
    pub variables: Vec<String>,
    /// What counts instead of the metadata.
    pub policy: PolicyAsk,
    /// How often it was changed, from 1.
    pub version: u64,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    pub updated: Timestamp,
}

impl DeploymentView {
    fn new(it: &Deployment, version: u64, updated: Timestamp) -> Self {
        Self {
            full_name: it.full_name(),
            flow: it.flow.clone(),
            name: it.name.clone(),
            description: it.description.clone(),
            component: it.component,
            queue: it.queue.clone(),
            parameters: it.parameters.clone(),
            tags: it.tags.clone(),
            paused: it.paused,
            concurrency: it.concurrency,
            retention_ms: it.retention.map(millis),
            secrets: it.secrets.clone(),
            variables: it.variables.clone(),
            policy: PolicyAsk::from(&it.overrides),
            version,
            updated,
        }
    }
}

/// What a deployment is to be.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeploymentAsk {
    /// The code: its digest, or the beginning of it; for one that exists also `latest`, the newest component of the
    /// same name.
    pub component: String,
    /// Where workers look for its runs; `default` unless it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub queue: Option<String>,
    /// For people.
    #[serde(default)]
    #[schema(max_length = 2048)]
    pub description: String,
    /// A JSON object: parameters that runs have unless they are asked for with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub parameters: Option<Value>,
    /// For filters and notifications.
    #[serde(default)]
    #[schema(max_items = 32)]
    pub tags: Vec<String>,
    /// Whether its schedules make no runs.
    #[serde(default)]
    pub paused: bool,
    /// How many of its runs are worked on at once; as many as there are slots, unless it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub concurrency: Option<u32>,
    /// How many milliseconds its runs are kept after they have ended, a minute at least; as the server keeps them, unless
    /// it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 60_000)]
    pub retention_ms: Option<u64>,
    /// The secrets that its runs may have, where their code asks for them; each is there already.
    #[serde(default)]
    #[schema(max_items = 32)]
    pub secrets: Vec<String>,
    /// The variables that its runs may have, where their code asks for them; each is there already.
    #[serde(default)]
    #[schema(max_items = 32)]
    pub variables: Vec<String>,
    /// What counts instead of the metadata.
    #[serde(default)]
    pub policy: PolicyAsk,
}

/// What of a deployment is to change. What is left out stays as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeploymentChange {
    /// The code: its digest, the beginning of it, or `latest` for the newest component of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// Where workers look for its runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub queue: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2048)]
    pub description: Option<String>,
    /// A JSON object: all parameters that runs have unless they are asked for with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub parameters: Option<Value>,
    /// For filters and notifications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 32)]
    pub tags: Option<Vec<String>>,
    /// Whether its schedules make no runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// How many of its runs are worked on at once; 0 for as many as there are slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 1_000_000)]
    pub concurrency: Option<u32>,
    /// How many milliseconds its runs are kept after they have ended, a minute at least; 0 for as the server keeps them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_ms: Option<u64>,
    /// All secrets that its runs may have, where their code asks for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 32)]
    pub secrets: Option<Vec<String>>,
    /// All variables that its runs may have, where their code asks for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 32)]
    pub variables: Option<Vec<String>>,
    /// What counts instead of the metadata, name by name.
    #[serde(default)]
    pub policy: PolicyAsk,
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
    /// What the code asks for and is not granted, such as `secret shop-token`. It is refused to runs.
    pub not_granted: Vec<String>,
}

/// A difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// What differs: `queue`, or `flow.retry.retries` of its code.
    pub what: String,
    /// What it was; absent where there was nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::Any, required = false)]
    pub from: Option<serde_json::Value>,
    /// What it is; absent where there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::Any, required = false)]
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
    Ok(DeploymentView::new(&kept(definition)?, definition.version, definition.updated))
}

/// Returns a deployment.
pub(crate) async fn find(store: &dyn Store, full_name: &str) -> Result<Definition, ApiError> {
    if let Some(found) = store.definition(kind::DEPLOYMENT, full_name).await? {
        return Ok(found);
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
#[utoipa::path(get, path = "/api/v1/deployments", tag = "deployments", responses((status = 200, body = Listed<DeploymentView>)))]
pub(super) async fn list(State(host): State<Host>) -> Result<Json<Listed<DeploymentView>>, ApiError> {
    let all = host.store.definitions(kind::DEPLOYMENT).await?;
    Ok(Json(Listed::all(all.iter().map(view).collect::<Result<_, _>>()?)))
}

/// One deployment
#[utoipa::path(get, path = "/api/v1/deployments/{flow}/{name}", tag = "deployments",
    params(("flow" = String, Path, description = "The flow's name"), ("name" = String, Path, description = "The deployment's")),
    responses((status = 200, body = DeploymentView)))]
pub(super) async fn show(
    State(host): State<Host>,
    Path((flow, name)): Path<(String, String)>,
) -> Result<Json<DeploymentView>, ApiError> {
    Ok(Json(view(&find(host.store.as_ref(), &full_name(&flow, &name)).await?)?))
}

/// Create or replace a deployment
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
    let before = before(&host, &flow, &name, &query).await?;
    let component = components::find(host.store.as_ref(), &ask.component, before.component()).await?;
    let DeploymentAsk { queue, description, parameters, tags, paused, concurrency, secrets, variables, policy, .. } =
        ask;
    let deployment = Deployment {
        retention: ask.retention_ms.map(Duration::from_millis),
        retention_since: None,
        flow,
        name,
        description,
        component: component.digest,
        queue: queue.unwrap_or_else(|| DEFAULT_QUEUE.to_owned()),
        parameters: checked_parameters(parameters)?.unwrap_or_else(|| Value::trusted("{}")),
        overrides: policy.over(Overrides::default()),
        tags,
        paused,
        concurrency,
        secrets,
        variables,
    };
    apply(&host, &actor, before, deployment, component, query.dry_run).await
}

/// Change a deployment
///
/// What is left out stays as it is. Otherwise as to replace it.
#[utoipa::path(patch, path = "/api/v1/deployments/{flow}/{name}", tag = "deployments", params(PutQuery,
    ("flow" = String, Path, description = "The flow's name"), ("name" = String, Path, description = "The deployment's")),
    request_body = DeploymentChange, responses((status = 200, body = Deployed)))]
pub(super) async fn change(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path((flow, name)): Path<(String, String)>,
    Query(query): Query<PutQuery>,
    Body(ask): Body<DeploymentChange>,
) -> Result<Json<Deployed>, ApiError> {
    let before = before(&host, &flow, &name, &query).await?;
    let Some((old, ..)) = before.0.clone() else {
        // Says that it is not there, and what is.
        find(host.store.as_ref(), &full_name(&flow, &name)).await?;
        return Err(ApiError::conflict("it was made just now", "ask again"));
    };
    let digest = old.component.to_string();
    let wanted = ask.component.as_deref().unwrap_or(&digest);
    let component = components::find(host.store.as_ref(), wanted, Some(old.component)).await?;
    let deployment = Deployment {
        description: ask.description.unwrap_or(old.description),
        component: component.digest,
        queue: ask.queue.unwrap_or(old.queue),
        parameters: checked_parameters(ask.parameters)?.unwrap_or(old.parameters),
        overrides: ask.policy.over(old.overrides),
        tags: ask.tags.unwrap_or(old.tags),
        paused: ask.paused.unwrap_or(old.paused),
        concurrency: ask.concurrency.map_or(old.concurrency, |it| Some(it).filter(|it| *it > 0)),
        retention: ask
            .retention_ms
            .map_or(old.retention, |it| Some(Duration::from_millis(it)).filter(|it| !it.is_zero())),
        retention_since: None,
        secrets: ask.secrets.unwrap_or(old.secrets),
        variables: ask.variables.unwrap_or(old.variables),
        flow: old.flow,
        name: old.name,
    };
    apply(&host, &actor, before, deployment, component, query.dry_run).await
}

/// What there was, its version, and when it was changed.
struct Before(Option<(Deployment, u64, Timestamp)>);

impl Before {
    fn component(&self) -> Option<ContentDigest> {
        self.0.as_ref().map(|(it, ..)| it.component)
    }
}

async fn before(host: &Host, flow: &str, name: &str, query: &PutQuery) -> Result<Before, ApiError> {
    let found = host.store.definition(kind::DEPLOYMENT, &full_name(flow, name)).await?;
    let version = found.as_ref().map_or(0, |it| it.version);
    if query.version.is_some_and(|it| it != version) {
        return Err(StoreError::Changed { is: version }.into());
    }
    Ok(Before(found.map(|it| Ok::<_, ApiError>((kept(&it)?, it.version, it.updated))).transpose()?))
}

async fn apply(
    host: &Host,
    actor: &Actor,
    Before(before): Before,
    mut deployment: Deployment,
    component: ComponentRecord,
    dry_run: bool,
) -> Result<Json<Deployed>, ApiError> {
    let store = host.store.as_ref();
    let Some(info) = component.info.flow(&deployment.flow) else {
        let (component, flows) = (component.info.name.clone(), component.info.flows.into_iter().map(|it| it.name));
        return Err(AskError::NoFlow { component, flow: deployment.flow, flows: flows.collect() }.into());
    };
    deployment.check(info)?;
    values::are_there(store, &deployment).await?;
    let not_granted = not_granted(&deployment, &component.info);
    deployment.retention_since = deployment.retention.map(|retention| {
        let same = before.as_ref().filter(|(old, ..)| old.retention == Some(retention));
        same.map_or(host.now(), |(old, _, updated)| old.retention_since.unwrap_or(*updated))
    });
    let old = before.as_ref().map(|(it, ..)| it);
    let old_code = match old {
        Some(old) if old.component != component.digest => store.component(old.component).await?.map(|it| it.info),
        _ => None,
    };
    let changes = changes(old, old_code.as_ref(), &deployment, &component.info);
    let created = before.is_none();
    let applied = !dry_run && (created || !changes.is_empty());
    let (mut version, mut updated) = before.map_or((0, host.now()), |(_, version, updated)| (version, updated));
    if applied {
        updated = host.now();
        let name = deployment.full_name();
        let definition = Definition {
            kind: kind::DEPLOYMENT,
            name: name.clone(),
            body: Value::of(&deployment),
            component: Some(deployment.component),
            version: 0,
            updated,
        };
        host.room_for(kind::DEPLOYMENT, &name, &definition.body).await?;
        version = store.define(definition, Some(version)).await?;
        host.tell_engine().await?;
        host.audit(actor, "deploy", name, serde_json::json!({ "version": version, "changes": changes })).await;
    } else if !dry_run {
        // Whoever asks again may do so because the engine could not be told.
        host.tell_engine().await?;
    }
    let deployment = DeploymentView::new(&deployment, version, updated);
    Ok(Json(Deployed { deployment, created, applied, changes, not_granted }))
}

/// Says what the code asks for and the deployment does not grant. Any of a component's tasks may be called by any of its
/// flows.
fn not_granted(deployment: &Deployment, code: &ComponentInfo) -> Vec<String> {
    let of_flow = code.flow(&deployment.flow).into_iter().flat_map(|it| &it.capabilities);
    let asked = of_flow.chain(code.tasks.iter().flat_map(|it| &it.capabilities));
    let missing = asked.filter(|it| match it {
        Capability::Secret(name) => !deployment.secrets.contains(name),
        Capability::Variable(name) => !deployment.variables.contains(name),
        Capability::Http(_) | Capability::Dir { .. } => true,
    });
    missing.map(Capability::to_string).collect::<BTreeSet<_>>().into_iter().collect()
}

fn checked_parameters(asked: Option<Value>) -> Result<Option<Value>, ApiError> {
    let Some(parameters) = asked else { return Ok(None) };
    if !parameters.to_value().is_object() {
        return Err(ApiError::invalid("`parameters` is no JSON object", "`{\"name\": value}`"));
    }
    let (bytes, most) = (parameters.as_str().len(), limits::VALUE_BYTES);
    if bytes > most {
        let hint = "large data belongs where a flow fetches it from";
        return Err(ApiError::invalid(format!("`parameters` has {bytes} bytes, at most {most} are allowed"), hint));
    }
    Ok(Some(parameters))
}

/// Says what differs, in the deployment and in its code.
fn changes(
    old: Option<&Deployment>,
    old_code: Option<&ComponentInfo>,
    new: &Deployment,
    new_code: &ComponentInfo,
) -> Vec<Change> {
    let mut changes = Vec::new();
    // When the retention was said follows from that it was.
    let as_json =
        |it: &Deployment| serde_json::to_value(Deployment { retention_since: None, ..it.clone() }).unwrap_or_default();
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

/// What is to be removed of a deployment's runs.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PruneAsk {
    /// Runs that ended longer ago than so many milliseconds; the deployment's own retention unless it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_before_ms: Option<u64>,
    /// Only say how many.
    #[serde(default)]
    pub dry_run: bool,
}

/// Remove a deployment's old runs
///
/// Those that have ended, with all that is kept of them and of what is below them; 10,000 at a time, the oldest first.
#[utoipa::path(post, path = "/api/v1/deployments/{flow}/{name}/prune", tag = "deployments",
    params(("flow" = String, Path, description = "The flow's name"), ("name" = String, Path, description = "The deployment's")),
    request_body = PruneAsk, responses((status = 200, body = Pruned)))]
pub(super) async fn prune_runs(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path((flow, name)): Path<(String, String)>,
    Body(ask): Body<PruneAsk>,
) -> Result<Json<Pruned>, ApiError> {
    let full = full_name(&flow, &name);
    let deployment: Deployment = kept(&find(host.store.as_ref(), &full).await?)?;
    let Some(retention) = ask.ended_before_ms.map(Duration::from_millis).or(deployment.retention) else {
        let hint = "say how old runs have to be: `ended_before_ms`, or `--ended-before 30d`";
        return Err(ApiError::invalid(format!("`{full}` keeps its runs for ever"), hint));
    };
    let old = OldRuns { deployment: Some(full.clone()), ended_before: host.now().ago(retention), ..OldRuns::default() };
    let pruned = prune(&host, old, ask.dry_run).await?;
    if !ask.dry_run {
        host.audit(&actor, "prune", full, serde_json::json!({ "runs": pruned.runs })).await;
    }
    Ok(Json(pruned))
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
    host.tell_engine().await?;
    host.audit(&actor, "remove-deployment", full, serde_json::json!({})).await;
    Ok(StatusCode::NO_CONTENT)
}
