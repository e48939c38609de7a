//! Notifications: who is told of what, and what became of each message.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use retake_core::id::FlowRunId;
use retake_core::time::Timestamp;
use retake_core::value::Json as Value;
use retake_store::{Definition, Delivery, DeliveryState, Store, kind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Body, Path, Query};
use super::{Listed, kept, page_limit, page_place};
use crate::Host;
use crate::access::Actor;
use crate::error::{ApiError, checked_name};
use crate::notify::{NO_MAILER, Receiver, Rule, message_id, new_secret, test_message};

/// A notification rule.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Notification)]
pub struct NotificationView {
    /// Its name.
    pub name: String,
    /// What it says. Its secret and its whole address are shown when they are set, and never again.
    pub rule: Rule,
    /// How often it was changed.
    pub version: u64,
}

fn view(definition: &Definition) -> Result<NotificationView, ApiError> {
    Ok(NotificationView { name: definition.name.clone(), rule: kept(definition)?, version: definition.version })
}

/// The same without what is secret: the signature's key, and of addresses all but the host, because what follows it is
/// what lets people in at some.
fn veiled(mut view: NotificationView) -> NotificationView {
    if let Some(url) = view.rule.to.url() {
        *url = match reqwest::Url::parse(url) {
            Ok(it) => format!("{}/…", it.origin().ascii_serialization()),
            Err(_) => "…".to_owned(),
        };
    }
    if let Receiver::Webhook { secret, .. } = &mut view.rule.to {
        *secret = None;
    }
    view
}

async fn find(store: &dyn Store, name: &str) -> Result<NotificationView, ApiError> {
    match store.definition(kind::NOTIFICATION, name).await? {
        Some(found) => view(&found),
        None => {
            let hint = "`GET /api/v1/notifications` or `retake notify ls` lists them";
            Err(ApiError::not_found(format!("there is no notification `{name}`"), hint))
        }
    }
}

/// Notifications, by name
#[utoipa::path(get, path = "/api/v1/notifications", tag = "notifications", responses((status = 200, body = Listed<NotificationView>)))]
pub(super) async fn list(State(host): State<Host>) -> Result<Json<Listed<NotificationView>>, ApiError> {
    let all = host.store.definitions(kind::NOTIFICATION).await?;
    Ok(Json(Listed::all(all.iter().map(|it| view(it).map(veiled)).collect::<Result<_, _>>()?)))
}

/// One notification
#[utoipa::path(get, path = "/api/v1/notifications/{name}", tag = "notifications",
    params(("name" = String, Path, description = "Its name")), responses((status = 200, body = NotificationView)))]
pub(super) async fn show(
    State(host): State<Host>,
    Path(name): Path<String>,
) -> Result<Json<NotificationView>, ApiError> {
    Ok(Json(veiled(find(host.store.as_ref(), &name).await?)))
}

/// Create or change a notification
///
/// A webhook that is given no secret keeps the one that it has, or gets one. The answer shows a secret that is new.
#[utoipa::path(put, path = "/api/v1/notifications/{name}", tag = "notifications", request_body = Rule,
    params(("name" = String, Path, description = "Its name")), responses((status = 200, body = NotificationView)))]
pub(super) async fn put(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
    Body(mut rule): Body<Rule>,
) -> Result<Json<NotificationView>, ApiError> {
    checked_name("name", &name)?;
    rule.check()?;
    if matches!(rule.to, Receiver::Email { .. }) && host.mailer.is_none() {
        let hint = "start it with `--smtp-server URL --smtp-from ADDRESS`";
        return Err(ApiError::invalid(format!("`to.email`: {NO_MAILER}"), hint));
    }
    let before = host.store.definition(kind::NOTIFICATION, &name).await?;
    let old = before.as_ref().map(view).transpose()?;
    let mut new = true;
    if let Receiver::Webhook { secret, .. } = &mut rule.to
        && secret.is_none()
    {
        *secret = match old.map(|it| it.rule.to) {
            Some(Receiver::Webhook { secret: Some(kept), .. }) => {
                new = false;
                Some(kept)
            }
            _ => Some(new_secret(&host)),
        };
    }
    let updated = host.now();
    let (body, name_) = (Value::of(&rule), name.clone());
    let definition = Definition { kind: kind::NOTIFICATION, name: name_, body, component: None, version: 0, updated };
    host.room_for(kind::NOTIFICATION, &name, &definition.body).await?;
    let version = host.store.define(definition, Some(before.map_or(0, |it| it.version))).await?;
    host.audit(&actor, "notify", name.clone(), serde_json::json!({ "version": version })).await;
    if !new && let Receiver::Webhook { secret, .. } = &mut rule.to {
        *secret = None;
    }
    Ok(Json(NotificationView { name, rule, version }))
}

