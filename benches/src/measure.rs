//! Clocks, memory and quantiles.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Time that this process has spent on processors.
pub(crate) fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// Resident memory of this process, in bytes.
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or(0) * 1024
}

/// Time that threads of one name have run, and have waited for a processor that they could have used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) ran: Duration,
    pub(crate) waited: Duration,
}

/// Returns what the threads that are there have spent, by their names. Of those that end nothing is known any more.
fn threads() -> BTreeMap<String, Spent> {
    let mut all = BTreeMap::<String, Spent>::new();
    for thread in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |file| std::fs::read_to_string(thread.path().join(file)).unwrap_or_default();
        let nanos = read("schedstat");
        let mut nanos = nanos.split_whitespace().map(|it| Duration::from_nanos(it.parse().unwrap_or(0)));
        let of_name = all.entry(read("comm").trim_end().to_owned()).or_default();
        of_name.ran += nanos.next().unwrap_or_default();
        of_name.waited += nanos.next().unwrap_or_default();
    }
    all
}

/// What many repetitions of one thing cost.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cost {
    pub(crate) per_second: f64,
    pub(crate) cpu_us: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) resident_mib: f64,
    /// What the threads of each name spent on one of them, where that was looked at.
    pub(crate) threads: BTreeMap<String, Spent>,
}

/// Counts from its making to its end.
pub(crate) struct Meter {
    began: Instant,
    cpu: Duration,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self { cpu: cpu(), began: Instant::now() }
    }

    pub(crate) fn end(self, lasted: Vec<Duration>) -> Cost {
        let (wall, cpu) = (self.began.elapsed(), cpu() - self.cpu);
        Self::cost(wall, cpu, lasted)
    }

    fn cost(wall: Duration, cpu: Duration, mut lasted: Vec<Duration>) -> Cost {
        lasted.sort_unstable();
        let quantile = |q: f64| {
            let index = ((lasted.len().max(1) - 1) as f64 * q) as usize;
            lasted.get(index).map_or(0.0, |it| it.as_secs_f64() * 1e3)
        };
        Cost {
            per_second: lasted.len() as f64 / wall.as_secs_f64(),
            cpu_us: cpu.as_secs_f64() * 1e6 / lasted.len().max(1) as f64,
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            resident_mib: resident() as f64 / 1048576.0,
            threads: BTreeMap::new(),
        }
    }
}

/// How long many at once are left alone before they are measured.
const WARM: Duration = Duration::from_millis(500);

/// Keeps `concurrency` of the same under way and measures what ends within `length`: neither the first, which find
/// everything cold, nor the last, which have the machine to themselves.
pub(crate) async fn many<F: Future<Output = ()> + Send + 'static>(
    concurrency: usize,
    length: Duration,
    once: impl Fn() -> F + Clone + Send + Sync + 'static,
) -> Cost {
    let start = Instant::now() + WARM;
    let end = start + length;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..concurrency {
        let once = once.clone();
        clients.spawn(async move {
            let mut lasted = Vec::new();
            while Instant::now() < end {
                let began = Instant::now();
                once().await;
                let ended = Instant::now();
                if (start..end).contains(&ended) {
                    lasted.push(ended - began);
                }
            }
            lasted
        });
    }
    tokio::time::sleep_until(start.into()).await;
    let (meter, before) = (Meter::start(), threads());
    tokio::time::sleep_until(end.into()).await;
    let (wall, cpu, mut threads) = (meter.began.elapsed(), cpu() - meter.cpu, threads());
    let lasted: Vec<Duration> = clients.join_all().await.into_iter().flatten().collect();
    for (name, spent) in &mut threads {
        let before = before.get(name).copied().unwrap_or_default();
        let ended = u32::try_from(lasted.len()).unwrap_or(u32::MAX).max(1);
        spent.ran = spent.ran.saturating_sub(before.ran) / ended;
        spent.waited = spent.waited.saturating_sub(before.waited) / ended;
    }
    Cost { threads, ..Meter::cost(wall, cpu, lasted) }
}

/// Measures what one durable write of 4 KiB costs on this disk, in a file that has its size already.
pub(crate) fn fdatasync(dir: &Path, length: Duration) -> anyhow::Result<Cost> {
    let path = dir.join("fdatasync");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    file.write_all(&vec![0; 4 << 20])?;
    file.sync_all()?;
    let meter = Meter::start();
    let mut lasted = Vec::new();
    while meter.began.elapsed() < length {
        file.seek(SeekFrom::Start(4096 * (lasted.len() as u64 % 1024)))?;
        let began = Instant::now();
        file.write_all(&[lasted.len() as u8; 4096])?;
        file.sync_data()?;
        lasted.push(began.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok(meter.end(lasted))
}
