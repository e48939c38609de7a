//! The routes. Each handler checks what was sent, asks, and shows the answer; what is common to all is here.

mod bulk;
mod components;
mod counts;
mod deployments;
mod extract;
mod guard;
mod meta;
mod nodes;
mod notifications;
mod pages;
mod queues;
mod runs;
pub(crate) mod schedules;
mod served;
mod session;
mod streams;
#[cfg(test)]
mod tests;
mod tokens;
mod values;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::{Extension, Router};
use guard::Names;
use meta::Common;
use retake_core::id::FlowRunId;
use retake_core::value::Json;
use retake_store::{AuditEntry, Definition, Store};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tower_http::timeout::RequestBodyTimeoutLayer;
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::Actor;
use crate::error::ApiError;
use crate::{Host, Settings};

/// What is asked and answered beside what [`crate::wire`] shows.
pub mod types {
    pub use super::Listed;
    pub use super::bulk::{BulkCancel, BulkDone, BulkRemove, BulkRetry, RefusedRun};
    pub use super::components::{ComponentView, ComponentsPrune, ComponentsPruned, FlowView};
    pub use super::deployments::{Change, Deployed, DeploymentAsk, DeploymentChange, DeploymentView, PruneAsk};
    pub use super::meta::{Setting, Version};
    pub use super::nodes::{NodeChange, NodeView, SlotsView};
    pub use super::notifications::{DeliveryView, NotificationView};
    pub use super::queues::{Limit, LimitView};
    pub use super::runs::{PolicyAsk, ResultBody, Retried, RetryBody, RunAsk, RunsFilter};
    pub use super::schedules::{FailedSlotView, ScheduleAsk, ScheduleView};
    pub use crate::notify::{Receiver, Rule};
    pub use crate::retention::Pruned;

    pub use super::counts::{CountsFilter, CountsView};
    pub use super::session::{SessionAsk, SessionCode, SessionView};
    pub use super::tokens::{AuditView, NewToken, TokenAsk, TokenView};
    pub use super::values::{SecretAsk, SecretView, VariableAsk, VariableView};
}

/// Largest body of a request that is no upload: a value with room for what is around it.
const BODY_BYTES: usize = 2 << 20;

/// Most deployments, schedules, notifications and tokens, of each, and most bytes that those of a kind have together.
const DEFINITIONS: usize = 2000;
const DEFINITION_BYTES: usize = 32 << 20;

/// How long the next part of a body may take (A05).
const BODY_WAIT: Duration = Duration::from_secs(30);

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Retake",
        description = "Runs flows that are WebAssembly components, each attempt in a fresh sandbox, and retries what failed.\n\nTimes are RFC 3339 in UTC, durations whole milliseconds, sizes bytes. A run is named by its id, an unambiguous beginning of it, or its friendly name. Every error is `{\"error\": {code, message, causes, hint, request_id}}`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    modifiers(&Common),
)]
struct Document;

fn routes() -> OpenApiRouter<Host> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(meta::version))
        .routes(routes!(meta::settings))
        .routes(routes!(session::begin, session::show, session::end))
        .routes(routes!(session::code))
        .routes(routes!(components::list, components::upload))
        .routes(routes!(components::show, components::remove))
        .routes(routes!(components::flows))
        .routes(routes!(components::prune))
        .routes(routes!(deployments::list))
        .routes(routes!(deployments::show, deployments::put, deployments::change, deployments::remove))
        .routes(routes!(deployments::prune_runs))
        .routes(routes!(runs::list, runs::create))
        .routes(routes!(counts::counts))
        .routes(routes!(bulk::bulk_retry))
        .routes(routes!(bulk::bulk_cancel))
        .routes(routes!(bulk::bulk_remove))
        .routes(routes!(runs::show, runs::remove))
        .routes(routes!(runs::explanation))
        .routes(routes!(runs::logs))
        .routes(routes!(streams::logs))
        .routes(routes!(streams::of_run))
        .routes(routes!(runs::cancel))
        .routes(routes!(runs::pause))
        .routes(routes!(runs::resume))
        .routes(routes!(runs::run_now))
        .routes(routes!(runs::retry))
        .routes(routes!(runs::task_run))
        .routes(routes!(runs::set_result))
        .routes(routes!(streams::all))
        .routes(routes!(schedules::list))
        .routes(routes!(schedules::show, schedules::put, schedules::remove))
        .routes(routes!(notifications::list))
        .routes(routes!(notifications::show, notifications::put, notifications::remove))
        .routes(routes!(notifications::test))
        .routes(routes!(notifications::deliveries))
        .routes(routes!(nodes::list))
        .routes(routes!(nodes::change))
        .routes(routes!(queues::list))
        .routes(routes!(queues::put, queues::remove))
        .routes(routes!(queues::list_tags))
        .routes(routes!(queues::put_tag, queues::remove_tag))
        .routes(routes!(values::secrets))
        .routes(routes!(values::put_secret, values::remove_secret))
        .routes(routes!(values::variables))
        .routes(routes!(values::variable, values::put_variable, values::remove_variable))
        .routes(routes!(tokens::list))
        .routes(routes!(tokens::make, tokens::revoke))
        .routes(routes!(tokens::audit))
}

