//! A server that is watched while it is attacked.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use retake_tests::http::Server;

/// More resident memory than this, and the server is killed.
const MEMORY: u64 = 2 << 30;
/// How soon `/healthz` answers, and how soon at the very latest: a test's machine may be busy with something else.
const HEALTHY: Duration = Duration::from_secs(1);
const AT_LATEST: Duration = Duration::from_secs(4);
/// One server is attacked at a time, so that it is not kept from answering by what is done to another.
static ALONE: Mutex<()> = Mutex::new(());

/// Watches the memory of a server and how soon it says that it is well.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    most: Arc<AtomicU64>,
    slowest: Arc<AtomicU64>,
    /// How often it was asked, and how often the answer came late.
    asked: Arc<(AtomicU64, AtomicU64)>,
    watchers: Vec<JoinHandle<()>>,
    _alone: MutexGuard<'static, ()>,
}

/// Waits until no other server is attacked.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    pub(crate) fn over(server: &Server) -> Self {
        let alone = alone();
        let (over, most, slowest) =
            (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (process, ends, peak) = (server.process(), over.clone(), most.clone());
        let memory = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let Ok(status) = std::fs::read_to_string(format!("/proc/{process}/status")) else { return };
                let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:")).unwrap_or("0 kB");
                let bytes = line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) << 10;
                peak.fetch_max(bytes, Ordering::Relaxed);
                if bytes > MEMORY {
                    let id = rustix::process::Pid::from_raw(process.cast_signed()).unwrap();
                    let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let (address, ends, worst) = (server.address.clone(), over.clone(), slowest.clone());
        let asked = Arc::<(AtomicU64, AtomicU64)>::default();
        let counts = asked.clone();
        let health = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let began = Instant::now();
                let took = if healthz(&address) { began.elapsed() } else { 2 * AT_LATEST };
                counts.0.fetch_add(1, Ordering::Relaxed);
                counts.1.fetch_add(u64::from(took > HEALTHY), Ordering::Relaxed);
                worst.fetch_max(took.as_millis() as u64, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self { over, most, slowest, asked, watchers: vec![memory, health], _alone: alone }
    }

    /// Stops watching, and fails if the server was not well.
    #[track_caller]
    pub(crate) fn was_well(mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.watchers.drain(..).for_each(|it| it.join().unwrap());
        let (most, slowest) = (self.most.load(Ordering::Relaxed), self.slowest.load(Ordering::Relaxed));
        assert!(most < MEMORY, "it had {} MiB", most >> 20);
        let (asked, late) = (self.asked.0.load(Ordering::Relaxed), self.asked.1.load(Ordering::Relaxed));
        assert!(slowest < AT_LATEST.as_millis() as u64, "`/healthz` took {slowest} ms, or was not answered");
        assert!(late <= 1 + asked / 20, "`/healthz` took more than a second {late} times of {asked}");
    }
}

fn healthz(address: &str) -> bool {
    use std::io::{Read, Write};
    let ask = || {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.set_read_timeout(Some(AT_LATEST))?;
        write!(stream, "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    ask().is_ok_and(|it| it.starts_with("HTTP/1.1 200"))
}
