//! Measures Retake against what this machine can do at most, in one process and one run.
//!
//! Machines are shared and noisy, so what counts is a ratio: ours against the raw line, which does the same durable
//! work with the same guest on the same disk and has none of our features. `cargo xtask bench` runs this.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods, reason = "a measurement for people")]

mod api;
mod measure;
mod ours;
mod raw;
mod report;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use measure::Cost;
use ours::Ours;
use raw::Raw;
use report::Report;

#[global_allocator]
static ALLOCATOR: retake_process::MiMalloc = retake_process::MiMalloc;

/// Measures Retake against the raw limits of this machine.
#[derive(Parser)]
struct Args {
    /// Print each target that is due, and exit with 1 when one falls short
    #[arg(long)]
    check: bool,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How often the end-to-end lines are measured; the median counts
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// Threads that run sandboxes in the raw line; on two cores one beside the writer is its best
    #[arg(long, default_value_t = 1)]
    raw_threads: usize,
    /// Threads that run sandboxes and everything else of ours but the writer
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Concurrent runs that are measured
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1000])]
    concurrency: Vec<usize>,
    /// The component whose flow `ten-tasks` is measured
    #[arg(long, default_value = "target/components/ten_tasks.wasm")]
    guest: PathBuf,
    /// Where the databases are made; its disk is what is measured
    #[arg(long, default_value = "target/bench")]
    dir: PathBuf,
    /// Only run one thing end to end, for a profiler: nothing is compared
    #[arg(long, conflicts_with_all = ["check", "write"])]
    profile: Option<Profiled>,
    /// Measure the API of a server instead, with this binary
    #[arg(long, value_name = "RETAKE", conflicts_with_all = ["profile", "write"])]
    api: Option<PathBuf>,
    /// Measure the sandboxes of every language instead: the smallest task of its example, raw and ours
    #[arg(long, conflicts_with_all = ["profile", "write", "api"])]
    languages: bool,
    /// Write the figures to benches/RESULTS.md
    #[arg(long)]
    write: bool,
}

/// What `--profile` runs.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Profiled {
    /// The raw line
    Raw,
    /// Ours
    Ours,
    /// Ours without sandboxes: the engine and the store
    Unsandboxed,
}

/// How many runs are suspended at once, and how many before them fill the caches: as many as 32 MiB of pages hold.
const SUSPENDED: usize = 100_000;
const FILLING: usize = 150_000;

fn main() -> anyhow::Result<std::process::ExitCode> {
    retake_process::keep_free_pages();
    let args = Args::parse();
    std::fs::create_dir_all(&args.dir)?;
    let length = Duration::from_secs_f64(args.seconds);
    if let Some(binary) = &args.api {
        let fine = api::measure(binary, &args.guest, &args.dir)?;
        println!("{}", if fine { "every target is met" } else { "a target is missed" });
        return Ok(std::process::ExitCode::from(u8::from(args.check && !fine)));
    }
    if args.languages {
        let fine = languages(&args)?;
        return Ok(std::process::ExitCode::from(u8::from(args.check && !fine)));
    }
    let guest = component(&args.guest)?;
    if let Some(profiled) = args.profile {
        profile(&args, profiled, &guest, length)?;
        return Ok(std::process::ExitCode::SUCCESS);
    }
    let mut report = Report::default();

    report.sync = measure::fdatasync(&args.dir, length.min(Duration::from_secs(2)))?;
    report.line(format!("fdatasync of 4 KiB: p50 {:.3} ms, p99 {:.3} ms", report.sync.p50_ms, report.sync.p99_ms));

    let ours = Ours::new(&guest, &args.dir, args.threads)?;
    let raw = Raw::new(&guest)?;
    report.sandboxes = sandboxes(&raw, &ours, "step", "{\"number\":1}", &args)?;
    report.flows = Some(ours.flow_sandboxes(length / 2)?);
    report.sandbox_lines();

    for concurrency in args.concurrency {
        for _ in 0..args.repeats {
            let raw = raw.end_to_end(&args.dir, concurrency, args.raw_threads, length)?;
            // A shared disk is quick in one second and slow in the next: what is compared is measured side by side.
            let sync = measure::fdatasync(&args.dir, Duration::from_millis(300))?;
            let ours = ours.end_to_end(concurrency, length)?;
            if concurrency == 1 {
                let after = measure::fdatasync(&args.dir, Duration::from_millis(300))?;
                report.alone.push(((sync.p50_ms + after.p50_ms) / 2.0, ours.p50_ms));
            }
            report.end_to_end.push((concurrency, raw, ours));
        }
        report.end_to_end_lines(concurrency);
    }
    report.bytes_per_task = ours.bytes_per_task(10_000)?;
    report.line(format!("database bytes per task attempt after 10,000 runs: {:.0}", report.bytes_per_task));
    report.growth = ours.growth()?;
    report.line(format!("CPU of a task attempt in a run of 10,000 tasks ÷ in runs of ten: {:.2}", report.growth));
    report.parked_bytes = ours.parked(500)?;
    report.line(format!("resident memory of a parked run: {:.1} KiB", report.parked_bytes / 1024.0));
    report.suspended_bytes = ours.suspended(FILLING, SUSPENDED)?;
    report.line(format!("resident memory of each of {SUSPENDED} suspended runs: {:.0} bytes", report.suspended_bytes));

    let fine = report.targets();
    if args.write {
        std::fs::write("benches/RESULTS.md", report.markdown(&args.guest, args.raw_threads, args.threads))?;
    }
    Ok(std::process::ExitCode::from(u8::from(args.check && !fine)))
}

