//! The figures, the targets that are due, and the page they are written to.

use std::fmt::Write as _;
use std::path::Path;

use crate::measure::Cost;

#[derive(Default)]
pub(crate) struct Report {
    pub(crate) sync: Cost,
    /// Raw and ours, for each repeat.
    pub(crate) sandboxes: Vec<(Cost, Cost)>,
    pub(crate) flows: Option<Cost>,
    /// Concurrency, raw and ours, for each repeat.
    pub(crate) end_to_end: Vec<(usize, Cost, Cost)>,
    /// The median fdatasync around one run alone, and the median of such runs, in milliseconds, for each repeat.
    pub(crate) alone: Vec<(f64, f64)>,
    pub(crate) bytes_per_task: f64,
    pub(crate) growth: f64,
    pub(crate) parked_bytes: f64,
    pub(crate) suspended_bytes: f64,
    lines: Vec<String>,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Most that a fresh task sandbox with its call may cost, of what the same costs raw.
const SANDBOX: f64 = 1.5;

fn word(fine: bool) -> &'static str {
    if fine { "met" } else { "FALLS SHORT" }
}

/// Prints what a fresh sandbox with a call costs in a language, raw and ours for each repeat, and returns whether that
/// is within the target.
pub(crate) fn sandboxes_of(language: &str, pairs: &[(Cost, Cost)]) -> bool {
    let of = |pick: fn(&(Cost, Cost)) -> f64| median(pairs.iter().map(pick).collect());
    let (raw, ours) = (of(|it| it.0.cpu_us), of(|it| it.1.cpu_us));
    let ratio = of(|(raw, ours)| ours.cpu_us / raw.cpu_us);
    let fine = ratio <= SANDBOX;
    println!(
        "{language:>10}: task sandbox with its call, raw {raw:7.1} µs CPU, ours {ours:7.1} µs CPU, ÷ raw {ratio:.2} \
         (target ≤ {SANDBOX:.2}): {}",
        word(fine)
    );
    fine
}

impl Report {
    pub(crate) fn line(&mut self, line: String) {
        println!("{line}");
        self.lines.push(line);
    }

    pub(crate) fn sandbox_lines(&mut self) {
        let of = |pick: fn(&(Cost, Cost)) -> f64| median(self.sandboxes.iter().map(pick).collect());
        let (raw, ours) = (of(|it| it.0.cpu_us), of(|it| it.1.cpu_us));
        let rates = (of(|it| it.0.per_second), of(|it| it.1.per_second));
        let flows = self.flows.clone().unwrap_or_default();
        self.line(format!("task sandbox with its call, raw:  {raw:6.1} µs CPU, {:8.0}/s on one thread", rates.0));
        self.line(format!("task sandbox with its call, ours: {ours:6.1} µs CPU, {:8.0}/s on one thread", rates.1));
        self.line(format!(
            "flow sandbox with its call, ours: {:6.1} µs CPU, {:8.0}/s on one thread",
            flows.cpu_us, flows.per_second
        ));
    }

    fn at(&self, concurrency: usize, pick: impl Fn(&Cost, &Cost) -> f64) -> Option<f64> {
        let here = self.end_to_end.iter().filter(|it| it.0 == concurrency);
        let values: Vec<f64> = here.map(|(_, raw, ours)| pick(raw, ours)).collect();
        (!values.is_empty()).then(|| median(values))
    }

