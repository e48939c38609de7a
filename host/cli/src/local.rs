//! The embedded host: store, sandboxes and engine in this process, on one data directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use etcetera::BaseStrategy;
use retake_core::id::{ContentDigest, FlowRunId};
use retake_core::port::BoxFuture;
use retake_core::time::{Clock, Timestamp};
use retake_engine::{Engine, Entropy, Observer, Outside};
use retake_sandbox::{Compiler, Sandbox, Settings, Source};
use retake_server::Vault;
use retake_store::{OpenError, SqliteStore, Store};

use crate::args::Args;
use crate::out::{Exit, Trouble};
use crate::private;

/// The machine's clock.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the composition root is where the real clock comes from")]
    fn now(&self) -> Timestamp {
        let micros = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |it| it.as_micros());
        Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

/// The present instant.
pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

/// The operating system's randomness.
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn next(&self) -> u64 {
        rand::random()
    }
}

/// Returns the data directory.
pub(crate) fn data_dir(args: &Args) -> anyhow::Result<PathBuf> {
    if let Some(dir) = &args.data {
        if dir.exists() && !dir.is_dir() {
            let message = format!("`{}` is not a directory", dir.display());
            return Err(Trouble::new(Exit::Usage, message).hint("name a directory: `--data DIR`").into());
        }
        return Ok(dir.clone());
    }
    let base = etcetera::choose_base_strategy().map_err(|_| {
        Trouble::new(Exit::Usage, "there is no home directory to keep runs in").hint("name a directory: `--data DIR`")
    })?;
    Ok(base.data_dir().join("retake"))
}

/// A host in this process.
pub(crate) struct Local {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) vault: Arc<Vault>,
}

/// Opens the data directory for work, which one process does at a time. Runs of a process that died are taken back.
pub(crate) async fn open(args: &Args, observer: Option<Arc<dyn Observer>>) -> anyhow::Result<Local> {
    let settings = retake_engine::Settings { grace: Duration::from_secs(2), ..Default::default() };
    open_with(args, observer, settings).await
}

/// Opens the data directory as [`open`] does, with other settings.
pub(crate) async fn open_with(
    args: &Args,
    observer: Option<Arc<dyn Observer>>,
    settings: retake_engine::Settings,
) -> anyhow::Result<Local> {
    let dir = data_dir(args)?;
    private::check(&dir)?;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&dir).map_err(|it| trouble(it, &dir))?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    for (id, run) in store.recover(clock.now()).await? {
        tracing::info!(run = %id, state = %run.shown(clock.now()), "taken back from a process that is gone");
    }
    let sandbox = Arc::new(sandbox(Some(&dir), store.clone())?);
    let outside = Outside {
        store: store.clone(),
        runner: sandbox.clone(),
        clock: clock.clone(),
        entropy: Arc::new(SystemEntropy),
        observer,
    };
    let engine = Engine::new(outside, settings);
    let vault = Arc::new(Vault::new(key_file(args, &dir)));
    retake_server::tell_engine(store.as_ref(), &engine, &vault).await?;
    Ok(Local { store, sandbox, engine, clock, vault })
}

/// The key of the secrets, in a data directory and in a backup.
pub(crate) const KEY: &str = "secret.key";

/// Where the key of the secrets is.
pub(crate) fn key_file(args: &Args, dir: &Path) -> PathBuf {
    args.key_file.clone().unwrap_or_else(|| dir.join(KEY))
}

/// Opens the data directory for looking; `None` when nothing was ever kept in it.
pub(crate) fn look(args: &Args) -> anyhow::Result<Option<Arc<dyn Store>>> {
    let dir = data_dir(args)?;
    match SqliteStore::open_read_only(&dir) {
        Ok(store) => Ok(Some(Arc::new(store))),
        Err(OpenError::Missing { .. }) => Ok(None),
        Err(error) => Err(trouble(error, &dir).into()),
    }
}

/// Whether nobody works on the data directory.
pub(crate) fn host_is_gone(args: &Args) -> bool {
    data_dir(args).is_ok_and(|dir| !retake_store::upkeep::is_worked_on(&dir))
}

impl Local {
    /// Returns what people are told about an error. After one that failed the database, that is what they are told.
    pub(crate) fn told(&self, error: impl Into<anyhow::Error>) -> anyhow::Error {
        if self.store.has_failed() { database_failed().into() } else { error.into() }
    }
}

