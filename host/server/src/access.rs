//! Who may ask for what: tokens, roles, and which role each route needs.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use retake_core::id::ContentDigest;
use retake_core::time::Timestamp;
use retake_core::value::Json;
use retake_engine::Entropy;
use retake_store::{Definition, Store, StoreError, kind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a token may ask for; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// To look.
    Viewer,
    /// To start, retry, cancel and pause runs.
    Operator,
    /// To upload, deploy and schedule.
    Deployer,
    /// Everything: tokens, notifications, limits, secrets.
    Admin,
}

impl Role {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Deployer => "deployer",
            Self::Admin => "admin",
        }
    }
}

/// What is kept of a token: never the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenRecord {
    pub(crate) role: Role,
    /// SHA-256 of the token in hexadecimal. Tokens are 256 bits of chance, so nothing slower is needed.
    pub(crate) hash: String,
    pub(crate) created: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<Timestamp>,
    /// The token that somebody signed in with, where this is a browser's session. It ends with that token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session_of: Option<String>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Actor {
    /// Of the token, also where a session of it asks.
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) expires: Option<Timestamp>,
    /// Of its token.
    hash: String,
    session: Option<String>,
}

impl Actor {
    /// Whether no token was asked for.
    pub(crate) fn is_nobody(&self) -> bool {
        self.hash.is_empty()
    }

    /// The name of the session, where one asks.
    pub(crate) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    pub(crate) fn is_session(&self) -> bool {
        self.session.is_some()
    }

    /// Whoever asks for what is open to anybody.
    pub(crate) fn nobody() -> Self {
        Self { name: "nobody".into(), role: Role::Viewer, expires: None, hash: String::new(), session: None }
    }
}

/// The tokens that are known, by their hash. Kept in the store; looked up here on each request.
#[derive(Debug, Default)]
pub struct Tokens {
    known: RwLock<HashMap<String, (String, TokenRecord)>>,
    changing: tokio::sync::Mutex<()>,
    /// Told when other tokens are known.
    changed: tokio::sync::watch::Sender<()>,
    /// Codes that are good for signing in once, by their hash.
    codes: Mutex<HashMap<String, (Actor, Timestamp)>>,
}

/// How long a code is good for signing in.
const CODE_LASTS: Duration = Duration::from_secs(60);
/// Codes of a token at once: one more ends the oldest of them.
const CODES: usize = 10;