    pub(crate) fn end_to_end_lines(&mut self, concurrency: usize) {
        let of = |pick: fn(&Cost, &Cost) -> f64| self.at(concurrency, pick).unwrap_or(f64::NAN);
        let line = |name: &str, pick: [f64; 5]| {
            format!(
                "{concurrency:5} at once, {name}: {:8.0} task attempts/s, {:7.0} runs/s, p50 {:8.2} ms, p99 {:8.2} ms, \
                 {:6.0} µs CPU a run, {:5.0} MiB",
                pick[0] * 10.0,
                pick[0],
                pick[1],
                pick[2],
                pick[3],
                pick[4]
            )
        };
        let raw = [
            of(|raw, _| raw.per_second),
            of(|raw, _| raw.p50_ms),
            of(|raw, _| raw.p99_ms),
            of(|raw, _| raw.cpu_us),
            of(|raw, _| raw.resident_mib),
        ];
        let ours = [
            of(|_, ours| ours.per_second),
            of(|_, ours| ours.p50_ms),
            of(|_, ours| ours.p99_ms),
            of(|_, ours| ours.cpu_us),
            of(|_, ours| ours.resident_mib),
        ];
        self.line(line("raw ", raw));
        self.line(line("ours", ours));
    }

    /// Prints each target that is due with its figure, and returns whether all are met.
    pub(crate) fn targets(&mut self) -> bool {
        let sandbox = median(self.sandboxes.iter().map(|(raw, ours)| ours.cpu_us / raw.cpu_us).collect());
        let ratio = |n| self.at(n, |raw, ours| ours.per_second / raw.per_second);
        let (hundred, thousand) = (ratio(100), ratio(1000));
        let cpu_ms = self.at(100, |_, ours| ours.cpu_us / 1000.0);
        let alone: Vec<f64> = self.alone.iter().map(|(sync, ours)| ours / (12.0 * sync + 2.0)).collect();
        let alone = (!alone.is_empty()).then(|| median(alone));
        let mut rows: Vec<(String, bool)> = Vec::new();
        let mut row = |name: &str, figure: Option<f64>, unit: &str, target: f64, at_most: bool| {
            let Some(figure) = figure else { return };
            let fine = if at_most { figure <= target } else { figure >= target };
            let sign = if at_most { "≤" } else { "≥" };
            let word = word(fine);
            rows.push((format!("{name}: {figure:.2}{unit} (target {sign} {target:.2}{unit}): {word}"), fine));
        };
        row("P1 CPU of a fresh task sandbox ÷ raw", Some(sandbox), "", SANDBOX, true);
        row("P2 durable task attempts/s ÷ raw, 100 at once", hundred, "", 0.6, false);
        row("P2 durable task attempts/s ÷ raw, 1,000 at once", thousand, "", 0.6, false);
        row("P3 CPU of a durable 10-task run, 100 at once", cpu_ms, " ms", 1.4, true);
        row("P4 one 10-task run alone, p50 ÷ (12 × fdatasync p50 + 2 ms)", alone, "", 1.0, true);
        row("P5 database bytes for each task attempt", Some(self.bytes_per_task), " B", 1024.0, true);
        row("P7 resident memory of a parked run", Some(self.parked_bytes / 1024.0), " KiB", 64.0, true);
        // Nothing: what is left is what the store's caches and the allocator do.
        row("P7 resident memory of a suspended run", Some(self.suspended_bytes), " B", 64.0, true);
        row("P11 CPU of a task attempt, 10,000-task run ÷ 10-task runs", Some(self.growth), "", 1.2, true);
        let fine = rows.iter().all(|(_, fine)| *fine);
        for (line, _) in rows {
            self.line(line);
        }
        fine
    }

    pub(crate) fn markdown(&self, guest: &Path, raw_threads: usize, threads: usize) -> String {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let mut text = String::from("# Results\n\n");
        let _ = writeln!(
            text,
            "Written by `cargo xtask bench --write`: {cores} cores, sandbox threads {raw_threads} raw and {threads} ours, guest `{}`.\n\
             Raw is the smallest program that does the same durable work with the same guest on the same disk \
             (`benches/src/raw.rs`); medians of {} repeats, raw and ours by turns.\n\
             What counts is a ratio: machines are shared, and a figure alone has an error of about a quarter.\n",
            guest.file_name().map(|it| it.to_string_lossy()).unwrap_or_default(),
            self.sandboxes.len(),
        );
        let _ = writeln!(text, "```\n{}\n```", self.lines.join("\n"));
        text
    }
}
