//! A server that is watched while it is attacked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use retake_tests::http::Server;

/// More resident memory than this, and the server is killed.
const MEMORY: u64 = 2 << 30;
/// How soon `/healthz` answers.
const HEALTHY: Duration = Duration::from_secs(1);

/// Watches the memory of a server and how soon it says that it is well.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    most: Arc<AtomicU64>,
    slowest: Arc<AtomicU64>,
    watchers: Vec<JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn over(server: &Server) -> Self {
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
        let health = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let began = Instant::now();
                let status = healthz(&address);
                let took = if status { began.elapsed() } else { 2 * HEALTHY };
                worst.fetch_max(took.as_millis() as u64, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self { over, most, slowest, watchers: vec![memory, health] }
    }

    /// Stops watching, and fails if the server was not well.
    #[track_caller]
    pub(crate) fn was_well(mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.watchers.drain(..).for_each(|it| it.join().unwrap());
        let (most, slowest) = (self.most.load(Ordering::Relaxed), self.slowest.load(Ordering::Relaxed));
        assert!(most < MEMORY, "it had {} MiB", most >> 20);
        assert!(slowest < HEALTHY.as_millis() as u64, "`/healthz` took {slowest} ms, or was not answered");
    }
}

fn healthz(address: &str) -> bool {
    use std::io::{Read, Write};
    let ask = || {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.set_read_timeout(Some(2 * HEALTHY))?;
        write!(stream, "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    ask().is_ok_and(|it| it.starts_with("HTTP/1.1 200"))
}
