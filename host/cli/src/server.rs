//! `server`: the host as a service. And how the other commands find it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use retake_core::port::Inspector;
use retake_core::time::Clock;
use retake_engine::{Entropy, Scope};
use retake_server::{
    Bound, Bounds, Client, Host, Live, MailError, Mailer, Node, Settings, Spans, SpansError, Tls, TlsError, Tokens,
    Trust,
};
use serde::{Deserialize, Serialize};

use crate::args::{Args, LogFormat, Server, Ui};
use crate::follow::{interrupted, work};
use crate::local::{self, Local, SystemClock, SystemEntropy};
use crate::out::{Exit, Trouble};
use crate::private;

/// Says something on stderr. Whoever read it may be gone: a server goes on without.
fn tell(typed: &Server, text: &str) {
    use std::io::Write;
    match typed.log_format {
        LogFormat::Json => tracing::info!("{}", text.trim_start()),
        LogFormat::Text => drop(writeln!(anstream::stderr(), "{text}")),
    }
}

/// What a server leaves in the data directory while it works on it, so that commands find it.
#[derive(Debug, Serialize, Deserialize)]
struct Sign {
    url: String,
    /// The process: a sign of one that was killed counts for nothing.
    pid: u32,
    /// The certificate by which the server is known, whatever names it has, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
}

fn sign_file(dir: &Path) -> PathBuf {
    dir.join("server.json")
}

fn token_file(dir: &Path) -> PathBuf {
    dir.join("token")
}

/// Makes a token of an admin for the commands of this machine, beside those that there are.
pub(crate) async fn new_token(args: &Args) -> anyhow::Result<()> {
    let (dir, local) = (crate::local::data_dir(args)?, crate::local::open(args, None).await?);
    let keep = |token: &str| private::write(&token_file(&dir), token.as_bytes());
    retake_server::new_token(local.store.as_ref(), &SystemEntropy, SystemClock.now(), keep).await
}

pub(crate) async fn server(args: &Args, typed: &Server) -> anyhow::Result<Exit> {
    crate::out::choose_color(args.color);
    serve_beside(args, typed, |_| std::future::pending()).await
}

/// Opens the web UI in a browser, signed in, or says where it is.
pub(crate) async fn ui(args: &Args, typed: &Ui) -> anyhow::Result<Exit> {
    crate::out::choose_color(args.color);
    let Some(client) = found(args)? else {
        let message = "no server works on the data directory";
        return Err(Trouble::new(Exit::Unreachable, message)
            .hint("`retake server` starts one; `--server URL` names another")
            .into());
    };
    let address = client.ui().await?;
    if typed.print || !open_in_browser(&local::data_dir(args)?, &address) {
        anstream::println!("{address}");
    }
    Ok(Exit::Ok)
}

/// Hands an address to the user's browser; false where there is none to be had. The address signs somebody in, and anybody
/// on the machine can read what a program is started with: the browser is given a file that leads there.
fn open_in_browser(dir: &Path, address: &str) -> bool {
    let file = dir.join("open-ui.html");
    let page =
        format!("<!doctype html><meta http-equiv=\"refresh\" content=\"0;url={address}\"><title>Retake</title>\n");
    if private::write(&file, page.as_bytes()).is_err() {
        return false;
    }
    let quiet = std::process::Stdio::null;
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = std::process::Command::new(opener);
    command.arg(&file).stdin(quiet()).stdout(quiet()).stderr(quiet());
    command.status().is_ok_and(|it| it.success())
}

/// The server of this process, for what the process asks of it.
pub(crate) struct Beside {
    url: String,
    trust: Trust,
    tokens: Arc<Tokens>,
}

impl Beside {
    /// Returns a client with a fresh token: one that is lent counts only until people change theirs.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(&self.url, Some(self.tokens.lend(&SystemEntropy, SystemClock.now())), &self.trust)?)
    }
}

