//! Components and their flows.

use std::time::Duration;

use axum::Extension;
use axum::Json;
use axum::body::Body as RawBody;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt;
use retake_core::component::{ComponentInfo, FlowInfo};
use retake_core::id::ContentDigest;
use retake_core::limits;
use retake_core::port::Inspected;
use retake_core::time::Timestamp;
use retake_core::value::Json as Value;
use retake_store::{ComponentRecord, Store};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufWriter};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::Listed;
use super::extract::{Body, Path, Query};
use crate::access::Actor;
use crate::error::ApiError;
use crate::retention;
use crate::wire::InspectionView;
use crate::{Host, schema};

/// How much of an upload is written at once.
const PART_BYTES: usize = 256 << 10;
/// Most bytes of metadata of all components that are kept: some thousand usual ones.
const METADATA_BYTES: usize = 32 << 20;
/// How long an upload may take to get going.
const SLOWEST_START: Duration = Duration::from_secs(30);
/// Bytes that come in each second at least, then: whoever is slower keeps others waiting (A05).
const SLOWEST: usize = 32 << 10;

/// A component that is kept.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Component)]
pub struct ComponentView {
    /// SHA-256 of the bytes.
    #[schema(value_type = String)]
    pub digest: ContentDigest,
    /// How many bytes.
    pub bytes: u64,
    /// When it was uploaded last.
    #[schema(value_type = String, format = DateTime)]
    pub uploaded: Timestamp,
    /// When it was removed, where runs are still pinned to it; they cannot be retried with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub removed: Option<Timestamp>,
    /// What it says about itself.
    #[serde(flatten)]
    #[schema(value_type = schema::ComponentInfo)]
    pub info: ComponentInfo,
}

impl From<ComponentRecord> for ComponentView {
    fn from(record: ComponentRecord) -> Self {
        let ComponentRecord { digest, bytes, info, uploaded, removed } = record;
        Self { digest, bytes, uploaded, removed, info }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UploadQuery {
    /// Only inspect it, and keep nothing. For a while a dry run of a retry may name it as its `version`, by its digest.
    #[serde(default)]
    dry_run: bool,
}

/// Upload a component
///
/// Its bytes are the body. It is inspected before anything is kept: what it imports, what it says about itself, twice,
/// in a sandbox that may do nothing. To upload the same bytes again makes them the newest version of their name.
#[utoipa::path(post, path = "/api/v1/components", tag = "components", params(UploadQuery),
    request_body(content = Vec<u8>, content_type = "application/wasm"),
    responses((status = 201, body = InspectionView), (status = 200, body = InspectionView, description = "With `dry_run`")))]
pub(super) async fn upload(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Query(query): Query<UploadQuery>,
    headers: HeaderMap,
    body: RawBody,
) -> Result<(StatusCode, Json<InspectionView>), ApiError> {
    let (digest, file) = {
        let _place = host.doing.uploads.take(&actor.name).await;
        receive(&host, &headers, body).await?
    };
    let _place = host.doing.inspections.take(&actor.name).await;
    let bytes = read(file).await.map_err(|error| {
        tracing::error!(%error, "an upload could not be read");
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the upload cannot be read", "send it again")
    })?;
    let Inspected { digest, bytes: length, info, imports } = host.inspector.inspect(digest, bytes.clone()).await?;
    let status = match query.dry_run {
        true => {
            host.engine.preview(digest, info.clone())?;
            StatusCode::OK
        }
        false => {
            room_for(&host, digest, &info).await?;
            host.engine.register(digest, info.clone(), bytes).await?;
            let details = serde_json::json!({ "name": info.name, "version": info.version });
            host.audit(&actor, "upload", digest.to_string(), details).await;
            StatusCode::CREATED
        }
    };
    Ok((status, Json(InspectionView { digest, bytes: length, info, imports })))
}

