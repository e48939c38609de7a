//! The host as a service: the HTTP API, what is told live, schedules and notifications.
//!
//! Nothing is decided here. A request is checked, the engine or the store is asked, and what they answer is shown as
//! JSON ([`wire`]).

mod access;
mod api;
mod bounds;
mod client;
pub mod code;
mod doing;
mod egress;
mod error;
mod explain;
pub mod lines;
mod live;
mod mail;
mod metrics;
mod notify;
mod pace;
mod places;
mod retention;
mod scheduler;
mod schema;
mod serve;
mod spans;
mod tell;
pub mod text;
mod tls;
mod vault;
pub mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use retake_core::port::Inspector;
use retake_core::time::{Clock, Timestamp};
use retake_engine::{Engine, Entropy};
use retake_store::{Store, StoreError};

pub use access::{FirstToken, Role, Tokens, first_token, new_token};
pub use api::{openapi, router, types};
pub use bounds::Bounds;
pub use client::{Client, ClientError, LiveStream, LogStream};
pub use doing::Doing;
pub use error::{ApiError, ErrorView, hint_of};
pub use explain::Explanation;
pub use live::{Happened, Live, LiveEvent};
pub use mail::{MailError, Mailer};
pub use notify::work as send_notifications;
pub use retention::work as remove_old_runs;
pub use scheduler::work as make_scheduled_runs;
pub use serve::{Bound, serve};
pub use spans::{Spans, SpansError};
pub use tell::tell_engine;
pub use tls::{Tls, TlsError, Trust};
pub use vault::{Vault, VaultError};

/// What the API asks.
#[derive(Clone)]
pub struct Host {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// What works on runs.
    pub engine: Engine,
    /// What looks into uploads.
    pub inspector: Arc<dyn Inspector>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where tokens come from.
    pub entropy: Arc<dyn Entropy>,
    /// What is told live.
    pub live: Arc<Live>,
    /// Who may ask for what.
    pub tokens: Arc<Tokens>,
    /// What is being done for those who asked.
    pub doing: Arc<Doing>,
    /// How long runs are kept after they have ended, where their deployment does not say; `None` for ever.
    pub retention: Option<Duration>,
    /// What seals secrets.
    pub vault: Arc<Vault>,
    /// How much may be asked for.
    pub bounds: Arc<Bounds>,
    /// What it is called, and what it works on.
    pub node: Node,
    /// A directory for uploads while they come.
    pub uploads: PathBuf,
    /// Who takes e-mail on its way, if there is anybody.
    pub mailer: Option<Mailer>,
}

/// A process that works on runs.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Since when it works.
    pub since: Timestamp,
    /// The queues whose runs it works on; empty for all.
    pub queues: Vec<String>,
}

impl Host {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Tells the engine what is defined, after it was changed.
    pub(crate) async fn tell_engine(&self) -> Result<(), StoreError> {
        tell_engine(self.store.as_ref(), &self.engine, &self.vault).await
    }
}

/// How the API is served.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Names by which the server may be called, besides those of loopback (A17).
    pub hosts: Vec<String>,
    /// Whether it is spoken to over TLS, so that browsers are told to insist on it.
    pub tls: bool,
    /// What was typed, or counts where nothing was, for whoever looks.
    pub in_force: Vec<types::Setting>,
}
