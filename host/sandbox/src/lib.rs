//! Fresh sandboxes: the only crate that names wasmtime.
//!
//! Each attempt of a flow or a task is a new instance of its component in a store of its own, closed by default:
//! no files, no environment, no arguments, no sockets, bounded memory, processor time, wall clock and output.
//! Nothing here decides about retries or knows of a database; see `retake_core::port` for what is asked and answered.

mod abi;
mod attempt;
mod cache;
mod compile;
mod engine;
mod hidden;
mod inspect;
mod limits;
mod logs;
mod prescan;
mod trap;
mod wasi;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use retake_core::failure::{Failure, code};
use retake_core::id::ContentDigest;
use retake_core::port::{
    Attempt, BoxFuture, FlowHost, Inspected, Inspector, Logs, Report, Runner, Sandboxes, UploadRefused,
};
use retake_core::time::Clock;
use tokio::sync::OnceCell;

pub use compile::{Compiler, compile};
pub use inspect::{Inspection, Refusal};
pub use prescan::Used;

/// Where the bytes of components come from.
pub trait Source: Send + Sync {
    /// Returns the bytes of a component, checked against its digest, or says why not.
    fn bytes(&self, digest: ContentDigest) -> BoxFuture<'_, Result<Vec<u8>, String>>;
}

/// How a sandbox host is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Most sandboxes alive at once; at most 8,000, because each costs mappings that the kernel counts.
    pub slots: u32,
    /// Where compiled code is kept between starts; `None` keeps none.
    pub cache: Option<PathBuf>,
    /// What compiles large components into that directory; `None` compiles all of them here.
    pub compiler: Option<Compiler>,
}

impl Settings {
    /// Room for all slots of an engine with its default settings.
    pub const SLOTS: u32 = 4000;
}

/// Makes fresh sandboxes.
pub struct Sandbox {
    engine: wasmtime::Engine,
    ticker: engine::Ticker,
    linker: wasmtime::component::Linker<attempt::State>,
    cache: Option<cache::Cache>,
    source: Arc<dyn Source>,
    clock: Arc<dyn Clock>,
    loaded: Mutex<HashMap<ContentDigest, Arc<OnceCell<Arc<abi::Loaded>>>>>,
    made: Arc<Made>,
    compiler: Option<Compiler>,
}

/// Counts sandboxes, and how long it took to make them.
#[derive(Debug, Default)]
pub(crate) struct Made {
    count: AtomicU64,
    nanos: AtomicU64,
}

impl Made {
    pub(crate) fn one(&self, began: Instant) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }
}

/// The sandbox host could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox host could not be set up: {0}")]
pub struct SetupError(String);

impl Sandbox {
    /// Reserves room for the sandboxes and starts the thread that counts their time.
    pub fn new(settings: &Settings, source: Arc<dyn Source>, clock: Arc<dyn Clock>) -> Result<Self, SetupError> {
        let setup = |error: wasmtime::Error| SetupError(format!("{error:#}"));
        let engine = wasmtime::Engine::new(&engine::config(settings.slots.min(8000))).map_err(setup)?;
        let linker = abi::linker(&engine).map_err(setup)?;
        let cache = match &settings.cache {
            Some(dir) => Some(cache::Cache::open(dir).map_err(|it| SetupError(format!("`{}`: {it}", dir.display())))?),
            None => None,
        };
        let ticker = engine::Ticker::start(&engine).map_err(|it| SetupError(it.to_string()))?;
        Ok(Self {
            engine,
            ticker,
            linker,
            cache,
            source,
            clock,
            loaded: Mutex::default(),
            made: Arc::default(),
            compiler: settings.compiler.clone(),
        })
    }