/// Forget a notification
///
/// What was to be sent for it is given up.
#[utoipa::path(delete, path = "/api/v1/notifications/{name}", tag = "notifications",
    params(("name" = String, Path, description = "Its name")), responses((status = 204)))]
pub(super) async fn remove(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    find(host.store.as_ref(), &name).await?;
    host.store.undefine(kind::NOTIFICATION, &name).await?;
    give_up(&host, &name).await?;
    host.audit(&actor, "remove-notification", name, serde_json::json!({})).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives up what is still to be sent for a rule that is gone: another of the same name has nothing to do with it.
async fn give_up(host: &Host, name: &str) -> Result<(), ApiError> {
    let mut before = None;
    loop {
        let page = host.store.deliveries(before, Some(name), 500).await?;
        let Some(last) = page.last() else { return Ok(()) };
        before = Some(last.seq);
        for it in page.into_iter().filter(|it| matches!(it.state, DeliveryState::Pending(_))) {
            let (state, ended) = (DeliveryState::GivenUp, Some(host.now()));
            let answer = Some("the notification was removed".to_owned());
            host.store.delivered(Delivery { state, ended, answer, ..it }).await?;
        }
    }
}

/// Send a test message
///
/// What becomes of it is shown under deliveries.
#[utoipa::path(post, path = "/api/v1/notifications/{name}/test", tag = "notifications",
    params(("name" = String, Path, description = "Its name")), responses((status = 202)))]
pub(super) async fn test(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    find(host.store.as_ref(), &name).await?;
    host.audit(&actor, "test-notification", name.clone(), serde_json::json!({})).await;
    let now = host.now();
    let delivery = Delivery {
        seq: 0,
        rule: name,
        run: None,
        body: test_message(now),
        state: DeliveryState::Pending(now),
        attempts: 0,
        answer: None,
        created: now,
        ended: None,
    };
    host.store.deliver(None, vec![delivery]).await?;
    Ok(StatusCode::ACCEPTED)
}

/// A message, and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Delivery)]
pub struct DeliveryView {
    /// What a webhook gets as `webhook-id`.
    pub id: String,
    /// The notification that asked for it.
    pub rule: String,
    /// The run that it tells of; absent for a test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub run: Option<FlowRunId>,
    /// What is sent.
    #[schema(value_type = Object)]
    pub body: Value,
    /// `pending`, `delivered` or `given-up`.
    pub state: String,
    /// When it is tried next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub due: Option<Timestamp>,
    /// How often it was tried.
    pub attempts: u32,
    /// What the receiver answered last, or why there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When it was delivered or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended: Option<Timestamp>,
}

impl From<Delivery> for DeliveryView {
    fn from(it: Delivery) -> Self {
        let id = message_id(&it);
        let (state, due) = match it.state {
            DeliveryState::Pending(due) => ("pending", Some(due)),
            DeliveryState::Delivered => ("delivered", None),
            DeliveryState::GivenUp => ("given-up", None),
        };
        let Delivery { rule, run, body, attempts, answer, created, ended, .. } = it;
        Self { id, rule, run, body, state: state.to_owned(), due, attempts, answer, created, ended }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveriesQuery {
    /// Only of this notification.
    rule: Option<String>,
    /// Deliveries before this one: `next` of the page before.
    #[param(pattern = "^[0-9]{1,19}$")]
    before: Option<String>,
    /// So many at most: 50 unless it says so, and 200 at most.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Messages and what became of them, the newest first
#[utoipa::path(get, path = "/api/v1/deliveries", tag = "notifications", params(DeliveriesQuery), responses((status = 200, body = Listed<DeliveryView>)))]
pub(super) async fn deliveries(
    State(host): State<Host>,
    Query(query): Query<DeliveriesQuery>,
) -> Result<Json<Listed<DeliveryView>>, ApiError> {
    let limit = page_limit(query.limit, 50, 200)?;
    let before = page_place(query.before.as_ref())?;
    let found = host.store.deliveries(before, query.rule.as_deref(), limit + 1).await?;
    Ok(Json(Listed::page(found, limit, |it| it.seq.to_string(), DeliveryView::from)))
}