/// Serves until interrupted, or until what goes on beside it has ended.
pub(crate) async fn serve_beside<B: Future<Output = anyhow::Result<()>>>(
    args: &Args,
    typed: &Server,
    beside: impl FnOnce(Beside) -> B,
) -> anyhow::Result<Exit> {
    let address = typed.listen;
    let (tls, mailer, spans) = (tls(typed)?, mailer(typed)?, spans(typed)?);
    if !address.ip().is_loopback() && !typed.insecure && tls.is_none() {
        let message = format!("`{address}` is reached by others, and tokens could be read on the way");
        let hint = "speak TLS with `--tls-cert FILE --tls-key FILE`, put a proxy that does before `127.0.0.1`, or say \
                    that you know: `--insecure`";
        return Err(Trouble::new(Exit::Usage, message).hint(hint).into());
    }
    let dir = local::data_dir(args)?;
    let live = live();
    let settings = retake_engine::Settings {
        grace: typed.grace,
        flow_slots: typed.flow_slots.into(),
        task_slots: typed.task_slots.into(),
        rate: typed.rate,
        ..Default::default()
    };
    let local = local::open_with(args, Some(live.clone()), settings).await?;
    let bound = Bound::to(address, tls).await.map_err(|error| {
        Trouble::new(Exit::Failed, format!("cannot listen on {address}: {error}"))
            .hint("another server may have it: choose another with `--listen 127.0.0.1:0`")
    })?;
    let bounds = Bounds::new(typed.requests, typed.most_waiting);
    let node = Node {
        name: typed.node.clone().unwrap_or_else(machine),
        since: SystemClock.now(),
        queues: typed.queue.clone(),
    };
    let host = Host { mailer, node, retention: typed.retention, ..host(&local, &dir, live, bounds).await? };
    let sign = Sign {
        url: bound.url(),
        pid: std::process::id(),
        certificate: bound.certificate().map(|it| STANDARD.encode(it)),
    };
    let url = sign.url.clone();
    let first =
        retake_server::first_token(local.store.as_ref(), &host.tokens, &SystemEntropy, SystemClock.now(), |token| {
            private::write(&token_file(&dir), token.as_bytes())
        })
        .await?;
    private::write(&sign_file(&dir), &serde_json::to_vec(&sign)?)?;
    tell(typed, &format!("retake server {} at {url}", env!("CARGO_PKG_VERSION")));
    tell(typed, &format!("  data in {}", dir.display()));
    tell(typed, &format!("  the web UI is at {url}/; `retake ui` opens it, signed in"));
    if let Some(first) = first {
        // A log keeps what it is told.
        if crate::out::is_watched() {
            tell(typed, &format!("  first token, of an admin: {}", first.0));
        }
        tell(
            typed,
            &format!("  the first token is kept in {} for the commands of this machine", token_file(&dir).display()),
        );
    }
    let trust = bound.certificate().map_or(Trust::Machine, |it| Trust::Only(it.to_vec()));
    let beside = beside(Beside { url, trust, tokens: host.tokens.clone() });
    let ended = until_ended(&local, &host, bound, spans, typed, beside).await;
    let _ = std::fs::remove_file(sign_file(&dir));
    ended?;
    tell(typed, "stopped in good order");
    Ok(Exit::Ok)
}

async fn until_ended(
    local: &Local,
    host: &Host,
    bound: Bound,
    spans: Option<Spans>,
    typed: &Server,
    beside: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let settings = Settings {
        hosts: typed.host.clone(),
        tls: bound.certificate().is_some(),
        in_force: crate::config::of_server(),
    };
    let router = retake_server::router(host.clone(), settings);
    // Told twice: to whoever works, and to whoever answers.
    let (stop, stops) = tokio::sync::watch::channel(false);
    let stopped = |mut stops: tokio::sync::watch::Receiver<bool>| async move {
        let _ = stops.wait_for(|it| *it).await;
    };
    let scope = Scope { root: None, queues: typed.queue.clone().into() };
    let working = async {
        let worked = work(local, scope, stopped(stops.clone())).await;
        let _ = stop.send(true);
        worked
    };
    let serving = async {
        retake_server::serve(bound, router, stopped(stops.clone())).await;
        host.doing.done().await;
    };
    let scheduling = async {
        tokio::select! {
            () = going_on("schedules", || retake_server::make_scheduled_runs(host)) => {}
            () = going_on("retention", || retake_server::remove_old_runs(host)) => {}
            () = going_on("notifications", || retake_server::send_notifications(host)) => {}
            () = going_on("traces", || send_spans(host, spans.as_ref())) => {}
            () = stopped(stops.clone()) => {}
        }
        host.live.close();
    };
    let asked = async {
        tokio::select! {
            () = interrupted() => {
                tell(typed, "stopping: what is open goes on at the next start; Ctrl-C again leaves at once");
                let _ = stop.send(true);
            }
            () = stopped(stops.clone()) => {}
        }
    };
    let beside = async {
        let done = tokio::select! {
            done = beside => done,
            () = stopped(stops.clone()) => Ok(()),
        };
        let _ = stop.send(true);
        done
    };
    let (worked, (), (), (), done) = tokio::join!(working, serving, scheduling, asked, beside);
    worked?;
    done
}

