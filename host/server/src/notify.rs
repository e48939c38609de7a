//! Tells people what became of runs.
//!
//! ```text
//! a run ends ──▶ notice (with the end, in one transaction) ──▶ deliveries, one for each rule that fits ──▶ receivers
//! ```
//!
//! Each step is kept before the next, and each is done again when it is not known to have been done: a receiver is told
//! at least once, and knows by `webhook-id` what it was told before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hmac::{Hmac, Mac};
use retake_core::deployment::Deployment;
use retake_core::retry::BadField;
use retake_core::run::Shown;
use retake_core::schedule::FailedSlot;
use retake_core::time::Timestamp;
use retake_core::value::Json;
use retake_store::{Definition, Delivery, DeliveryState, Notice, RunFilter, RunRecord, StoreError, kind};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::time::MissedTickBehavior;
use utoipa::ToSchema;

use crate::text::{innermost, words};
use crate::{Host, egress, mail};

/// How often to look for notices and deliveries.
const LOOK: Duration = Duration::from_millis(500);
/// The states that are counted in a row: those of runs that have ended, or wait for a person.
const COUNTED: [Shown; 6] =
    [Shown::Completed, Shown::Failed, Shown::TimedOut, Shown::Crashed, Shown::Cancelled, Shown::Parked];
/// Longest time without a second message, in milliseconds: for so long it is kept what was sent.
const QUIET_MS: u64 = 30 * 24 * 3600 * 1000;
/// How many are looked at at once.
const AT_ONCE: usize = 100;
/// How long a receiver may take.
const ANSWER: Duration = Duration::from_secs(10);
/// Waits between the tries of one delivery; after the last it is given up. Two days in all.
const WAITS: [u64; 9] = [5, 30, 120, 600, 3600, 3600 * 3, 3600 * 8, 3600 * 12, 3600 * 24];
/// What becomes of an e-mail where nobody takes it.
pub(crate) const NO_MAILER: &str = "this server sends no e-mail";
/// Longest answer that is kept.
const ANSWER_BYTES: usize = 500;

/// Who is told of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NotificationRule)]
pub struct Rule {
    /// The states that are told of: Completed, Failed, TimedOut, Crashed, Cancelled, Parked, AwaitingRetry. Failed,
    /// TimedOut, Crashed and Parked unless it says so.
    #[serde(default = "troubled")]
    #[schema(value_type = Vec<crate::schema::ToldOf>, min_items = 1)]
    pub states: Vec<Shown>,
    /// Only runs of this flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// Only runs of this deployment, as `flow/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// Only runs of deployments with this tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Only when so many runs of the same deployment, or of the same flow where there is none, came to such a state in a
    /// row. 1 unless it says so, 100 at most.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 100)]
    pub in_a_row: u32,
    /// Milliseconds during which no second message is sent of the same deployment or flow. 0 unless it says so, 30 days
    /// at most.
    #[serde(default)]
    #[schema(maximum = 2_592_000_000u64)]
    pub quiet_ms: u64,
    /// Whether nothing is sent for now.
    #[serde(default)]
    pub paused: bool,
    /// Who is told.
    pub to: Receiver,
}

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Receiver {
    /// A webhook, signed as Standard Webhooks says.
    Webhook {
        /// Where; `http` or `https`.
        #[schema(pattern = "^https?://[A-Za-z0-9]")]
        url: String,
        /// `whsec_` and 24 to 64 bytes in base64. One is made where none is given; it is shown once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret: Option<String>,
    },
    /// A webhook that Slack, or something that understands the same, offers.
    Slack {
        /// Where; `http` or `https`.
        #[schema(pattern = "^https?://[A-Za-z0-9]")]
        url: String,
    },
    /// An Apprise API server, which tells a hundred other services.
    Apprise {
        /// Where: `http://apprise:8000/notify/KEY`.
        #[schema(pattern = "^https?://[A-Za-z0-9]")]
        url: String,
    },
    /// E-mail, where the server was told who takes it on its way.
    Email {
        /// To whom; 20 at most.
        #[schema(min_items = 1, max_items = 20)]
        addresses: Vec<String>,
    },
}

