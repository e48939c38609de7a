//! The real binary, killed again and again, with books of what its tasks did that are kept outside of it
//! (safety.md, H3: G-R1, G-R2, G-R3, G-R7).
//!
//! `RETAKE_CYCLES=N` kills it another number of times, `RETAKE_SEED=N` chooses when: to the millisecond, so that a
//! failure need not come again at the first try.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::collections::HashMap;
use std::io::Read;
use std::process::Child;
use std::time::{Duration, Instant};

use retake_tests::{Retake, component};
use serde_json::Value;

/// How often it is killed on every change.
const CYCLES: u64 = 500;
/// Runs under way at once: the next is asked for when one of them has ended.
const RUNS: usize = 4;

const REPLAY: &str = "cargo test -p retake-tests --test torture -- nothing_is_lost --nocapture";

/// What was seen of one step of one run.
#[derive(Debug, Default)]
struct Step {
    /// The value of each time that it was done.
    values: Vec<String>,
    /// The value that it had when it was said to be done.
    kept: Option<String>,
}

/// What was seen from outside.
#[derive(Debug, Default)]
struct Books {
    steps: HashMap<String, Step>,
    /// Keys of runs that were said to be made.
    made: Vec<String>,
    acks: u64,
    effects: u64,
}

impl Books {
    /// Reads what a process said until it was killed. Half a line was not said.
    fn read(&mut self, said: &str) {
        for line in said.split_inclusive('\n').filter(|it| it.ends_with('\n')) {
            if let Some((_, effect)) = line.split_once("effect ") {
                let (step, value) = effect.trim().split_once(' ').unwrap();
                let seen = self.steps.entry(step.to_owned()).or_default();
                assert!(seen.kept.is_none(), "{step} was done again after its result was kept");
                seen.values.push(value.to_owned());
                self.effects += 1;
            } else if let Some((_, ended)) = line.split_once("✔ ") {
                let step = ended.split_whitespace().next().unwrap();
                let seen = self.steps.get_mut(step).unwrap_or_else(|| panic!("{step} was never begun: {line}"));
                assert!(seen.kept.is_none(), "{step} was kept twice");
                seen.kept = seen.values.last().cloned();
                self.acks += 1;
            }
        }
    }
}

/// Kills a process after a while, and returns what it had said.
fn kill_after(mut child: Child, wait: Duration) -> String {
    let mut stderr = child.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        stderr.read_to_end(&mut said).unwrap();
        String::from_utf8_lossy(&said).into_owned()
    });
    std::thread::sleep(wait);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

/// Kills `cycles` processes on one data directory, then lets everything end, and closes the books.
fn torture(cycles: u64, seed: u64) -> Books {
    let retake = Retake::new();
    let effects = component("effects");
    let effects = effects.to_str().unwrap();
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut books = Books::default();
    // Compiled once, so that what is killed is at work.
    retake.expect(0, &["run", effects, "-p", "key=first", "-p", "steps=2", "-q"]);
    let mut asked = 0;
    for cycle in 0..cycles {
        let open =
            retake.json(&["ps", "--state", "scheduled,late,running,retrying,awaiting-retry,suspended", "-n", "50"]);
        let crashed = retake.json(&["ps", "--state", "crashed", "-n", "50"]);
        // Whoever died three times in a row is for a person to retry.
        let crashed = crashed.as_array().unwrap().first().map(|it| it["id"].as_str().unwrap().to_owned());
        let (key, id);
        let args: Vec<&str> = if let Some(run) = crashed {
            id = run;
            vec!["retry", &id]
        } else if open.as_array().unwrap().len() < RUNS {
            asked += 1;
            key = format!("key=k{asked}");
            vec!["run", effects, "--key", &key, "-p", &key, "-p", "steps=12", "-p", "pause_ms=25"]
        } else {
            vec!["worker"]
        };
        let child = retake.spawn(&args);
        let said = kill_after(child, Duration::from_millis(rng.u64(2..300)));
        if args[0] == "run" && said.contains(" of effects\n") {
            books.made.push(format!("k{asked}"));
        }
        books.read(&said);
        if cycle % 100 == 99 {
            eprintln!("torture: {} kills, {} results kept", cycle + 1, books.acks);
        }
    }
    heal(&retake, &mut books);
    books
}

