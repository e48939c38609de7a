//! The other side of the API, for the CLI.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use retake_core::trace::TraceParent;
use retake_core::value::Json;

use crate::error::{ApiError, ErrorView};
use crate::live::LiveEvent;
use crate::tls::Trust;
use crate::types::{
    AuditView, BulkCancel, BulkDone, BulkRemove, BulkRetry, ComponentView, ComponentsPrune, ComponentsPruned,
    DeliveryView, Deployed, DeploymentAsk, DeploymentChange, DeploymentView, FlowView, Limit, LimitView, Listed,
    NewToken, NodeChange, NodeView, NotificationView, PruneAsk, Pruned, ResultBody, Retried, RetryBody, Rule, RunAsk,
    RunsFilter, ScheduleAsk, ScheduleView, SecretAsk, SecretView, SessionCode, TokenAsk, TokenView, VariableAsk,
    VariableView,
};
use crate::wire::{InspectionView, LineView, RunView};
use crate::{Explanation, access::Role};

/// How long a server may take to let us in.
const CONNECT: Duration = Duration::from_secs(5);
/// How long it may take to answer, uploads and streams apart.
const ANSWER: Duration = Duration::from_secs(60);
/// How long an upload may take: it is compiled meanwhile.
const UPLOAD: Duration = Duration::from_secs(600);
/// How long a stream may be silent.
const SILENCE: Duration = Duration::from_secs(45);
/// Longest line of a stream.
const LINE_BYTES: usize = 8 << 20;

/// Asks a server.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server said why.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// Nobody answered, or nobody who speaks our language.
    #[error("`{base}` does not answer: {why}")]
    Unreachable {
        /// The server.
        base: String,
        /// Why.
        why: String,
    },
}

type Answer<T> = Result<T, ClientError>;