fn component(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| anyhow::anyhow!("`{}`: {error}; `cargo xtask guests` builds it", path.display()))
}

/// Measures fresh sandboxes with a call of a task, raw and ours by turns.
fn sandboxes(raw: &Raw, ours: &Ours, task: &str, input: &str, args: &Args) -> anyhow::Result<Vec<(Cost, Cost)>> {
    let length = Duration::from_secs_f64(args.seconds / 2.0);
    let pair = |_| Ok((raw.sandboxes(task, input, length)?, ours.sandboxes(task, input, length)?));
    (0..args.repeats).map(pair).collect()
}

/// Measures P1 for a component of each language: its interpreter is in each sandbox, so that what is ours must vanish
/// beside it.
fn languages(args: &Args) -> anyhow::Result<bool> {
    let mut fine = true;
    for (language, name) in
        [("Rust", "behaviours"), ("C", "c"), ("Go", "go"), ("JavaScript", "javascript"), ("Python", "python")]
    {
        let guest = component(&args.guest.with_file_name(format!("{name}.wasm")))?;
        let (raw, ours) = (Raw::new(&guest)?, Ours::new(&guest, &args.dir, args.threads)?);
        fine &= report::sandboxes_of(language, &sandboxes(&raw, &ours, "double", "{\"n\":1}", args)?);
    }
    Ok(fine)
}

fn profile(args: &Args, profiled: Profiled, guest: &[u8], length: Duration) -> anyhow::Result<()> {
    let mut ours = Ours::new(guest, &args.dir, args.threads)?;
    if profiled == Profiled::Unsandboxed {
        ours = ours.unsandboxed();
    }
    let raw = (profiled == Profiled::Raw).then(|| Raw::new(guest)).transpose()?;
    for &concurrency in &args.concurrency {
        let cost = match &raw {
            Some(raw) => raw.end_to_end(&args.dir, concurrency, args.raw_threads, length)?,
            None => ours.end_to_end(concurrency, length)?,
        };
        let measure::Cost { per_second, p50_ms, p99_ms, cpu_us, threads, .. } = cost;
        println!(
            "{concurrency} at once: {per_second:.0} runs/s, p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms, {cpu_us:.0} µs CPU a run"
        );
        for (name, measure::Spent { ran, waited }) in threads.iter().filter(|(_, it)| it.ran.as_micros() > 0) {
            let (ran, waited) = (ran.as_micros(), waited.as_micros());
            println!("    {name}: {ran} µs a run, and {waited} µs waiting for a core");
        }
    }
    Ok(())
}