/// The database failed: nothing can be put in order any more.
pub(crate) fn database_failed() -> Trouble {
    Trouble::new(Exit::Database, "the database failed, and nothing is written any more")
        .hint("mend what is wrong with the disk and start again: what was kept is there; `retake db check`")
}

/// Makes a sandbox host whose compiled code is kept in the data directory.
pub(crate) fn sandbox(dir: Option<&PathBuf>, store: Arc<dyn Store>) -> anyhow::Result<Sandbox> {
    let settings = Settings { slots: Settings::SLOTS, cache: dir.map(|it| it.join("compiled")), compiler: compiler() };
    let source = Arc::new(FromStore(store));
    Sandbox::new(&settings, source, Arc::new(SystemClock)).map_err(|error| {
        let hint = "`retake doctor` checks this machine";
        Trouble::new(Exit::Failed, error.to_string()).hint(hint).into()
    })
}

/// This very program, as a compiler.
fn compiler() -> Option<Compiler> {
    let program = std::env::current_exe().ok()?;
    Some(Compiler { program, args: vec!["compile-component".into()] })
}

/// Components as the store keeps them.
struct FromStore(Arc<dyn Store>);

impl Source for FromStore {
    fn bytes(&self, digest: ContentDigest) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(async move { self.0.component_bytes(digest).await.map_err(|it| it.to_string()) })
    }
}

pub(crate) fn trouble(error: OpenError, dir: &Path) -> Trouble {
    let (exit, hint) = match &error {
        OpenError::Locked { .. } => {
            let hint = "one process works on a directory at a time: stop it with Ctrl-C where it runs, or look on with \
                        `retake ps`, `retake show RUN` and `retake logs RUN -f`";
            (Exit::Conflict, hint.to_owned())
        }
        OpenError::Missing { .. } => {
            (Exit::NotFound, "nothing was ever kept there: is it the right directory? `--data DIR`".to_owned())
        }
        OpenError::Unavailable { source, .. } if is_denied(source.as_ref()) => {
            (Exit::Denied, "ask its owner, or keep runs elsewhere: `--data DIR`".to_owned())
        }
        OpenError::Newer { .. } => (Exit::Database, "use the newer `retake` that wrote it".to_owned()),
        OpenError::Older { .. } => {
            let hint = "`retake db backup DIR`, then `retake db migrate`: whatever works on runs does that, too";
            (Exit::Database, hint.to_owned())
        }
        _ => (Exit::Database, format!("`retake doctor --data '{}'` checks it", dir.display())),
    };
    let trouble = Trouble::new(exit, error.to_string());
    let trouble = match std::error::Error::source(&error) {
        Some(cause) => trouble.cause(cause.to_string()),
        None => trouble,
    };
    trouble.hint(hint)
}

fn is_denied(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|it| it.kind() == std::io::ErrorKind::PermissionDenied)
}

/// Finds the run that a person means: a name, an id, or an unambiguous beginning of an id.
pub(crate) async fn find(store: &dyn Store, text: &str) -> anyhow::Result<FlowRunId> {
    if let Ok(id) = text.parse::<FlowRunId>() {
        store.run(id).await?;
        return Ok(id);
    }
    let found = store.find(text, 5).await?;
    match found.as_slice() {
        [id] => Ok(*id),
        [] => {
            let message = format!("no run is called `{text}`, and no id begins with it");
            Err(Trouble::new(Exit::NotFound, message).hint("`retake ps` lists the runs").into())
        }
        several => {
            let mut trouble = Trouble::new(Exit::Usage, format!("`{text}` may be one of several runs"));
            for id in several {
                let run = store.run(*id).await?;
                let at = crate::out::instant(run.asked.created);
                trouble = trouble.cause(format!("{id} of {at} ({})", run.asked.flow));
            }
            Err(trouble.hint(format!("name one by its id: `{}`", several[0])).into())
        }
    }
}

/// There is nothing in the data directory to find it in.
pub(crate) fn nothing_kept(text: &str) -> anyhow::Error {
    let message = format!("no run is called `{text}`: nothing was ever run with this data directory");
    Trouble::new(Exit::NotFound, message).hint("run something first: `retake run FILE.wasm`").into()
}