/// Lets everything end.
fn heal(retake: &Retake, books: &mut Books) {
    let began = Instant::now();
    loop {
        let child = retake.spawn(&["worker", "--drain"]);
        let output = child.wait_with_output().unwrap();
        books.read(&String::from_utf8_lossy(&output.stderr));
        let crashed = retake.json(&["ps", "--state", "crashed", "-n", "1000"]);
        let crashed = crashed.as_array().unwrap().clone();
        if crashed.is_empty() {
            break;
        }
        for run in crashed {
            let child = retake.spawn(&["retry", run["id"].as_str().unwrap()]);
            let output = child.wait_with_output().unwrap();
            books.read(&String::from_utf8_lossy(&output.stderr));
        }
        assert!(began.elapsed() < Duration::from_secs(120), "not everything ends");
    }
    let runs = retake.json(&["ps", "-n", "10000"]);
    let runs = runs.as_array().unwrap();
    let key = |run: &Value| run["parameters"]["key"].as_str().unwrap().to_owned();
    for made in &books.made {
        assert!(runs.iter().any(|it| key(it) == *made), "the run {made} was said to be made, and is lost");
    }
    for run in runs.iter().filter(|it| key(it) != "first") {
        let run = retake.json(&["show", run["id"].as_str().unwrap()]);
        assert_eq!(run["state"], "Completed", "{run:#}");
        for (number, value) in run["result"].as_array().unwrap().iter().enumerate() {
            let step = format!("{}/{number}", key(&run));
            let seen = &books.steps[&step];
            let value = value.to_string();
            assert!(seen.values.contains(&value), "{step}: {value} was never done: {seen:?}");
            if let Some(kept) = &seen.kept {
                assert_eq!(*kept, value, "{step}: the result that was kept was changed: {seen:?}");
            }
        }
    }
    assert!(retake.expect(0, &["db", "check"]).out.contains("all is well"));
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |it| it.parse().unwrap_or_else(|_| panic!("`{name}` is not a number")))
}

#[test]
fn nothing_is_lost_however_often_it_is_killed() {
    let (cycles, seed) = (number("RETAKE_CYCLES", CYCLES), number("RETAKE_SEED", 1));
    eprintln!("torture: again with RETAKE_SEED={seed} RETAKE_CYCLES={cycles} {REPLAY}");
    let began = Instant::now();
    let both: Vec<Books> = std::thread::scope(|scope| {
        let started = [seed, seed + 1].map(|seed| scope.spawn(move || torture(cycles / 2, seed)));
        started.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let (mut runs, mut effects, mut acks, mut twice) = (0, 0, 0, 0);
    for books in &both {
        runs += books.made.len();
        effects += books.effects;
        acks += books.acks;
        twice += books.steps.values().map(|it| it.values.len() as u64 - 1).sum::<u64>();
    }
    eprintln!(
        "torture: {cycles} kills, {runs} runs, {acks} results kept: 0 lost or changed, 0 made again; {effects} effects, \
         {twice} of them again because their result was not kept yet; {:.0?}",
        began.elapsed()
    );
    assert!(acks > cycles / 2 && runs as u64 > cycles / 50, "too little happened to prove anything");
    assert!(twice <= cycles * 4, "an effect is repeated only where a kill came between it and its result");
}

/// The measure of the test above: what it counts as done again is so because of its kills (G-R7).
#[test]
fn without_kills_nothing_is_done_twice() {
    let (retake, mut books) = (Retake::new(), Books::default());
    for run in 0..RUNS {
        let key = format!("key=k{run}");
        let effects = component("effects");
        let said = retake.expect(0, &["run", effects.to_str().unwrap(), "-p", &key, "-p", "steps=12"]);
        books.read(&said.err);
    }
    assert_eq!((books.steps.len(), books.effects, books.acks), (RUNS * 12, RUNS as u64 * 12, RUNS as u64 * 12));
    assert!(books.steps.values().all(|it| it.values.len() == 1 && it.kept.is_some()), "{books:#?}");
}