    /// Returns the component ready for instances; compiled now, read from the cache, or at hand.
    async fn load(&self, digest: ContentDigest) -> Result<Arc<abi::Loaded>, Failure> {
        let cell = {
            let mut loaded = self.loaded.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match loaded.get(&digest) {
                Some(cell) => cell.clone(),
                None => loaded.entry(digest).or_default().clone(),
            }
        };
        if let Some(loaded) = cell.get() {
            return Ok(loaded.clone());
        }
        let internal = |text: String| Failure::new(code::INTERNAL, text);
        let unloadable = |it: abi::Unloadable| match it {
            abi::Unloadable::Link(why) | abi::Unloadable::NoFlow(why) => Failure::new(code::INTERNAL, why),
        };
        cell.get_or_try_init(|| async {
            if let Some(component) = self.cache.as_ref().and_then(|it| it.load(&self.engine, digest)) {
                return self.link(&component).map_err(unloadable).map(Arc::new);
            }
            let bytes = self.source.bytes(digest).await.map_err(internal)?;
            let component = self.compile(digest, bytes).await.map_err(internal)?;
            self.link(&component).map_err(unloadable).map(Arc::new)
        })
        .await
        .cloned()
    }

    /// Compiles a component off the runtime's threads and keeps the code.
    async fn compile(&self, digest: ContentDigest, bytes: Vec<u8>) -> Result<wasmtime::component::Component, String> {
        let (engine, cache) = (self.engine.clone(), self.cache.clone());
        let compiler = self.compiler.clone().filter(|_| bytes.len() > compile::SMALL_BYTES);
        let compiled = tokio::task::spawn_blocking(move || {
            if let Some((compiler, cache)) = compiler.zip(cache.as_ref())
                && let Some(done) = compiler.run(cache.dir(), &bytes)
            {
                done.map_err(wasmtime::Error::msg)?;
                let made = cache.load(&engine, digest);
                return made.ok_or_else(|| wasmtime::Error::msg("what was compiled is not there"));
            }
            let component = wasmtime::component::Component::from_binary(&engine, &bytes)?;
            if let Some(cache) = cache
                && let Err(error) = cache.keep(&engine, digest, &component)
            {
                tracing::warn!(%digest, %error, "compiled code could not be kept; the next start compiles again");
            }
            Ok::<_, wasmtime::Error>(component)
        });
        let component = compiled.await.map_err(|it| format!("compiling panicked: {it}"))?;
        component.map_err(|it| format!("{it:#}"))
    }

    fn link(&self, component: &wasmtime::component::Component) -> Result<abi::Loaded, abi::Unloadable> {
        abi::Loaded::new(&self.engine, &self.linker, component, self.made.clone())
    }
}

impl Inspector for Sandbox {
    fn inspect(&self, digest: ContentDigest, bytes: Vec<u8>) -> BoxFuture<'_, Result<Inspected, UploadRefused>> {
        Box::pin(async move {
            let found = self.inspect_as(digest, bytes).await;
            let Inspection { digest, bytes, info, imports, .. } = found.map_err(UploadRefused::from)?;
            Ok(Inspected { digest, bytes, info, imports })
        })
    }
}

impl From<Refusal> for UploadRefused {
    fn from(refusal: Refusal) -> Self {
        let details = match &refusal {
            Refusal::Describe(failure) => failure.details.as_ref().map(|it| it.as_str().to_owned()),
            _ => None,
        };
        Self { message: refusal.to_string(), details, hint: refusal.hint().to_owned() }
    }
}

impl Runner for Sandbox {
    fn forget(&self, component: ContentDigest) {
        self.loaded.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&component);
        self.cache.iter().for_each(|it| it.forget(component));
    }

    fn run_task<'a>(&'a self, attempt: &'a Attempt, logs: Arc<dyn Logs>) -> BoxFuture<'a, Report> {
        Box::pin(attempt::run(self, attempt, attempt::Host::Task(logs)))
    }

    fn run_flow<'a>(&'a self, attempt: &'a Attempt, host: Arc<dyn FlowHost>) -> BoxFuture<'a, Report> {
        Box::pin(attempt::run(self, attempt, attempt::Host::Flow(host)))
    }

    fn sandboxes(&self) -> Sandboxes {
        let making = Duration::from_nanos(self.made.nanos.load(Ordering::Relaxed));
        Sandboxes { made: self.made.count.load(Ordering::Relaxed), making }
    }
}