impl Tokens {
    /// Reads the tokens that are kept.
    pub async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let tokens = Self::default();
        tokens.refresh(store).await?;
        Ok(tokens)
    }

    pub(crate) async fn refresh(&self, store: &dyn Store) -> Result<(), StoreError> {
        let kept = store.definitions(kind::TOKEN).await?;
        let all: Vec<(String, TokenRecord)> =
            kept.into_iter().filter_map(|it| Some((record(&it)?, it.name))).map(|(it, name)| (name, it)).collect();
        let names: HashSet<&String> = all.iter().map(|(name, _)| name).collect();
        let lasts = |it: &TokenRecord| it.session_of.as_ref().is_none_or(|it| names.contains(it));
        let known =
            all.iter().filter(|(_, it)| lasts(it)).map(|(name, it)| (it.hash.clone(), (name.clone(), it.clone())));
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known.collect();
        self.changed.send_replace(());
        Ok(())
    }

    /// What is told when other tokens are known: for answers that have no end.
    pub(crate) fn changes(&self) -> tokio::sync::watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Returns who has this token. It is found by its hash, so that the time of the search tells nothing about it.
    pub(crate) fn actor(&self, token: &str, now: Timestamp) -> Option<Actor> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let (name, record) = known.get(&hash(token))?;
        if record.expires.is_some_and(|it| it <= now) {
            return None;
        }
        let (session, of) = match &record.session_of {
            Some(of) => (Some(name.clone()), of),
            None => (None, name),
        };
        Some(Actor { name: of.clone(), role: record.role, expires: record.expires, hash: record.hash.clone(), session })
    }

    /// Draws a code with which a browser may sign in once, as whoever asks. It is kept nowhere but here.
    pub(crate) fn code(&self, actor: &Actor, entropy: &dyn Entropy, now: Timestamp) -> (String, Timestamp) {
        let (code, until) = (format!("rtc_{}", chance(entropy)), now + CODE_LASTS);
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|_, (_, until)| *until > now);
        let own = || codes.iter().filter(|(_, (of, _))| of.name == actor.name);
        if own().count() >= CODES {
            let oldest = own().min_by_key(|(_, (_, until))| *until).map(|(hash, _)| hash.clone());
            oldest.and_then(|it| codes.remove(&it));
        }
        codes.insert(hash(&code), (actor.clone(), until));
        (code, until)
    }

    /// Returns who has a code, which is not good any more then.
    pub(crate) fn take_code(&self, code: &str, now: Timestamp) -> Option<Actor> {
        let (actor, until) = self.codes.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash(code))?;
        (until > now && self.still(&actor, now)).then_some(actor)
    }

    /// Returns the sessions that are over, of whichever token, and the oldest of this one for as long as there are not
    /// fewer than `most`.
    pub(crate) fn sessions_to_end(&self, token: &str, most: usize, now: Timestamp) -> Vec<String> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let sessions = known.values().filter(|(_, it)| it.session_of.is_some());
        let (mut over, open): (Vec<_>, Vec<_>) = sessions.partition(|(_, it)| it.expires.is_some_and(|it| it <= now));
        let mut own: Vec<_> = open.into_iter().filter(|(_, it)| it.session_of.as_deref() == Some(token)).collect();
        own.sort_unstable_by_key(|(_, it)| std::cmp::Reverse(it.created));
        over.extend(own.into_iter().skip(most.saturating_sub(1)));
        over.into_iter().map(|(name, _)| name.clone()).collect()
    }

    /// Returns the sessions of a token.
    pub(crate) fn sessions(&self, token: &str) -> Vec<String> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let of = known.values().filter(|(_, it)| it.session_of.as_deref() == Some(token));
        of.map(|(name, _)| name.clone()).collect()
    }

    /// Whether what this token may is still so: for answers that have no end.
    pub(crate) fn still(&self, actor: &Actor, now: Timestamp) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&actor.hash).is_some_and(|(_, record)| record.expires.is_none_or(|it| it > now))
    }

    /// Lets one change at a time happen to the tokens, so that what is known here is what is kept.
    pub(crate) async fn change(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// Forgets a token and its sessions here, before they are forgotten in the store.
    pub(crate) fn forget(&self, name: &str) {
        let is = |known: &String, it: &TokenRecord| known == name || it.session_of.as_deref() == Some(name);
        self.known.write().unwrap_or_else(PoisonError::into_inner).retain(|_, (known, it)| !is(known, it));
        self.changed.send_replace(());
    }

    /// Lends an admin's token to the process that serves itself: it is not kept, and counts until the next change of the
    /// tokens that are.
    pub fn lend(&self, entropy: &dyn Entropy, now: Timestamp) -> String {
        let token = token(entropy);
        let record =
            TokenRecord { role: Role::Admin, hash: hash(&token), created: now, expires: None, session_of: None };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(record.hash.clone(), ("local".to_owned(), record));
        token
    }

    fn is_empty(&self) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

pub(crate) fn record(definition: &Definition) -> Option<TokenRecord> {
    serde_json::from_str(definition.body.as_str()).ok()
}

fn hash(token: &str) -> String {
    ContentDigest::of(token.as_bytes()).to_string()
}

/// Draws 256 bits of chance, as text.
fn chance(entropy: &dyn Entropy) -> String {
    let secret: Vec<u8> = (0..4).flat_map(|_| entropy.next().to_be_bytes()).collect();
    URL_SAFE_NO_PAD.encode(secret)
}

/// Draws a token.
fn token(entropy: &dyn Entropy) -> String {
    format!("rtk_{}", chance(entropy))
}

/// Makes a token and keeps its hash. What is returned is shown once.
pub(crate) async fn make(
    store: &dyn Store,
    entropy: &dyn Entropy,
    name: &str,
    record: impl FnOnce(String) -> TokenRecord,
) -> Result<String, StoreError> {
    let (token, definition) = made(entropy, name, record);
    store.define(definition, Some(0)).await?;
    Ok(token)
}

fn made(entropy: &dyn Entropy, name: &str, record: impl FnOnce(String) -> TokenRecord) -> (String, Definition) {
    let token = token(entropy);
    let record = record(hash(&token));
    let (body, updated) = (Json::of(&record), record.created);
    (token, Definition { kind: kind::TOKEN, name: name.to_owned(), body, component: None, version: 0, updated })
}

/// The token that a new server begins with.
#[derive(Debug)]
pub struct FirstToken(pub String);

/// Makes the first token, of an admin, if there is none at all. It is handed over before it counts: one that counts and
/// that nobody has would lock everybody out.
pub async fn first_token<E: From<StoreError>>(
    store: &dyn Store,
    tokens: &Tokens,
    entropy: &dyn Entropy,
    now: Timestamp,
    keep: impl FnOnce(&str) -> Result<(), E>,
) -> Result<Option<FirstToken>, E> {
    if !tokens.is_empty() {
        return Ok(None);
    }
    let token = admin_token(store, entropy, now, "admin", keep).await?;
    tokens.refresh(store).await?;
    Ok(Some(FirstToken(token)))
}

/// Makes a token of an admin beside those that there are, as for a machine that a backup was brought back to. It is handed
/// over before it counts.
pub async fn new_token<E: From<StoreError>>(
    store: &dyn Store,
    entropy: &dyn Entropy,
    now: Timestamp,
    keep: impl FnOnce(&str) -> Result<(), E>,
) -> Result<(), E> {
    let day = now.to_string();
    let name = format!("restored-{}", &day[..19].replace(':', "-"));
    admin_token(store, entropy, now, &name, keep).await.map(drop)
}

/// Makes a token of an admin. It is handed over before it counts: one that counts and that nobody has would be of no use
/// to anybody.
async fn admin_token<E: From<StoreError>>(
    store: &dyn Store,
    entropy: &dyn Entropy,
    now: Timestamp,
    name: &str,
    keep: impl FnOnce(&str) -> Result<(), E>,
) -> Result<String, E> {
    let record = |hash| TokenRecord { role: Role::Admin, hash, created: now, expires: None, session_of: None };
    let (token, definition) = made(entropy, name, record);
    keep(&token)?;
    store.define(definition, Some(0)).await?;
    Ok(token)
}

/// What each route needs: `None` is open to anybody. A route that is not listed answers nobody, and fails a test.
pub(crate) const ROUTES: &[(&str, &str, Option<Role>)] = &[
    ("GET", "/healthz", None),
    ("GET", "/readyz", None),
    ("GET", "/docs", None),
    ("GET", "/docs/", None),
    ("GET", "/docs/{file}", None),
    ("GET", "/", None),
    ("GET", "/ui/{*file}", None),
    ("GET", "/metrics", Some(Role::Viewer)),
    ("GET", "/api/v1/openapi.json", None),
    ("POST", "/api/v1/session", None),
    ("POST", "/api/v1/session/code", Some(Role::Viewer)),
    ("GET", "/api/v1/session", Some(Role::Viewer)),
    ("DELETE", "/api/v1/session", Some(Role::Viewer)),
    ("GET", "/api/v1/version", Some(Role::Viewer)),
    ("GET", "/api/v1/settings", Some(Role::Viewer)),
    ("GET", "/api/v1/components", Some(Role::Viewer)),
    ("POST", "/api/v1/components", Some(Role::Deployer)),
    ("GET", "/api/v1/components/{digest}", Some(Role::Viewer)),
    ("DELETE", "/api/v1/components/{digest}", Some(Role::Deployer)),
    ("POST", "/api/v1/components/prune", Some(Role::Deployer)),
    ("GET", "/api/v1/flows", Some(Role::Viewer)),
    ("GET", "/api/v1/deployments", Some(Role::Viewer)),
    ("GET", "/api/v1/deployments/{flow}/{name}", Some(Role::Viewer)),
    ("PUT", "/api/v1/deployments/{flow}/{name}", Some(Role::Deployer)),
    ("PATCH", "/api/v1/deployments/{flow}/{name}", Some(Role::Deployer)),
    ("DELETE", "/api/v1/deployments/{flow}/{name}", Some(Role::Deployer)),
    ("POST", "/api/v1/deployments/{flow}/{name}/prune", Some(Role::Deployer)),
    ("GET", "/api/v1/flow-runs", Some(Role::Viewer)),
    ("GET", "/api/v1/flow-runs/counts", Some(Role::Viewer)),
    ("POST", "/api/v1/flow-runs", Some(Role::Operator)),
    ("POST", "/api/v1/flow-runs/bulk-retry", Some(Role::Operator)),
    ("POST", "/api/v1/flow-runs/bulk-cancel", Some(Role::Operator)),
    ("POST", "/api/v1/flow-runs/bulk-remove", Some(Role::Deployer)),
    ("GET", "/api/v1/flow-runs/{run}", Some(Role::Viewer)),
    ("DELETE", "/api/v1/flow-runs/{run}", Some(Role::Deployer)),
    ("GET", "/api/v1/flow-runs/{run}/explanation", Some(Role::Viewer)),
    ("GET", "/api/v1/flow-runs/{run}/logs", Some(Role::Viewer)),
    ("GET", "/api/v1/flow-runs/{run}/logs/stream", Some(Role::Viewer)),
    ("GET", "/api/v1/flow-runs/{run}/events/stream", Some(Role::Viewer)),
    ("POST", "/api/v1/flow-runs/{run}/cancel", Some(Role::Operator)),
    ("POST", "/api/v1/flow-runs/{run}/pause", Some(Role::Operator)),
    ("POST", "/api/v1/flow-runs/{run}/resume", Some(Role::Operator)),
    ("POST", "/api/v1/flow-runs/{run}/run-now", Some(Role::Operator)),
    ("POST", "/api/v1/flow-runs/{run}/retry", Some(Role::Operator)),
    ("GET", "/api/v1/flow-runs/{run}/task-runs/{number}", Some(Role::Viewer)),
    ("POST", "/api/v1/flow-runs/{run}/task-runs/{number}/result", Some(Role::Operator)),
    ("GET", "/api/v1/events/stream", Some(Role::Viewer)),
    ("GET", "/api/v1/schedules", Some(Role::Viewer)),
    ("GET", "/api/v1/schedules/{name}", Some(Role::Viewer)),
    ("PUT", "/api/v1/schedules/{name}", Some(Role::Deployer)),
    ("DELETE", "/api/v1/schedules/{name}", Some(Role::Deployer)),
    ("GET", "/api/v1/nodes", Some(Role::Viewer)),
    ("PATCH", "/api/v1/nodes/{name}", Some(Role::Admin)),
    ("GET", "/api/v1/queues", Some(Role::Viewer)),
    ("PUT", "/api/v1/queues/{name}", Some(Role::Admin)),
    ("DELETE", "/api/v1/queues/{name}", Some(Role::Admin)),
    ("GET", "/api/v1/task-tags", Some(Role::Viewer)),
    ("PUT", "/api/v1/task-tags/{name}", Some(Role::Admin)),
    ("DELETE", "/api/v1/task-tags/{name}", Some(Role::Admin)),
    ("GET", "/api/v1/secrets", Some(Role::Viewer)),
    ("PUT", "/api/v1/secrets/{name}", Some(Role::Admin)),
    ("DELETE", "/api/v1/secrets/{name}", Some(Role::Admin)),
    ("GET", "/api/v1/variables", Some(Role::Viewer)),
    ("GET", "/api/v1/variables/{name}", Some(Role::Viewer)),
    ("PUT", "/api/v1/variables/{name}", Some(Role::Deployer)),
    ("DELETE", "/api/v1/variables/{name}", Some(Role::Deployer)),
    ("GET", "/api/v1/notifications", Some(Role::Viewer)),
    ("GET", "/api/v1/notifications/{name}", Some(Role::Viewer)),
    ("PUT", "/api/v1/notifications/{name}", Some(Role::Admin)),
    ("DELETE", "/api/v1/notifications/{name}", Some(Role::Admin)),
    ("POST", "/api/v1/notifications/{name}/test", Some(Role::Admin)),
    ("GET", "/api/v1/deliveries", Some(Role::Viewer)),
    ("GET", "/api/v1/tokens", Some(Role::Admin)),
    ("POST", "/api/v1/tokens/{name}", Some(Role::Admin)),
    ("DELETE", "/api/v1/tokens/{name}", Some(Role::Admin)),
    ("GET", "/api/v1/audit", Some(Role::Admin)),
];

/// Returns what a route needs; `None` for one that is not listed.
pub(crate) fn needs(method: &Method, route: &str) -> Option<Option<Role>> {
    // A server answers HEAD wherever it answers GET.
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    ROUTES.iter().find(|(m, path, _)| *m == method && *path == route).map(|(_, _, role)| *role)
}