/// Goes on with something also after a panic of ours: it must not end the host.
async fn going_on<F: Future<Output = ()>>(what: &str, work: impl Fn() -> F) {
    use futures_util::FutureExt;
    while std::panic::AssertUnwindSafe(work()).catch_unwind().await.is_err() {
        tracing::error!(what, "panicked; going on");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn live() -> Arc<Live> {
    // The instant tells one server from the next.
    Arc::new(Live::new(Arc::new(SystemClock), SystemClock.now().as_micros().unsigned_abs()))
}

async fn send_spans(host: &Host, spans: Option<&Spans>) {
    match spans {
        Some(spans) => spans.send(host.store.as_ref(), &host.live).await,
        None => std::future::pending().await,
    }
}

/// The machine's name.
fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

async fn host(local: &Local, dir: &Path, live: Arc<Live>, bounds: Bounds) -> anyhow::Result<Host> {
    let tokens = Tokens::load(local.store.as_ref()).await?;
    let inspector: Arc<dyn Inspector> = local.sandbox.clone();
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    Ok(Host {
        store: local.store.clone(),
        engine: local.engine.clone(),
        inspector,
        clock: local.clock.clone(),
        entropy,
        live,
        tokens: Arc::new(tokens),
        doing: Arc::default(),
        bounds: Arc::new(bounds),
        vault: local.vault.clone(),
        retention: None,
        node: Node { name: machine(), since: local.clock.now(), queues: Vec::new() },
        uploads: dir.to_owned(),
        mailer: None,
    })
}

/// Reads who takes e-mail on its way, if there is anybody.
fn mailer(typed: &Server) -> anyhow::Result<Option<Mailer>> {
    let Some((server, from)) = typed.smtp_server.as_ref().zip(typed.smtp_from.as_ref()) else { return Ok(None) };
    // Not a flag: everybody reads those.
    let password = std::env::var("RETAKE_SMTP_PASSWORD").ok().filter(|it| !it.is_empty());
    let mailer = Mailer::new(server, from, password).map_err(|error| {
        let hint = match error {
            MailError::Password => "put it into the environment, as `RETAKE_SMTP_PASSWORD`",
            MailError::Clear => "leave `?tls=none` out, or the password",
            MailError::From(_) => "`--smtp-from retake@example.org`",
            MailError::NotBuilt => "build it with the feature `email`",
            MailError::Server(_) => {
                "`smtps://USER@HOST` speaks TLS from the beginning, `smtp://USER@HOST` after its hello (STARTTLS), and \
                 `smtp://HOST?tls=none` never"
            }
        };
        Trouble::new(Exit::Usage, error.to_string()).hint(hint)
    })?;
    Ok(Some(mailer))
}

/// Reads where traces are sent, if they are.
fn spans(typed: &Server) -> anyhow::Result<Option<Spans>> {
    let Some(address) = &typed.otlp_endpoint else { return Ok(None) };
    let spans = Spans::to(address).map_err(|error| {
        let hint = match error {
            SpansError::Collector(_) => "write it as `http://127.0.0.1:4318`, without a path: OTLP over HTTP",
            SpansError::Settings(_) => "`OTEL_EXPORTER_OTLP_…` in the environment count too: look at those",
            SpansError::NotBuilt => "build it with the feature `otlp`",
        };
        Trouble::new(Exit::Usage, error.to_string()).hint(hint)
    })?;
    Ok(Some(spans))
}

/// Reads the certificate that the server speaks TLS with, if there is one.
fn tls(typed: &Server) -> anyhow::Result<Option<Tls>> {
    let Some((certificate, key)) = typed.tls_cert.as_ref().zip(typed.tls_key.as_ref()) else { return Ok(None) };
    private::check_key(key)?;
    Ok(Some(Tls::read(certificate, key).map_err(bad_certificate)?))
}

fn bad_certificate(error: TlsError) -> Trouble {
    let hint = "certificates and keys are read as PEM, which begins with `-----BEGIN`";
    Trouble::new(Exit::Usage, error.to_string()).hint(hint)
}

/// Returns the server that was named, or the one that works on the data directory. The token that is kept there is for
/// that one alone: no other is to see it.
pub(crate) fn found(args: &Args) -> anyhow::Result<Option<Client>> {
    let dir = local::data_dir(args)?;
    let sign = sign(&dir);
    let Some(url) = args.server.as_ref().or(sign.as_ref().map(|it| &it.url)) else { return Ok(None) };
    if args.server.is_none() {
        // Whoever could write there could have the token sent to them.
        private::check(&dir)?;
    }
    if !url.starts_with("http://") && !url.starts_with("https://") {
        let message = format!("`{url}` is no address of a server");
        return Err(Trouble::new(Exit::Usage, message).hint("write it as `http://127.0.0.1:7420`").into());
    }
    let is_ours = sign.as_ref().is_some_and(|it| it.url == url.trim_end_matches('/'));
    let kept = || std::fs::read_to_string(token_file(&dir)).ok().map(|it| it.trim().to_owned());
    let token = args.token.clone().or_else(|| kept().filter(|_| is_ours));
    let trust = match (&args.ca_cert, sign.as_ref().and_then(|it| it.certificate.as_ref()).filter(|_| is_ours)) {
        (_, Some(certificate)) => Trust::Only(STANDARD.decode(certificate).unwrap_or_default()),
        (Some(file), None) => Trust::read(file).map_err(bad_certificate)?,
        (None, None) => Trust::Machine,
    };
    Ok(Some(Client::new(url, token, &trust)?))
}

/// Returns the sign of the server that works on a data directory.
fn sign(dir: &Path) -> Option<Sign> {
    let sign: Sign = serde_json::from_slice(&std::fs::read(sign_file(dir)).ok()?).ok()?;
    (retake_store::upkeep::worked_on_by(dir) == Some(sign.pid)).then_some(sign)
}

/// A server that answers this process alone, for as long as it is kept.
pub(crate) struct Own {
    pub(crate) client: Client,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    serving: tokio::task::JoinSet<()>,
}

impl Own {
    /// Lets it end in good order: what was asked for is answered, and the data directory is free.
    pub(crate) async fn end(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let _ = tokio::time::timeout(Duration::from_secs(10), self.serving.join_next()).await;
    }
}

/// Serves the data directory to this process alone, where no server does: so that each command is written once.
pub(crate) async fn own(args: &Args) -> anyhow::Result<Own> {
    let live = live();
    let local = local::open(args, Some(live.clone())).await?;
    let host = host(&local, &local::data_dir(args)?, live, Bounds::new(1_000_000, u64::MAX)).await?;
    let token = host.tokens.lend(&SystemEntropy, SystemClock.now());
    let bound = Bound::to(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), None).await.map_err(|error| {
        Trouble::new(Exit::Failed, format!("cannot listen on loopback: {error}"))
            .hint("`retake doctor` checks this machine")
    })?;
    let client = Client::new(&bound.url(), Some(token), &Trust::Machine)?;
    let (stop, stops) = tokio::sync::oneshot::channel();
    let router = retake_server::router(host.clone(), Settings::default());
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move {
        let _local = local;
        tokio::select! {
            () = retake_server::serve(bound, router, async { drop(stops.await) }) => {}
            () = retake_server::send_notifications(&host) => {}
        }
    });
    Ok(Own { client, stop: Some(stop), serving })
}

/// Whoever answers: a server that was found, or our own.
pub(crate) enum Served {
    Found(Client),
    Own(Own),
}

/// Finds a server, or serves the data directory to this process alone.
pub(crate) async fn served(args: &Args) -> anyhow::Result<Served> {
    Ok(match found(args)? {
        Some(client) => Served::Found(client),
        None => Served::Own(own(args).await?),
    })
}

/// Asks a server that was found, or one of this process alone for as long as that takes.
pub(crate) async fn with_client(
    args: &Args,
    ask: impl AsyncFnOnce(&Client) -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    crate::out::choose_color(args.color);
    let served = served(args).await?;
    let done = ask(served.client()).await;
    served.end().await;
    done
}

impl Served {
    pub(crate) fn client(&self) -> &Client {
        match self {
            Self::Found(client) => client,
            Self::Own(own) => &own.client,
        }
    }

    /// Whether this process serves itself.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    pub(crate) async fn end(self) {
        if let Self::Own(own) = self {
            own.end().await;
        }
    }
}