/// Refuses a component when all that are kept say too much of themselves: lists have all of it.
async fn room_for(host: &Host, digest: ContentDigest, info: &ComponentInfo) -> Result<(), ApiError> {
    let length = |it: &ComponentInfo| Value::of(it).as_str().len();
    let others = host.store.components().await?;
    let had: usize = others.iter().filter(|it| it.digest != digest).map(|it| length(&it.info)).sum();
    match had + length(info) <= METADATA_BYTES {
        true => Ok(()),
        false => {
            let most = METADATA_BYTES >> 20;
            let message = format!("the metadata of all components has more than {most} MiB with it");
            Err(ApiError::conflict(message, "`retake components prune` removes those that nothing needs"))
        }
    }
}

/// Takes an upload down in a file that has no name, so that whoever sends slowly, or much, fills no memory (A04). Returns its SHA-256,
/// too.
async fn receive(host: &Host, headers: &HeaderMap, body: RawBody) -> Result<(ContentDigest, File), ApiError> {
    let too_large = || {
        let message = format!("a component has at most {} MiB", limits::COMPONENT_BYTES >> 20);
        let hint = "build with `opt-level = \"s\"`, `lto = true` and `strip = true`";
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", message, hint)
    };
    let said = headers.get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse::<usize>().ok());
    if said.is_some_and(|it| it > limits::COMPONENT_BYTES) {
        return Err(too_large());
    }
    let no_room = |error: std::io::Error| {
        tracing::error!(%error, dir = %host.uploads.display(), "an upload could not be taken down");
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the upload cannot be taken down", "ask again")
    };
    let file = File::from_std(tempfile::tempfile_in(&host.uploads).map_err(no_room)?);
    let mut file = BufWriter::with_capacity(PART_BYTES, file);
    let (mut stream, began, mut length, mut hash) = (body.into_data_stream(), Instant::now(), 0, Sha256::new());
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| ApiError::invalid("the upload ended too early", "send it again"))?;
        length += chunk.len();
        if length > limits::COMPONENT_BYTES {
            return Err(too_large());
        }
        if began.elapsed() > SLOWEST_START + Duration::from_secs((length / SLOWEST) as u64) {
            let message = format!("an upload has {} KiB in a second at least", SLOWEST >> 10);
            return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "too-slow", message, "send it again"));
        }
        hash.update(&chunk);
        file.write_all(&chunk).await.map_err(no_room)?;
    }
    file.flush().await.map_err(no_room)?;
    Ok((ContentDigest::from_bytes(hash.finalize().into()), file.into_inner()))
}

/// Reads what was taken down.
async fn read(mut file: File) -> std::io::Result<Vec<u8>> {
    file.rewind().await?;
    let length = file.metadata().await?.len();
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// Components, the newest upload first
#[utoipa::path(get, path = "/api/v1/components", tag = "components", responses((status = 200, body = Listed<ComponentView>)))]
pub(super) async fn list(State(host): State<Host>) -> Result<Json<Listed<ComponentView>>, ApiError> {
    Ok(Json(Listed::all(host.store.components().await?.into_iter().map(Into::into).collect())))
}

/// One component
#[utoipa::path(get, path = "/api/v1/components/{digest}", tag = "components",
    params(("digest" = String, Path, description = "Its digest, or an unambiguous beginning of it")),
    responses((status = 200, body = ComponentView)))]
pub(super) async fn show(
    State(host): State<Host>,
    Path(digest): Path<String>,
) -> Result<Json<ComponentView>, ApiError> {
    Ok(Json(find(host.store.as_ref(), &digest, None).await?.into()))
}

/// Forget a component
///
/// Refused while a deployment refers to it, or a run that has not Completed and was not cancelled. Runs that have stay,
/// and say that they cannot be retried with it any more; to upload it again brings it back.
#[utoipa::path(delete, path = "/api/v1/components/{digest}", tag = "components",
    params(("digest" = String, Path, description = "Its digest, or an unambiguous beginning of it")),
    responses((status = 204)))]
pub(super) async fn remove(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(digest): Path<String>,
) -> Result<StatusCode, ApiError> {
    let digest = find(host.store.as_ref(), &digest, None).await?.digest;
    host.engine.remove_component(digest).await?;
    host.audit(&actor, "remove-component", digest.to_string(), serde_json::json!({})).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Which components are to be removed.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ComponentsPrune {
    /// How many of the newest of each name stay, whatever needs them: 5 unless it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub keep: Option<usize>,
    /// Only say which.
    #[serde(default)]
    pub dry_run: bool,
}

/// Components that were removed, or would be.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ComponentsPruned {
    /// Those.
    pub components: Vec<ComponentView>,
    /// How many bytes they have together, without what was compiled of them.
    pub bytes: u64,
    /// Whether it was done: not in a dry run.
    pub applied: bool,
}