impl Client {
    /// Makes a client of the server at `base`, such as `http://127.0.0.1:7420`.
    pub fn new(base: &str, token: Option<String>, trust: &Trust) -> Answer<Self> {
        let unreachable = |why: String| ClientError::Unreachable { base: base.to_owned(), why };
        let url = Url::parse(base).map_err(|error| unreachable(format!("it is no address: {error}")))?;
        crate::tls::use_ring();
        let http = trust
            .told(reqwest::Client::builder())
            .map_err(unreachable)?
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| unreachable(error.to_string()))?;
        Ok(Self { http, base: url, token })
    }

    /// The address of the server.
    pub fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    fn unreachable(&self, why: impl Into<String>) -> ClientError {
        ClientError::Unreachable { base: self.base().to_owned(), why: why.into() }
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Answer<Response> {
        let response = request.send().await.map_err(|error| {
            // What it says itself names the address again; what is behind it says why.
            let mut why = &error as &dyn std::error::Error;
            while let Some(source) = why.source() {
                why = source;
            }
            self.unreachable(why.to_string())
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = response.bytes().await.unwrap_or_default();
        match serde_json::from_slice::<ErrorView>(&bytes) {
            Ok(ErrorView { error }) => Err(error.with_status(status.as_u16()).into()),
            Err(_) => Err(self.unreachable(format!("it is no Retake server: status {status}"))),
        }
    }

    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Answer<T> {
        let response = self.send(request.timeout(ANSWER)).await?;
        let bytes = response.bytes().await.map_err(|error| self.unreachable(error.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            self.unreachable(format!("its answer is not understood: {error}; is it of another version?"))
        })
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Answer<T> {
        self.ask(self.request(Method::GET, path)).await
    }

    async fn put<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize, dry_run: bool) -> Answer<T> {
        self.ask(self.request(Method::PUT, path).query(&[("dry_run", dry_run)]).json(body)).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Answer<T> {
        self.ask(self.request(Method::POST, path).json(body)).await
    }

    async fn delete(&self, path: &[&str]) -> Answer<()> {
        self.send(self.request(Method::DELETE, path).timeout(ANSWER)).await.map(drop)
    }

    /// Returns an address that opens the web UI, signed in as whoever asks here; it is good once, for a minute.
    pub async fn ui(&self) -> Answer<String> {
        if self.token.is_none() {
            return Ok(format!("{}/", self.base()));
        }
        let answer: SessionCode = self.ask(self.request(Method::POST, &["session", "code"])).await?;
        Ok(format!("{}/#code={}", self.base(), answer.code))
    }

    /// Uploads a component, or has it only inspected.
    pub async fn upload(&self, bytes: Vec<u8>, dry_run: bool) -> Answer<InspectionView> {
        let request = self.request(Method::POST, &["components"]).query(&[("dry_run", dry_run)]);
        let request = request.header("content-type", "application/wasm").body(bytes).timeout(UPLOAD);
        let response = self.send(request).await?;
        let bytes = response.bytes().await.map_err(|error| self.unreachable(error.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|error| self.unreachable(error.to_string()))
    }

    /// Components, the newest first.
    pub async fn components(&self) -> Answer<Vec<ComponentView>> {
        Ok(self.get::<Listed<ComponentView>>(&["components"]).await?.items)
    }

    /// A component by its digest or the beginning of it.
    pub async fn component(&self, digest: &str) -> Answer<ComponentView> {
        self.get(&["components", digest]).await
    }

    /// Removes components that nothing needs.
    pub async fn prune_components(&self, ask: &ComponentsPrune) -> Answer<ComponentsPruned> {
        self.post(&["components", "prune"], ask).await
    }

    /// Forgets a component.
    pub async fn remove_component(&self, digest: &str) -> Answer<()> {
        self.delete(&["components", digest]).await
    }

    /// Flows by name.
    pub async fn flows(&self) -> Answer<Vec<FlowView>> {
        Ok(self.get::<Listed<FlowView>>(&["flows"]).await?.items)
    }

    /// Deployments by name.
    pub async fn deployments(&self) -> Answer<Vec<DeploymentView>> {
        Ok(self.get::<Listed<DeploymentView>>(&["deployments"]).await?.items)
    }

    /// A deployment.
    pub async fn deployment(&self, flow: &str, name: &str) -> Answer<DeploymentView> {
        self.get(&["deployments", flow, name]).await
    }

    /// Whether there is such a deployment.
    pub async fn has_deployment(&self, flow: &str, name: &str) -> Answer<bool> {
        match self.deployment(flow, name).await {
            Ok(_) => Ok(true),
            Err(ClientError::Refused(refused)) if refused.status() == 404 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Creates or changes a deployment.
    pub async fn deploy(&self, flow: &str, name: &str, ask: &DeploymentAsk, dry_run: bool) -> Answer<Deployed> {
        self.put(&["deployments", flow, name], ask, dry_run).await
    }

    /// Changes a deployment that there is.
    pub async fn change_deployment(
        &self,
        flow: &str,
        name: &str,
        change: &DeploymentChange,
        dry_run: bool,
    ) -> Answer<Deployed> {
        let request = self.request(Method::PATCH, &["deployments", flow, name]);
        self.ask(request.query(&[("dry_run", dry_run)]).json(change)).await
    }

    /// Forgets a deployment.
    pub async fn remove_deployment(&self, flow: &str, name: &str) -> Answer<()> {
        self.delete(&["deployments", flow, name]).await
    }

    /// A page of runs.
    pub async fn runs(&self, filter: &RunsFilter) -> Answer<Listed<RunView>> {
        self.ask(self.request(Method::GET, &["flow-runs"]).query(filter)).await
    }

    /// Starts a run, as a part of a trace where there is one.
    pub async fn start(&self, ask: &RunAsk, trace: Option<TraceParent>) -> Answer<(RunView, bool)> {
        let mut request = self.request(Method::POST, &["flow-runs"]).json(ask).timeout(ANSWER);
        if let Some(trace) = trace {
            request = request.header("traceparent", trace.to_string());
        }
        let response = self.send(request).await?;
        let made = response.status() == reqwest::StatusCode::CREATED;
        let run = response.json().await.map_err(|error| self.unreachable(error.to_string()))?;
        Ok((run, made))
    }

    /// A run with everything that happened in it.
    pub async fn run(&self, run: &str) -> Answer<RunView> {
        self.get(&["flow-runs", run]).await
    }

    /// Where a run stands, in sentences.
    pub async fn explain(&self, run: &str) -> Answer<Explanation> {
        self.get(&["flow-runs", run, "explanation"]).await
    }

    /// A page of what a run logged, or with `tree` of what it and the runs below it did.
    pub async fn logs(&self, run: &str, after: &str, tree: bool) -> Answer<Listed<LineView>> {
        let tree = if tree { "true" } else { "false" };
        let request = self.request(Method::GET, &["flow-runs", run, "logs"]);
        self.ask(request.query(&[("after", after), ("tree", tree)])).await
    }

    /// Does to a run what has no options: `cancel`, `pause`, `resume` or `run-now`.
    pub async fn act(&self, run: &str, action: &str) -> Answer<RunView> {
        self.post(&["flow-runs", run, action], &serde_json::json!({})).await
    }

    /// Retries a run, or plans it.
    pub async fn retry(&self, run: &str, body: &RetryBody) -> Answer<Retried> {
        self.post(&["flow-runs", run, "retry"], body).await
    }

    /// Retries all that a filter finds.
    pub async fn bulk_retry(&self, body: &BulkRetry) -> Answer<BulkDone> {
        self.post(&["flow-runs", "bulk-retry"], body).await
    }

    /// Cancels all that a filter finds, or that are named.
    pub async fn bulk_cancel(&self, body: &BulkCancel) -> Answer<BulkDone> {
        self.post(&["flow-runs", "bulk-cancel"], body).await
    }

    /// Removes all that a filter finds, or that are named.
    pub async fn bulk_remove(&self, body: &BulkRemove) -> Answer<BulkDone> {
        self.post(&["flow-runs", "bulk-remove"], body).await
    }

    /// Sets the result of a call.
    pub async fn set_result(&self, run: &str, number: u32, body: &ResultBody) -> Answer<RunView> {
        self.post(&["flow-runs", run, "task-runs", &number.to_string(), "result"], body).await
    }

    /// Schedules by name.
    pub async fn schedules(&self) -> Answer<Vec<ScheduleView>> {
        Ok(self.get::<Listed<ScheduleView>>(&["schedules"]).await?.items)
    }

    /// A schedule.
    pub async fn schedule(&self, name: &str) -> Answer<ScheduleView> {
        self.get(&["schedules", name]).await
    }

    /// Creates or changes a schedule.
    pub async fn put_schedule(&self, name: &str, ask: &ScheduleAsk, dry_run: bool) -> Answer<ScheduleView> {
        self.put(&["schedules", name], ask, dry_run).await
    }

    /// Forgets a schedule.
    pub async fn remove_schedule(&self, name: &str) -> Answer<()> {
        self.delete(&["schedules", name]).await
    }

    /// Removes old runs of a deployment, or counts them.
    pub async fn prune(&self, flow: &str, name: &str, ask: &PruneAsk) -> Answer<Pruned> {
        self.ask(self.request(Method::POST, &["deployments", flow, name, "prune"]).json(ask)).await
    }

    /// Removes a run.
    pub async fn remove_run(&self, run: &str) -> Answer<()> {
        self.delete(&["flow-runs", run]).await
    }

    /// Returns the secrets, without their values.
    pub async fn secrets(&self) -> Answer<Vec<SecretView>> {
        Ok(self.get::<Listed<SecretView>>(&["secrets"]).await?.items)
    }

    /// Sets a secret.
    pub async fn put_secret(&self, name: &str, value: String) -> Answer<SecretView> {
        self.ask(self.request(Method::PUT, &["secrets", name]).json(&SecretAsk { value })).await
    }

    /// Returns the variables.
    pub async fn variables(&self) -> Answer<Vec<VariableView>> {
        Ok(self.get::<Listed<VariableView>>(&["variables"]).await?.items)
    }

    /// Returns a variable.
    pub async fn variable(&self, name: &str) -> Answer<VariableView> {
        self.get(&["variables", name]).await
    }

    /// Sets a variable.
    pub async fn put_variable(&self, name: &str, value: Json) -> Answer<VariableView> {
        self.ask(self.request(Method::PUT, &["variables", name]).json(&VariableAsk { value })).await
    }

    /// Forgets a secret or a variable, of `secrets` or of `variables`.
    pub async fn remove_value(&self, of: &str, name: &str) -> Answer<()> {
        self.delete(&[of, name]).await
    }

    /// Returns what has a limit, of `queues` or of `task-tags`.
    pub async fn limits(&self, of: &str) -> Answer<Vec<LimitView>> {
        Ok(self.get::<Listed<LimitView>>(&[of]).await?.items)
    }

    /// Limits one of `queues` or of `task-tags`.
    pub async fn put_limit(&self, of: &str, name: &str, limit: &Limit) -> Answer<LimitView> {
        self.ask(self.request(Method::PUT, &[of, name]).json(limit)).await
    }

    /// The processes that work on runs.
    pub async fn nodes(&self) -> Answer<Vec<NodeView>> {
        Ok(self.get::<Listed<NodeView>>(&["nodes"]).await?.items)
    }

    /// Drains a node, or lets it go on.
    pub async fn change_node(&self, name: &str, draining: bool) -> Answer<NodeView> {
        self.ask(self.request(Method::PATCH, &["nodes", name]).json(&NodeChange { draining })).await
    }

    /// Lifts a limit of `queues` or of `task-tags`.
    pub async fn remove_limit(&self, of: &str, name: &str) -> Answer<()> {
        self.delete(&[of, name]).await
    }

    /// Notifications by name.
    pub async fn notifications(&self) -> Answer<Vec<NotificationView>> {
        Ok(self.get::<Listed<NotificationView>>(&["notifications"]).await?.items)
    }

    /// A notification.
    pub async fn notification(&self, name: &str) -> Answer<NotificationView> {
        self.get(&["notifications", name]).await
    }

    /// Creates or changes a notification.
    pub async fn put_notification(&self, name: &str, rule: &Rule) -> Answer<NotificationView> {
        self.ask(self.request(Method::PUT, &["notifications", name]).json(rule)).await
    }

    /// Forgets a notification.
    pub async fn remove_notification(&self, name: &str) -> Answer<()> {
        self.delete(&["notifications", name]).await
    }

    /// Has a test message sent.
    pub async fn test_notification(&self, name: &str) -> Answer<()> {
        self.send(self.request(Method::POST, &["notifications", name, "test"]).timeout(ANSWER)).await.map(drop)
    }

    /// Messages and what became of them, the newest first.
    pub async fn deliveries(&self, rule: Option<&str>, limit: usize) -> Answer<Listed<DeliveryView>> {
        let request = self.request(Method::GET, &["deliveries"]).query(&[("limit", limit)]);
        self.ask(match rule {
            Some(rule) => request.query(&[("rule", rule)]),
            None => request,
        })
        .await
    }

    /// Tokens by name.
    pub async fn tokens(&self) -> Answer<Vec<TokenView>> {
        Ok(self.get::<Listed<TokenView>>(&["tokens"]).await?.items)
    }

    /// Makes a token.
    pub async fn make_token(
        &self,
        name: &str,
        role: Role,
        expires: Option<retake_core::time::Timestamp>,
    ) -> Answer<NewToken> {
        self.ask(self.request(Method::POST, &["tokens", name]).json(&TokenAsk { role, expires })).await
    }

    /// Revokes a token.
    pub async fn revoke_token(&self, name: &str) -> Answer<()> {
        self.delete(&["tokens", name]).await
    }

    /// Who did what, the newest first.
    pub async fn audit(&self, subject: Option<&str>, limit: usize) -> Answer<Listed<AuditView>> {
        let request = self.request(Method::GET, &["audit"]).query(&[("limit", limit)]);
        self.ask(match subject {
            Some(subject) => request.query(&[("subject", subject)]),
            None => request,
        })
        .await
    }

    async fn stream(&self, path: &[&str], last_id: Option<&str>) -> Answer<Sse> {
        let mut request = self.request(Method::GET, path);
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = self.send(request).await?;
        Ok(Sse { bytes: response.bytes_stream().boxed(), rest: Vec::new(), events: VecDeque::new() })
    }

    /// What happens to a run and its children: what is remembered, or what comes after the event with this id.
    pub async fn live(&self, run: &str, after: Option<String>) -> Answer<LiveStream> {
        let sse = self.stream(&["flow-runs", run, "events", "stream"], after.as_deref()).await?;
        Ok(LiveStream { over: false, client: self.clone(), run: run.to_owned(), sse, last: after })
    }

    /// What a run logs, from its first line on.
    pub async fn follow_logs(&self, run: &str) -> Answer<LogStream> {
        let sse = self.stream(&["flow-runs", run, "logs", "stream"], None).await?;
        Ok(LogStream { client: self.clone(), run: run.to_owned(), sse, last: None })
    }
}

/// Server-sent events.
struct Sse {
    bytes: BoxStream<'static, reqwest::Result<Bytes>>,
    rest: Vec<u8>,
    events: VecDeque<Sent>,
}

#[derive(Default, Clone)]
struct Sent {
    name: String,
    id: Option<String>,
    data: String,
}

impl Sse {
    /// Returns the next event; `None` when the connection is over.
    async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            // The server gives signs of life: without any it is gone, or the way to it.
            let chunk = tokio::time::timeout(SILENCE, self.bytes.next()).await.ok()??.ok()?;
            self.rest.extend_from_slice(&chunk);
            if self.rest.len() > LINE_BYTES {
                return None;
            }
            // An event ends with an empty line.
            while let Some(end) = self.rest.windows(2).position(|it| it == b"\n\n") {
                let event: Vec<u8> = self.rest.drain(..end + 2).collect();
                self.events.extend(read_event(&String::from_utf8_lossy(&event)));
            }
        }
    }
}

fn read_event(text: &str) -> Option<Sent> {
    let mut event = Sent::default();
    let mut any = false;
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => event.name = value.to_owned(),
            "id" => event.id = Some(value.to_owned()),
            "data" => {
                if any {
                    event.data.push('\n');
                }
                any = true;
                event.data.push_str(value);
            }
            // A comment is a sign of life.
            _ => {}
        }
    }
    any.then_some(event)
}

/// How long to wait before a connection that was lost is made again.
const AGAIN: Duration = Duration::from_millis(500);

/// What happens to a run. A connection that is lost is made again.
pub struct LiveStream {
    /// The run has ended, and nothing more is told.
    over: bool,
    client: Client,
    run: String,
    sse: Sse,
    last: Option<String>,
}

impl LiveStream {
    /// Returns what happened next; `None` where something may have been missed or the run has ended, so that whoever
    /// watches looks again.
    pub async fn next(&mut self) -> Answer<Option<LiveEvent>> {
        if self.over {
            return std::future::pending().await;
        }
        loop {
            let Some(event) = self.sse.next().await else {
                tokio::time::sleep(AGAIN).await;
                let path = ["flow-runs", &self.run, "events", "stream"];
                self.sse = self.client.stream(&path, self.last.as_deref()).await?;
                return Ok(None);
            };
            if event.name == "end" {
                self.over = true;
                return Ok(None);
            }
            if event.name == "resync" {
                self.last = None;
                return Ok(None);
            }
            self.last = event.id.or(self.last.take());
            if let Ok(event) = serde_json::from_str(&event.data) {
                return Ok(Some(event));
            }
        }
    }
}

/// What a run logs. A connection that is lost is made again.
pub struct LogStream {
    client: Client,
    run: String,
    sse: Sse,
    last: Option<String>,
}

impl LogStream {
    /// Returns the next line; `None` when the run has ended and nothing more comes.
    pub async fn next(&mut self) -> Answer<Option<LineView>> {
        loop {
            let Some(event) = self.sse.next().await else {
                tokio::time::sleep(AGAIN).await;
                let path = ["flow-runs", &self.run, "logs", "stream"];
                self.sse = self.client.stream(&path, self.last.as_deref()).await?;
                continue;
            };
            if event.name == "end" {
                return Ok(None);
            }
            self.last = event.id.or(self.last.take());
            if let Ok(line) = serde_json::from_str(&event.data) {
                return Ok(Some(line));
            }
        }
    }
}