fn troubled() -> Vec<Shown> {
    vec![Shown::Failed, Shown::TimedOut, Shown::Crashed, Shown::Parked]
}

fn one() -> u32 {
    1
}

impl Receiver {
    /// The address that requests go to.
    pub(crate) fn url(&mut self) -> Option<&mut String> {
        match self {
            Self::Webhook { url, .. } | Self::Slack { url } | Self::Apprise { url } => Some(url),
            Self::Email { .. } => None,
        }
    }

    fn check(&self) -> Result<(), BadField> {
        let url = match self {
            Self::Webhook { url, .. } | Self::Slack { url } | Self::Apprise { url } => reqwest::Url::parse(url),
            Self::Email { addresses } => return mail::check(addresses),
        };
        let url = url.ok().filter(|it| matches!(it.scheme(), "http" | "https") && it.host().is_some());
        let not_web = || BadField {
            field: "to.url".into(),
            problem: "is no address that begins with `http://` or `https://`".into(),
        };
        BadField::unless(!egress::is_refused_as_written(&url.ok_or_else(not_web)?), "to.url", || {
            "is an address that only machines answer for themselves, link-local or of metadata: nothing is sent there"
                .into()
        })?;
        if let Self::Webhook { secret: Some(secret), .. } = self {
            BadField::unless(key(secret).is_some(), "to.webhook.secret", || {
                "is not `whsec_` and 24 to 64 bytes in base64".into()
            })?;
        }
        Ok(())
    }
}

impl Rule {
    /// Checks every bound.
    pub(crate) fn check(&self) -> Result<(), BadField> {
        let told = [
            Shown::Completed,
            Shown::Failed,
            Shown::TimedOut,
            Shown::Crashed,
            Shown::Cancelled,
            Shown::Parked,
            Shown::AwaitingRetry,
        ];
        let never = self.states.iter().find(|it| !told.contains(it));
        BadField::unless(never.is_none(), "states", || {
            let words = told.map(|it| it.to_string()).join(", ");
            format!("nobody is told of {}, only of {words}", never.map(ToString::to_string).unwrap_or_default())
        })?;
        BadField::unless(!self.states.is_empty(), "states", || "is empty".into())?;
        BadField::unless((1..=100).contains(&self.in_a_row), "in_a_row", || "may be 1 to 100".into())?;
        let counted = self.in_a_row == 1 || self.states.iter().all(|it| COUNTED.contains(it));
        BadField::unless(counted, "in_a_row", || "counts runs that have ended: leave AwaitingRetry out".into())?;
        BadField::unless(self.quiet_ms <= QUIET_MS, "quiet_ms", || format!("may be {QUIET_MS} at most"))?;
        self.to.check()
    }
}

fn key(secret: &str) -> Option<Vec<u8>> {
    let key = STANDARD.decode(secret.strip_prefix("whsec_")?).ok()?;
    (24..=64).contains(&key.len()).then_some(key)
}

/// Makes a secret: 256 bits of chance.
pub(crate) fn new_secret(host: &Host) -> String {
    let key: Vec<u8> = (0..4).flat_map(|_| host.entropy.next().to_be_bytes()).collect();
    format!("whsec_{}", STANDARD.encode(key))
}

/// Sends what is to be told, for as long as it is polled.
pub async fn work(host: &Host) {
    let http = match sender() {
        Ok(http) => http,
        Err(error) => {
            tracing::error!(%error, "nobody can be told of anything");
            return std::future::pending().await;
        }
    };
    // Apart, so that a receiver that takes its time does not keep the rest from being written down.
    let taking = async {
        loop {
            // After a full page there is more.
            if said(take(host).await).is_none_or(|taken| taken < AT_ONCE) {
                tokio::time::sleep(LOOK).await;
            }
        }
    };
    tokio::join!(taking, send_all(host, &http));
}

fn said<T>(looked: Result<T, StoreError>) -> Option<T> {
    looked.inspect_err(|error| tracing::warn!(%error, "notifications could not be looked at; trying again")).ok()
}