/// Remove components that nothing needs
///
/// Of each name the newest stay, and those that a deployment refers to, or a run that has not Completed and was not
/// cancelled. A server does so by itself every ten minutes.
#[utoipa::path(post, path = "/api/v1/components/prune", tag = "components", request_body = ComponentsPrune,
    responses((status = 200, body = ComponentsPruned)))]
pub(super) async fn prune(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Body(ask): Body<ComponentsPrune>,
) -> Result<Json<ComponentsPruned>, ApiError> {
    let keep = ask.keep.unwrap_or(retention::COMPONENTS);
    if !(1..=1000).contains(&keep) {
        return Err(ApiError::invalid("`keep` may be 1 to 1000", "leave it out for 5"));
    }
    let pruned = retention::prune_components(&host, keep, Duration::ZERO, ask.dry_run).await?;
    if !ask.dry_run {
        for it in &pruned {
            host.audit(&actor, "remove-component", it.digest.to_string(), serde_json::json!({ "pruned": true })).await;
        }
    }
    let bytes = pruned.iter().map(|it| it.bytes).sum();
    let components = pruned.into_iter().map(Into::into).collect();
    Ok(Json(ComponentsPruned { components, bytes, applied: !ask.dry_run }))
}

/// Finds the component that a person means: the beginning of a digest, or `latest` of the same name as another.
pub(super) async fn find(
    store: &dyn Store,
    text: &str,
    beside: Option<ContentDigest>,
) -> Result<ComponentRecord, ApiError> {
    // What is named in full need not be looked for.
    if let Ok(digest) = text.parse::<ContentDigest>()
        // Also one that was removed: what it said is still there.
        && let Some(found) = store.component(digest).await?
    {
        return Ok(found);
    }
    let all = store.components().await?;
    let name = match beside {
        Some(it) => store.component(it).await?.map(|it| it.info.name),
        None => None,
    };
    let latest = text == "latest" && name.is_some();
    let mut found = all.into_iter().filter(|it| match latest {
        true => Some(&it.info.name) == name.as_ref(),
        false => !text.is_empty() && it.digest.to_string().starts_with(text),
    });
    match (found.next(), found.next()) {
        (Some(it), None) => Ok(it),
        (Some(it), Some(_)) if latest => Ok(it),
        (Some(_), Some(_)) => {
            let message = format!("`{text}` may be one of several components");
            Err(ApiError::invalid(message, "give more of its digest"))
        }
        (None, _) => {
            let hint = "`GET /api/v1/components` lists what is kept; `POST` uploads another";
            Err(ApiError::not_found(format!("no component `{text}` is kept"), hint))
        }
    }
}

/// A flow that can be run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Flow)]
pub struct FlowView {
    /// The newest component that has it.
    #[schema(value_type = String)]
    pub component: ContentDigest,
    /// What that calls itself.
    pub component_name: String,
    /// And its version, as it says.
    pub component_version: String,
    /// Its metadata: name, description, schemas, policy, limits, capabilities.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub flow: FlowInfo,
}

/// Flows by name, each of the newest component that has it
#[utoipa::path(get, path = "/api/v1/flows", tag = "components", responses((status = 200, body = Listed<FlowView>)))]
pub(super) async fn flows(State(host): State<Host>) -> Result<Json<Listed<FlowView>>, ApiError> {
    let mut flows: Vec<FlowView> = Vec::new();
    for component in host.store.components().await? {
        for flow in component.info.flows {
            if flows.iter().all(|it| it.flow.name != flow.name) {
                let (component_name, component_version) = (component.info.name.clone(), component.info.version.clone());
                flows.push(FlowView { component: component.digest, component_name, component_version, flow });
            }
        }
    }
    flows.sort_by(|a, b| a.flow.name.cmp(&b.flow.name));
    Ok(Json(Listed::all(flows)))
}