/// Returns everything that is served.
pub fn router(host: Host, settings: Settings) -> Router {
    let (api, document) = routes().split_for_parts();
    let document = meta::finished(document);
    let settings = Arc::new(settings);
    api.merge(meta::routes(document))
        .merge(pages::routes())
        .fallback(pages::page_or_nothing)
        .method_not_allowed_fallback(async || meta::not_so())
        // The last that is added sees a request first.
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(RequestBodyTimeoutLayer::new(BODY_WAIT))
        .route_layer(from_fn_with_state(host.clone(), guard::who))
        .layer(Extension(settings.clone()))
        .layer(from_fn_with_state(settings, guard::headers))
        .layer(from_fn_with_state(Names::new(host.entropy.as_ref()), guard::named))
        .with_state(host)
}

/// The OpenAPI document as text.
pub fn openapi() -> String {
    let (_, document) = routes().split_for_parts();
    meta::finished(document).to_pretty_json().unwrap_or_default()
}

/// What a list answers with.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Page)]
pub struct Listed<T> {
    /// What was asked for.
    pub items: Vec<T>,
    /// What to ask for as `before` (as `after`, where lines are asked for) to get what comes next; absent on the last page, but of log lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> Listed<T> {
    /// All there is.
    fn all(items: Vec<T>) -> Self {
        Self { items, next: None }
    }

    /// A page of what was found when one more was asked for than is shown.
    fn page<F>(mut found: Vec<F>, limit: usize, place: impl Fn(&F) -> String, show: impl Fn(F) -> T) -> Self {
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(place);
        Self { items: found.into_iter().map(show).collect(), next }
    }
}

/// Reads how many are to be on a page.
fn page_limit(asked: Option<usize>, unless_said: usize, most: usize) -> Result<usize, ApiError> {
    let limit = asked.unwrap_or(unless_said);
    match (1..=most).contains(&limit) {
        true => Ok(limit),
        false => {
            let hint = "ask for the next page with `next` of this one";
            Err(ApiError::invalid(format!("`limit` is {limit}: it may be 1 to {most}"), hint))
        }
    }
}

/// Reads where a page begins.
fn page_place(asked: Option<&String>) -> Result<Option<u64>, ApiError> {
    let place = asked.map(|it| it.parse::<u64>()).transpose();
    let place =
        place.map_err(|_| ApiError::invalid("`before` is not from a page", "give `next` of the page before"))?;
    Ok(place.map(|it| it.min(i64::MAX as u64)))
}

impl Host {
    /// Refuses a definition that is new, or larger, when there are too many of its kind: all of a kind are read at once.
    pub(crate) async fn room_for(&self, kind: &'static str, name: &str, body: &Json) -> Result<(), ApiError> {
        let all = self.store.definitions(kind).await?;
        let others = || all.iter().filter(|it| it.name != name);
        let bytes: usize = others().map(|it| it.body.as_str().len()).sum();
        if others().count() < DEFINITIONS && bytes + body.as_str().len() <= DEFINITION_BYTES {
            return Ok(());
        }
        let message = format!("there are {} {kind}s with {bytes} bytes, and no more are kept", all.len());
        let hint = format!(
            "remove one that is not needed: at most {DEFINITIONS} with {} MiB together are kept; large parameters belong \
             where a flow fetches them from",
            DEFINITION_BYTES >> 20
        );
        Err(ApiError::conflict(message, hint))
    }

    /// Keeps who did what. It was done: that this could not be kept is told to the log alone.
    pub(crate) async fn audit(
        &self,
        actor: &Actor,
        action: &str,
        subject: impl Into<String>,
        details: serde_json::Value,
    ) {
        let entry = AuditEntry {
            at: self.now(),
            actor: actor.name.clone(),
            action: action.to_owned(),
            subject: subject.into(),
            details: Json::of(&details),
        };
        if let Err(error) = self.store.audit(entry).await {
            tracing::error!(%error, actor = actor.name, action, "who did it could not be kept");
        }
    }
}

/// Reads what a definition says.
pub(crate) fn kept<T: DeserializeOwned>(definition: &Definition) -> Result<T, ApiError> {
    serde_json::from_str(definition.body.as_str()).map_err(|error| {
        let Definition { kind, name, .. } = definition;
        tracing::error!(%error, kind, name, "what was kept cannot be read");
        let (message, hint) = (format!("the {kind} cannot be read"), "make it again");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "damaged", message, hint)
    })
}

/// Finds the run that a person means: a name, an id, or an unambiguous beginning of an id.
async fn find_run(store: &dyn Store, text: &str) -> Result<FlowRunId, ApiError> {
    if let Ok(id) = text.parse::<FlowRunId>() {
        store.run(id).await?;
        return Ok(id);
    }
    let found = store.find(text, 5).await?;
    match found.as_slice() {
        [id] => Ok(*id),
        [] => {
            let message = format!("no run is called `{text}`, and no id begins with it");
            Err(ApiError::not_found(message, "`retake ps` lists the runs"))
        }
        several => {
            let mut causes = Vec::new();
            for id in several {
                let run = store.run(*id).await?;
                causes.push(format!("{id} of {} ({})", crate::text::instant(run.asked.created), run.asked.flow));
            }
            let message = format!("`{text}` may be one of several runs");
            Err(ApiError::invalid(message, format!("name one by its id: `{}`", several[0])).caused_by(causes))
        }
    }
}