fn sender() -> reqwest::Result<reqwest::Client> {
    crate::tls::use_ring();
    reqwest::Client::builder()
        .timeout(ANSWER)
        // A receiver that sends us elsewhere could have us ask what only we can reach.
        .redirect(reqwest::redirect::Policy::none())
        .dns_resolver(std::sync::Arc::new(egress::Names))
        // What the environment says about proxies is not for addresses that let people in.
        .no_proxy()
        .user_agent(concat!("retake/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Takes notices, and keeps what is to be sent for them. Returns how many there were.
async fn take(host: &Host) -> Result<usize, StoreError> {
    let notices = host.store.notices(AT_ONCE).await?;
    if notices.is_empty() {
        return Ok(0);
    }
    let rules = rules(host).await?;
    for notice in &notices {
        let deliveries = match deliveries(host, &rules, notice).await {
            Ok(deliveries) => deliveries,
            Err(error @ StoreError::Unavailable(_)) => return Err(error),
            // It would be so for ever, and those behind it would wait.
            Err(error) => {
                tracing::error!(%error, run = %notice.run, "nobody can be told of it");
                Vec::new()
            }
        };
        host.store.deliver(Some(notice.seq), deliveries).await?;
    }
    Ok(notices.len())
}

/// Returns the rules by which messages are sent, with their names.
async fn rules(host: &Host) -> Result<Vec<(String, Rule)>, StoreError> {
    let definitions = host.store.definitions(kind::NOTIFICATION).await?;
    let read = |it: Definition| Some((it.name, serde_json::from_str(it.body.as_str()).ok()?));
    Ok(definitions.into_iter().filter_map(read).collect())
}

/// Keeps what is to be sent because a slot of a schedule made no run: to those who are told of runs of the deployment
/// that Failed.
pub(crate) async fn slot_failed(
    host: &Host,
    schedule: &str,
    deployment: &Deployment,
    failed: &FailedSlot,
) -> Result<(), StoreError> {
    let full_name = deployment.full_name();
    let is_told = |rule: &Rule| {
        rule.is_for(Shown::Failed, &deployment.flow, Some(&full_name))
            && rule.tag.as_ref().is_none_or(|it| deployment.tags.contains(it))
    };
    let body = Json::of(&serde_json::json!({
        "type": "schedule.failed",
        "timestamp": host.now(),
        "data": {
            "subject": full_name,
            "schedule": schedule,
            "slot": failed.slot,
            "text": format!(
                "schedule {schedule} of {full_name} made no run for {}: {}\nretake schedules show {schedule}",
                failed.slot, failed.error
            ),
            "error": failed.error,
            "hint": format!("retake schedules show {schedule}"),
        },
    }));
    let mut deliveries = Vec::new();
    for (rule, _) in rules(host).await?.into_iter().filter(|(_, rule)| is_told(rule)) {
        let (state, created) = (DeliveryState::Pending(host.now()), host.now());
        let (seq, run, attempts, answer, ended) = (0, None, 0, None, None);
        let body = body.clone();
        deliveries.push(Delivery { seq, rule, run, body, state, attempts, answer, created, ended });
    }
    match deliveries.is_empty() {
        true => Ok(()),
        false => host.store.deliver(None, deliveries).await,
    }
}

/// Sends what is due: to all receivers side by side, whatever one of them takes; to each one after the other, until one
/// does not arrive. What is behind that waits for the next look.
async fn send_all(host: &Host, http: &reqwest::Client) {
    let mut under_way = FuturesUnordered::new();
    let mut busy = BTreeSet::new();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some((rule, done)) = under_way.next(), if !under_way.is_empty() => {
                busy.remove(&rule);
                said(done);
            }
            _ = look.tick() => {
                let mut of_rules: BTreeMap<String, Vec<Delivery>> = BTreeMap::new();
                let due = said(host.store.deliveries_due(host.now(), AT_ONCE).await).unwrap_or_default();
                due.into_iter().for_each(|it| of_rules.entry(it.rule.clone()).or_default().push(it));
                for (rule, due) in of_rules {
                    if busy.insert(rule.clone()) {
                        under_way.push(async move { (rule, send_in_turn(host, http, due).await) });
                    }
                }
            }
        }
    }
}

async fn send_in_turn(host: &Host, http: &reqwest::Client, due: Vec<Delivery>) -> Result<(), StoreError> {
    for delivery in due {
        let delivery = send(host, http, &delivery).await?;
        let arrived = delivery.state == DeliveryState::Delivered;
        host.store.delivered(delivery).await?;
        if !arrived {
            break;
        }
    }
    Ok(())
}

/// Returns what is to be sent for a notice: one message for each rule that fits.
async fn deliveries(host: &Host, rules: &[(String, Rule)], notice: &Notice) -> Result<Vec<Delivery>, StoreError> {
    // Most are of runs that completed, which hardly anybody is told of.
    if !rules.iter().any(|(_, rule)| !rule.paused && rule.states.contains(&notice.shown)) {
        return Ok(Vec::new());
    }
    let record = match host.store.run(notice.run).await {
        Ok(record) => record,
        Err(StoreError::NoRun(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut deliveries = Vec::new();
    for (name, rule) in rules {
        if fits(host, name, rule, notice, &record).await? {
            deliveries.push(Delivery {
                seq: 0,
                rule: name.clone(),
                run: Some(notice.run),
                body: message(notice, &record),
                state: DeliveryState::Pending(host.now()),
                attempts: 0,
                answer: None,
                created: host.now(),
                ended: None,
            });
        }
    }
    Ok(deliveries)
}

impl Rule {
    /// Whether it is for runs of this flow and deployment that come to this state, but for what it says of tags.
    fn is_for(&self, shown: Shown, flow: &str, deployment: Option<&str>) -> bool {
        !self.paused
            && self.states.contains(&shown)
            && self.flow.as_ref().is_none_or(|it| it == flow)
            && self.deployment.as_deref().is_none_or(|it| Some(it) == deployment)
    }
}

async fn fits(host: &Host, name: &str, rule: &Rule, notice: &Notice, record: &RunRecord) -> Result<bool, StoreError> {
    let asked = &record.asked;
    if !rule.is_for(notice.shown, &asked.flow, asked.deployment.as_deref()) {
        return Ok(false);
    }
    if let Some(tag) = &rule.tag {
        let Some(deployment) = &asked.deployment else { return Ok(false) };
        let found = host.store.definition(kind::DEPLOYMENT, deployment).await?;
        let found = found.and_then(|it| serde_json::from_str::<Deployment>(it.body.as_str()).ok());
        if !found.is_some_and(|it| it.tags.contains(tag)) {
            return Ok(false);
        }
    }
    if rule.in_a_row > 1 && !in_a_row(host, rule, record).await? {
        return Ok(false);
    }
    if rule.quiet_ms == 0 {
        return Ok(true);
    }
    let since = host.now().as_unix_ms().saturating_sub(rule.quiet_ms);
    let (about, mut before) = (subject(record), None);
    loop {
        let page = host.store.deliveries(before, Some(name), AT_ONCE).await?;
        let Some(last) = page.last() else { return Ok(true) };
        before = Some(last.seq);
        let is_over = last.created.as_unix_ms() < since;
        let is_same = |it: &Delivery| {
            it.created.as_unix_ms() >= since && it.body.to_value()["data"]["subject"].as_str() == Some(about)
        };
        if page.iter().any(is_same) {
            return Ok(false);
        }
        if is_over {
            return Ok(true);
        }
    }
}

/// Whether this run and those of the same kind before it all came to such a state.
async fn in_a_row(host: &Host, rule: &Rule, record: &RunRecord) -> Result<bool, StoreError> {
    let (asked, wanted) = (&record.asked, rule.in_a_row as usize - 1);
    let mut before = RunFilter {
        flow: Some(asked.flow.clone()),
        deployments: asked.deployment.iter().cloned().collect(),
        shown: COUNTED.to_vec(),
        before: Some(asked.id),
        roots_only: true,
        limit: wanted,
        ..RunFilter::default()
    };
    let mut counted = 0;
    while counted < wanted {
        let page = host.store.list(before.clone(), host.now()).await?;
        let Some(last) = page.last() else { return Ok(false) };
        before.before = Some(last.asked.id);
        // Those of a deployment are of another kind than those of none.
        for it in page.iter().filter(|it| it.asked.deployment == asked.deployment) {
            if !rule.states.contains(&it.run.shown(host.now())) {
                return Ok(false);
            }
            counted += 1;
        }
    }
    Ok(true)
}

/// What messages are counted by: the deployment, or the flow where there is none.
fn subject(record: &RunRecord) -> &str {
    record.asked.deployment.as_deref().unwrap_or(&record.asked.flow)
}

/// What is sent: a JSON object as Standard Webhooks recommends.
fn message(notice: &Notice, record: &RunRecord) -> Json {
    let (asked, name) = (&record.asked, record.asked.id.friendly_name());
    let hint = match notice.shown {
        Shown::Completed => format!("retake show {name}"),
        Shown::AwaitingRetry => format!("retake run-now {name}"),
        _ => format!("retake retry {name} --dry-run"),
    };
    Json::of(&serde_json::json!({
        "type": format!("flow-run.{}", word(notice.shown)),
        "timestamp": notice.at,
        "data": {
            "subject": subject(record),
            "run": asked.id,
            "name": name,
            "flow": asked.flow,
            "deployment": asked.deployment,
            "state": notice.shown,
            "attempt": notice.attempt,
            "failure": notice.failure,
            "created": asked.created,
            "hint": hint,
        },
    }))
}

fn word(shown: Shown) -> &'static str {
    match shown {
        Shown::Completed => "completed",
        Shown::TimedOut => "timed-out",
        Shown::Crashed => "crashed",
        Shown::Cancelled => "cancelled",
        Shown::Parked => "parked",
        Shown::AwaitingRetry => "awaiting-retry",
        _ => "failed",
    }
}

/// What is sent to see whether it arrives.
pub(crate) fn test_message(now: Timestamp) -> Json {
    Json::of(&serde_json::json!({
        "type": "test",
        "timestamp": now,
        "data": { "subject": "test", "text": "Retake can tell you here what becomes of runs." },
    }))
}

/// Tries a delivery once, and returns it as it is then.
async fn send(host: &Host, http: &reqwest::Client, delivery: &Delivery) -> Result<Delivery, StoreError> {
    let mut delivery = delivery.clone();
    let rule = host.store.definition(kind::NOTIFICATION, &delivery.rule).await?;
    let rule = rule.and_then(|it| serde_json::from_str::<Rule>(it.body.as_str()).ok());
    delivery.attempts += 1;
    let now = host.now();
    let Tried { answer, arrived, wait } = match rule.as_ref().map(|it| &it.to) {
        None => Tried::refused("the rule is gone".to_owned()),
        Some(Receiver::Email { addresses }) => send_mail(host, addresses, &delivery).await,
        // One that was kept before this was looked at.
        Some(to) if to.check().is_err() => Tried::refused("nothing is sent to that address".to_owned()),
        Some(to) => send_request(request(http, to, &delivery, now)).await,
    };
    delivery.answer = Some(retake_core::failure::cut(answer, ANSWER_BYTES));
    // A test is tried once: whoever asked for it looks at what comes back.
    let is_test = delivery.body.to_value()["type"] == "test";
    let next = WAITS.get(delivery.attempts as usize - 1).filter(|_| !is_test);
    delivery.state = match (arrived, next, &rule) {
        (true, ..) => DeliveryState::Delivered,
        (false, Some(seconds), Some(_)) => {
            let seconds = wait.unwrap_or(0).clamp(*seconds, WAITS[WAITS.len() - 1]);
            DeliveryState::Pending(now + Duration::from_secs(seconds))
        }
        (false, ..) => DeliveryState::GivenUp,
    };
    if !matches!(delivery.state, DeliveryState::Pending(_)) {
        delivery.ended = Some(now);
    }
    if !arrived {
        tracing::warn!(
            rule = delivery.rule,
            attempt = delivery.attempts,
            answer = delivery.answer,
            "a message did not arrive"
        );
    }
    Ok(delivery)
}

/// What came of one try.
struct Tried {
    answer: String,
    arrived: bool,
    /// How many seconds the receiver asked to be left alone for.
    wait: Option<u64>,
}

impl Tried {
    fn refused(answer: String) -> Self {
        Self { answer, arrived: false, wait: None }
    }
}

async fn send_mail(host: &Host, addresses: &[String], delivery: &Delivery) -> Tried {
    let Some(mailer) = &host.mailer else { return Tried::refused(NO_MAILER.to_owned()) };
    let text = in_words(delivery);
    let subject = format!("[Retake] {}", text.lines().next().unwrap_or_default());
    match mailer.send(addresses, &message_id(delivery), delivery.created, (subject, text)).await {
        Ok(answer) => Tried { answer, arrived: true, wait: None },
        Err(why) => Tried::refused(why),
    }
}

async fn send_request(request: reqwest::RequestBuilder) -> Tried {
    match request.send().await {
        Ok(response) => {
            let status = response.status();
            let wait = response.headers().get("retry-after").and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
            let answer = match status.is_redirection() {
                true => format!("status {status}: redirections are not followed"),
                false => format!("status {status}"),
            };
            Tried { answer, arrived: status.is_success(), wait }
        }
        Err(error) => Tried::refused(innermost(&error)),
    }
}

/// What a receiver is asked that is told over HTTP.
fn request(http: &reqwest::Client, to: &Receiver, delivery: &Delivery, now: Timestamp) -> reqwest::RequestBuilder {
    let post = |url: &String| http.post(url).header("content-type", "application/json");
    let in_json = |url, body: serde_json::Value| post(url).body(Json::of(&body).as_str().to_owned());
    match to {
        Receiver::Webhook { url, secret } => {
            let id = message_id(delivery);
            let seconds = now.as_unix_ms() / 1000;
            let body = delivery.body.as_str().to_owned();
            let signature = secret.as_deref().and_then(key).map(|key| signature(&key, &id, seconds, &body));
            let request = post(url).header("webhook-id", id).header("webhook-timestamp", seconds);
            let request = match signature {
                Some(signature) => request.header("webhook-signature", signature),
                None => request,
            };
            request.body(body)
        }
        // What a guest says is no markup: it might call everybody, or lead elsewhere.
        Receiver::Slack { url } => {
            let text = in_words(delivery).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            in_json(url, serde_json::json!({ "text": text }))
        }
        Receiver::Apprise { url } => {
            let text = in_words(delivery);
            let title = text.lines().next().unwrap_or_default();
            let kind = match delivery.body.to_value()["data"]["state"].as_str() {
                None => "info",
                Some("Completed") => "success",
                Some("AwaitingRetry" | "Cancelled") => "warning",
                Some(_) => "failure",
            };
            in_json(url, serde_json::json!({ "title": title, "body": text, "type": kind }))
        }
        Receiver::Email { .. } => unreachable!("e-mail is handed to the mailer"),
    }
}

/// What a receiver knows a message by, also when it is sent again.
pub(crate) fn message_id(delivery: &Delivery) -> String {
    format!("msg_{}_{}", delivery.created.as_micros(), delivery.seq)
}

/// Signs a message: HMAC-SHA256 over its id, the time and the body.
fn signature(key: &[u8], id: &str, seconds: u64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key may have any length");
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body.as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// A message in words.
fn in_words(delivery: &Delivery) -> String {
    let message = delivery.body.to_value();
    let data = &message["data"];
    if let Some(text) = data["text"].as_str() {
        return text.to_owned();
    }
    let word = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
    let failure = serde_json::from_value(data["failure"].clone()).map(|it| format!("\n{}", words(&it)));
    format!(
        "{} of {} is {}{}\n{}",
        word("name"),
        word("subject"),
        word("state"),
        failure.unwrap_or_default(),
        word("hint")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_standard_webhooks() {
        // The example of the specification's reference implementations.
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
