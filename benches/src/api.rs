//! The API of a real server: while it is saturated with runs, and with a million of them in its database.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Runs that are made over HTTP in one go, and by how many connections.
const RUNS: u64 = 1000;
const CONNECTIONS: usize = 64;
/// How often that is done.
const ROUNDS: usize = 3;
/// Runs in the database when it is large, and how often each list is asked for.
const MANY: u64 = 1_000_000;
const ASKED: usize = 300;
/// What is asked for.
const LISTS: [&str; 7] = [
    "limit=50",
    "limit=200",
    "state=failed&limit=50",
    "deployment=ten-tasks/bench&limit=50",
    "flow=ten-tasks&limit=50",
    "tag=bench&limit=50",
    "before=%&limit=50",
];

/// Milliseconds that at most one request of a hundred may take longer than: while runs are made, and of a list.
const BUSY_MS: f64 = 250.0;
const LIST_MS: f64 = 100.0;

struct Server {
    child: Child,
    http: Client,
    url: String,
    token: String,
    binary: PathBuf,
    data: PathBuf,
}

impl Server {
    async fn start(binary: &Path, data: &Path) -> Result<Self> {
        let mut command = Command::new(binary);
        command.args(["server", "--listen", "127.0.0.1:0"]).env("RETAKE_DATA", data).stderr(Stdio::null());
        let _ = std::fs::remove_file(data.join("server.json"));
        let child = command.spawn().with_context(|| format!("`{}`", binary.display()))?;
        let began = Instant::now();
        let sign: Value = loop {
            let found = std::fs::read(data.join("server.json")).ok().and_then(|it| serde_json::from_slice(&it).ok());
            match found {
                Some(sign) => break sign,
                None => ensure!(began.elapsed() < Duration::from_secs(30), "the server does not begin"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let token = std::fs::read_to_string(data.join("token"))?.trim().to_owned();
        let url = sign["url"].as_str().context("a sign without an address")?.to_owned();
        let http = Client::builder().no_proxy().build()?;
        Ok(Self { child, http, url, token, binary: binary.to_owned(), data: data.to_owned() })
    }

    fn ask(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}/api/v1/{path}", self.url)).bearer_auth(&self.token)
    }

    fn make(&self) -> RequestBuilder {
        let runs = self.http.post(format!("{}/api/v1/flow-runs", self.url)).bearer_auth(&self.token);
        runs.json(&json!({ "deployment": "ten-tasks/bench" }))
    }

    fn retake(&self, args: &[&str]) -> Result<()> {
        let done = Command::new(&self.binary).args(args).env("RETAKE_DATA", &self.data).output()?;
        ensure!(done.status.success(), "retake {}: {}", args.join(" "), String::from_utf8_lossy(&done.stderr));
        Ok(())
    }

    fn stop(mut self) -> Result<()> {
        let id = rustix::process::Pid::from_raw(self.child.id().cast_signed()).context("no process")?;
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        ensure!(self.child.wait()?.success(), "the server did not end in good order");
        Ok(())
    }

    /// Waits until nothing is open any more.
    async fn idle(&self) -> Result<()> {
        loop {
            let open: Value = self.ask("flow-runs?state=scheduled,late,running&limit=1").send().await?.json().await?;
            if open["items"].as_array().is_some_and(Vec::is_empty) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Measures, and returns whether everything is as quick as it must be.
pub(crate) fn measure(binary: &Path, guest: &Path, dir: &Path) -> Result<bool> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let dir = tempfile::tempdir_in(dir)?;
        let server = Server::start(binary, dir.path()).await?;
        server.retake(&["deploy", &guest.to_string_lossy(), "-n", "bench", "--tag", "bench"])?;
        let server = Arc::new(server);
        println!("{RUNS} runs of ten tasks, made by {CONNECTIONS} connections, and lists asked for meanwhile:");
        let mut fine = true;
        for _ in 0..ROUNDS {
            fine &= saturated(&server).await?;
        }
        Arc::into_inner(server).context("somebody still asks")?.stop()?;
        let began = Instant::now();
        multiply(&dir.path().join("retake.db"))?;
        println!("lists among {MANY} runs (which took {:.0} s to make up):", began.elapsed().as_secs_f64());
        let server = Server::start(binary, dir.path()).await?;
        for list in LISTS {
            fine &= listed(&server, list).await?;
        }
        server.stop()?;
        Ok(fine)
    })
}

/// Makes runs as fast as they are taken, while somebody asks for the latest ones.
async fn saturated(server: &Arc<Server>) -> Result<bool> {
    let (left, refused, ended) =
        (Arc::new(AtomicU64::new(RUNS)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut clients = JoinSet::new();
    let began = Instant::now();
    for _ in 0..CONNECTIONS {
        let (server, left, refused) = (server.clone(), left.clone(), refused.clone());
        clients.spawn(async move {
            let mut lasted = Vec::new();
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| it.checked_sub(1)).is_ok() {
                let began = Instant::now();
                let made = server.make().send().await.is_ok_and(|it| it.status().as_u16() == 201);
                refused.fetch_add(u64::from(!made), Ordering::Relaxed);
                lasted.push(began.elapsed());
            }
            lasted
        });
    }
    let looking = {
        let (server, ended) = (server.clone(), ended.clone());
        async move {
            let mut lasted = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let began = Instant::now();
                server.ask("flow-runs?limit=50").send().await?.error_for_status()?.bytes().await?;
                lasted.push(began.elapsed());
            }
            Ok::<_, anyhow::Error>(lasted)
        }
    };
    let mut looker = JoinSet::new();
    looker.spawn(looking);
    let lasted = clients.join_all().await.concat();
    let made = began.elapsed();
    server.idle().await?;
    ended.store(true, Ordering::Relaxed);
    let looked = looker.join_next().await.context("nobody looked")???;
    let refused = refused.load(Ordering::Relaxed);
    println!(
        "  {refused} errors, {:.0} runs made a second, all ended after {:.2} s; POST {}; GET {}",
        RUNS as f64 / made.as_secs_f64(),
        began.elapsed().as_secs_f64(),
        quantiles(lasted.clone()),
        quantiles(looked.clone()),
    );
    Ok(refused == 0 && p99(lasted) < BUSY_MS && p99(looked) < BUSY_MS)
}

async fn listed(server: &Server, list: &str) -> Result<bool> {
    let mut query = list.to_owned();
    if list.contains('%') {
        // From somewhere in the middle.
        let page: Value = server.ask("flow-runs?limit=200").send().await?.json().await?;
        query = list.replace('%', page["next"].as_str().context("there is no second page")?);
    }
    let mut lasted = Vec::new();
    for _ in 0..ASKED {
        let began = Instant::now();
        let answer = server.ask(&format!("flow-runs?{query}")).send().await?.error_for_status()?;
        let found: Value = answer.json().await?;
        lasted.push(began.elapsed());
        if found["items"].as_array().is_none_or(Vec::is_empty) {
            bail!("nothing is found by `{list}`");
        }
    }
    println!("  {list:40} {}", quantiles(lasted.clone()));
    Ok(p99(lasted) < LIST_MS)
}

fn quantile(lasted: &mut [Duration], q: f64) -> f64 {
    lasted.sort_unstable();
    let index = ((lasted.len().max(1) - 1) as f64 * q) as usize;
    lasted.get(index).map_or(0.0, |it| it.as_secs_f64() * 1e3)
}

fn p99(mut lasted: Vec<Duration>) -> f64 {
    quantile(&mut lasted, 0.99)
}

fn quantiles(mut lasted: Vec<Duration>) -> String {
    let (p50, p99) = (quantile(&mut lasted, 0.5), quantile(&mut lasted, 0.99));
    format!("p50 {p50:.1} ms, p99 {p99:.1} ms")
}

/// Makes up runs that have ended, like those that there are, over the months before them; one in a hundred failed.
fn multiply(file: &Path) -> Result<()> {
    let db = rusqlite::Connection::open(file)?;
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF")?;
    let mut columns = db.prepare("SELECT name FROM pragma_table_info('flow_run') WHERE name <> 'row'")?;
    let columns = columns.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    let values = columns.iter().map(|it| match it.as_str() {
        "id" | "root" => "n.id".to_owned(),
        "state" => "CASE n.n % 100 WHEN 0 THEN 5 ELSE 4 END".to_owned(),
        "failure" => "CASE n.n % 100 WHEN 0 THEN '{\"code\":\"load.refused\",\"message\":\"no\"}' END".to_owned(),
        other => format!("r.{other}"),
    });
    let (columns, values) = (columns.join(", "), values.collect::<Vec<_>>().join(", "));
    // Before the oldest run there is, a second apart.
    db.execute_batch(&format!(
        "BEGIN;
         INSERT INTO flow_run ({columns})
            WITH RECURSIVE one AS (SELECT * FROM flow_run ORDER BY id LIMIT 1),
               times (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM times WHERE n < {MANY}),
               n AS (SELECT n, unhex(printf('%012x', (SELECT created FROM one) / 1000 - n * 1000) || hex(randomblob(10))) AS id FROM times)
            SELECT {values} FROM n, one r;
         COMMIT;
         PRAGMA wal_checkpoint(TRUNCATE)"
    ))?;
    Ok(())
}
