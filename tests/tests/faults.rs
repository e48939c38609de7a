//! Every durable call that the real binary makes while it does what people ask for, each gone wrong in every way: killed
//! before and after it, failed, cut short, on a full disk (safety.md, H2 and H11: F01 to F07, F12, F13; G-R8 to G-R10).
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;
use std::time::Instant;

use retake_store::upkeep;
use retake_tests::{Retake, component, path, preloaded, task};
use serde_json::{Value, json};

/// What is preloaded.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| preloaded("faults"))
}

/// Of the calls that go wrong seldom, one in so many does.
const SELDOM: u64 = 7;
/// The ways in which a call goes wrong, and how many calls there are for each that does, unless `RETAKE_FAULTS=all`.
const KINDS: [(&str, u64); 5] =
    [("kill-after", 1), ("eio", 2), ("kill-before", SELDOM), ("enospc", SELDOM), ("short", SELDOM)];
/// About so many calls make the database and keep the component.
const MADE: u64 = 80;
/// At least so many calls open a database that is there. They are the same for every command.
const OPENED: u64 = 16;

/// A command in which something goes wrong.
struct Scenario {
    /// What its figure is printed with.
    name: &'static str,
    /// Fills an empty data directory, and returns the run that is meant.
    prepare: fn(&Retake) -> String,
    /// What is typed about that run.
    command: fn(&str) -> Vec<String>,
    /// Asks again, lets everything end, and asserts that it ends as if nothing had gone wrong.
    check: fn(&Cut),
    /// So many calls go wrong in other scenarios too, and seldom here.
    seldom: u64,
    /// So many calls at least are there to go wrong, or the test tests nothing.
    least: u64,
}

/// A data directory in which a command was cut short.
struct Cut<'a> {
    retake: &'a Retake,
    run: &'a str,
    command: &'a [&'a str],
    output: Output,
    /// Which fault it was.
    what: String,
}

impl Cut<'_> {
    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Whether it was told that all was done.
    fn is_told(&self) -> bool {
        self.output.status.code() == Some(0)
    }

    /// Types something that ends with one of these exit codes.
    #[track_caller]
    fn expect(&self, exits: &[i32], args: &[&str]) -> i32 {
        let said = self.retake.say(args);
        let exit = said.exit.unwrap();
        let (what, before) = (&self.what, self.stderr());
        assert!(exits.contains(&exit), "{what}: {args:?} ended with {exit}: {}\nbefore: {before}", said.err);
        exit
    }

    /// Types the same again. Either it was not done before and is now, or it was, and is refused: never is it done twice.
    #[track_caller]
    fn again(&self) {
        let exit = self.expect(&[0, 6], self.command);
        assert!(exit == 6 || !self.is_told(), "{}: done twice", self.what);
    }

    fn show(&self) -> Value {
        self.retake.json(&["show", self.run])
    }

    /// Every task whose result was said to be kept had this many attempts in the end: it was not done again.
    #[track_caller]
    fn kept_is_kept(&self, run: &Value, attempts: impl Fn(&str) -> u64) {
        let what = &self.what;
        for line in self.stderr().lines() {
            let Some((_, rest)) = line.split_once("✔ ") else { continue };
            let name = rest.split_whitespace().next().unwrap();
            let made = task(run, name)["attempts"].as_u64().unwrap();
            assert_eq!(made, attempts(name), "{what}: {name} was done again after it was kept: {run:#}");
        }
    }
}

/// How often this happened to a run.
fn events(run: &Value, kind: &str) -> usize {
    run["events"].as_array().unwrap().iter().filter(|it| it["kind"] == kind).count()
}

fn words(args: &[&str]) -> Vec<String> {
    args.iter().map(|&it| it.to_owned()).collect()
}

/// In memory where there is room: that processes die and calls fail is what is tested, and no disk has to be waited for.
fn directory() -> Retake {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => Retake { dir: tempfile::tempdir_in(memory).unwrap(), ..Retake::new() },
        false => Retake::new(),
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// A data directory that holds what another does.
fn another(of: &Retake) -> Retake {
    let retake = directory();
    copy(&of.dir.path().join("data"), &retake.dir.path().join("data"));
    retake
}

/// Runs a command with a fault, and returns what it said and how many durable calls it made. Call 0 is none.
fn with(retake: &Retake, kind: &str, at: u64, args: &[&str]) -> (Output, u64) {
    let dir = retake.dir.path().canonicalize().unwrap();
    let (data, count) = (dir.join("data"), dir.join("count"));
    let mut command = retake.command(args);
    command.env("RETAKE_DATA", &data).env("FAULT_DIR", &data).env("FAULT_COUNT", &count);
    command.env("LD_PRELOAD", shim()).env("FAULT_AT", at.to_string()).env("FAULT_KIND", kind);
    let output = command.output().unwrap();
    let count = std::fs::read_to_string(count).map_or(0, |it| it.trim().parse().unwrap_or(0));
    (output, count)
}

impl Scenario {
    /// Lets one call go wrong and checks what comes of it. Returns the exit code, and whether there was such a call.
    fn survives(&self, prepared: &Retake, run: &str, kind: &str, at: u64) -> (Option<i32>, bool) {
        let retake = another(prepared);
        let command = (self.command)(run);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let (output, count) = with(&retake, kind, at, &command);
        let (exit, happened) = (output.status.code(), count >= at);
        let what = format!("{}, {kind} {at}", self.name);
        let cut = Cut { retake: &retake, run, command: &command, output, what };
        assert!(!cut.stderr().contains("panicked"), "{}: {}", cut.what, cut.stderr());
        let may = match kind {
            _ if !happened => exit == Some(0),
            "kill-before" | "kill-after" => exit.is_none(),
            _ => matches!(exit, Some(0 | 1 | 70)),
        };
        assert!(may, "{}: {exit:?}: {}", cut.what, cut.stderr());
        (self.check)(&cut);
        let problems = upkeep::check(&retake.dir.path().join("data")).unwrap().problems;
        assert!(problems.is_empty(), "{}: {problems:?}", cut.what);
        (exit, happened)
    }

    /// Lets calls go wrong, one after the other, until there is none left. All in every way where `RETAKE_FAULTS=all`.
    fn every_call(&self) {
        let (prepared, began) = (directory(), Instant::now());
        let run = (self.prepare)(&prepared);
        let command = (self.command)(&run);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let (_, total) = with(&another(&prepared), "kill-after", 0, &command);
        assert!(total >= self.least, "{}: only {total} calls were found", self.name);
        let all = std::env::var("RETAKE_FAULTS").is_ok_and(|it| it == "all");
        let mut figures = Vec::new();
        for (number, (kind, often)) in (0..).zip(KINDS) {
            let is_chosen = |at: u64| {
                let one_in = if at > self.seldom { often } else { SELDOM };
                all || at > total || at % one_in == number % one_in
            };
            let mut exits = Vec::new();
            for at in (1..).filter(|at| is_chosen(*at)) {
                let (exit, happened) = self.survives(&prepared, &run, kind, at);
                if !happened {
                    break;
                }
                exits.push(exit);
            }
            assert!(!exits.is_empty(), "{}: nothing was hit by {kind}", self.name);
            assert!(kind != "eio" || exits.contains(&Some(70)), "{}: {exits:?}", self.name);
            figures.push(format!("{} {kind}", exits.len()));
        }
        let (name, took) = (self.name, began.elapsed());
        eprintln!("faults: {name}: of {total} calls {}, in {took:.0?}", figures.join(", "));
    }
}

fn only_run(retake: &Retake) -> String {
    let runs = retake.json(&["ps"]);
    assert_eq!(runs.as_array().unwrap().len(), 1, "{runs:#}");
    runs[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn f01_a_run_goes_on_to_its_end_and_nothing_that_was_kept_is_done_again() {
    let scenario = Scenario {
        name: "run",
        // Compiled already: that takes longest, and can be done again.
        prepare: |retake| {
            let once = directory();
            once.expect(0, &["run", &path("orders"), "-q"]);
            copy(&once.dir.path().join("data/compiled"), &retake.dir.path().join("data/compiled"));
            String::new()
        },
        command: |_| words(&["run", &path("orders"), "--key", "one"]),
        check: |cut| {
            // Asked for again under its key, it is the same run, or made now if it was never made.
            cut.expect(&[0], cut.command);
            let run = cut.retake.json(&["show", &only_run(cut.retake)]);
            assert_eq!((&run["state"], &run["attempt"]), (&"Completed".into(), &1.into()), "{}: {run:#}", cut.what);
            cut.kept_is_kept(&run, |_| 1);
        },
        seldom: MADE,
        least: 2 * MADE,
    };
    scenario.every_call();
}

/// A run of `orders` whose last task has failed, and would succeed.
fn failed_orders(retake: &Retake) -> String {
    retake.expect(1, &["run", &path("orders"), "-p", "load=fail-once", "-q"]);
    only_run(retake)
}

#[test]
fn f05_a_manual_retry_that_is_asked_for_again_makes_one_attempt() {
    let scenario = Scenario {
        name: "retry",
        prepare: failed_orders,
        command: |run| words(&["retry", run, "--expected-attempt", "1"]),
        check: |cut| {
            let refused = cut.expect(&[0, 6], cut.command) == 6;
            assert!(refused || !cut.is_told(), "{}: retried twice", cut.what);
            if refused {
                // What was begun and has not ended goes on; what has ended is told again.
                cut.expect(&[0], &["watch", cut.run]);
            }
            cut.expect(&[6], cut.command);
            let run = cut.show();
            let seen = [&run["state"], &run["attempt"], &run["round"]];
            assert_eq!(seen, [&json!("Completed"), &json!(2), &json!(2)], "{}: {run:#}", cut.what);
            let attempts = ["extract", "enrich", "load"].map(|it| task(&run, it)["attempts"].as_u64().unwrap());
            assert_eq!(attempts, [1, 1, 2], "{}: {run:#}", cut.what);
            assert_eq!((run["attempts"].as_array().unwrap().len(), events(&run, "manual-retry")), (2, 1), "{run:#}");
        },
        seldom: OPENED,
        least: 40,
    };
    scenario.every_call();
}

/// Whether every run of the tree is cancelled; fails when only some are.
#[track_caller]
fn is_cancelled(cut: &Cut) -> bool {
    let runs = cut.retake.json(&["ps", "--all"]);
    let states: Vec<_> = runs.as_array().unwrap().iter().map(|it| it["state"].as_str().unwrap()).collect();
    let cancelled = states.iter().filter(|it| **it == "Cancelled").count();
    assert!(
        states.len() >= 3 && (cancelled == 0 || cancelled == states.len()),
        "{}: half is cancelled: {states:?}",
        cut.what
    );
    cancelled > 0
}

fn cancelled_as_one(cut: &Cut) {
    let is_done = is_cancelled(cut);
    assert!(is_done || !cut.is_told(), "{}: told, and not done", cut.what);
    assert_eq!(cut.expect(&[0, 6], cut.command) == 6, is_done, "{}", cut.what);
    // Nobody works on any of it afterwards.
    cut.expect(&[0], &["worker", "--drain"]);
    assert!(is_cancelled(cut), "{}", cut.what);
    let run = cut.show();
    assert_eq!(events(&run, "cancel"), 1, "{}: {run:#}", cut.what);
}

#[test]
fn f07_a_tree_that_waits_is_cancelled_as_one() {
    let scenario = Scenario {
        name: "cancel a tree that waits",
        prepare: |retake| {
            retake.expect(124, &["run", &path("family"), "-q"]);
            let runs = retake.json(&["ps", "--all"]);
            let mut states: Vec<_> = runs.as_array().unwrap().iter().map(|it| it["state"].as_str().unwrap()).collect();
            states.sort_unstable();
            assert_eq!(states, ["AwaitingRetry", "Suspended", "Suspended", "Suspended"]);
            only_run(retake)
        },
        command: |run| words(&["cancel", run]),
        check: cancelled_as_one,
        seldom: OPENED,
        least: 20,
    };
    scenario.every_call();
}

#[test]
fn f07_a_tree_whose_host_died_is_cancelled_as_one() {
    let scenario = Scenario {
        name: "cancel a tree whose host died",
        prepare: |retake| {
            let mut child = retake.start(&["run", &path("family"), "-p", "awake=true"], "dozing");
            child.kill().unwrap();
            child.wait().unwrap();
            only_run(retake)
        },
        command: |run| words(&["cancel", run]),
        check: cancelled_as_one,
        seldom: OPENED,
        least: 20,
    };
    scenario.every_call();
}

#[test]
fn a_result_is_set_by_hand_once_and_fed_back() {
    const RECEIPT: &str = r#"{"customer":"acme","orders":3,"cents":1,"load_attempt":0}"#;
    let scenario = Scenario {
        name: "task set-result",
        prepare: failed_orders,
        command: |run| words(&["task", "set-result", run, "load", "--json", RECEIPT]),
        check: |cut| {
            cut.again();
            cut.expect(&[0], &["retry", cut.run]);
            let run = cut.show();
            let load = task(&run, "load");
            let seen = [&run["state"], &run["result"]["cents"], &load["by_hand"], &load["attempts"]];
            assert_eq!(seen, [&json!("Completed"), &json!(1), &json!(true), &json!(1)], "{}: {run:#}", cut.what);
            assert_eq!(events(&run, "set-result"), 1, "{}: {run:#}", cut.what);
        },
        seldom: OPENED,
        least: 20,
    };
    scenario.every_call();
}

fn fixture(name: &str, retake: &Retake) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    copy(&fixtures.join(name), &retake.dir.path().join("data"));
    String::new()
}

/// A migration that was cut short has happened or has not: it is asked for again, and what was kept is there. That
/// runs go on then is what `upgrade.rs` is about.
fn migrated(name: &'static str, seldom: u64, prepare: fn(&Retake) -> String) -> Scenario {
    Scenario {
        name,
        prepare,
        command: |_| words(&["db", "migrate"]),
        check: |cut| {
            cut.expect(&[0], cut.command);
            let runs = cut.retake.json(&["ps"]);
            let failed = runs.as_array().unwrap().iter().find(|it| it["state"] == "Failed" && it["flow"] == "orders");
            let failed = failed.unwrap_or_else(|| panic!("{}: {runs:#}", cut.what))["id"].as_str().unwrap();
            let run = cut.retake.json(&["show", failed]);
            let extract = task(&run, "extract");
            assert!(extract["attempts"] == 1 && !extract["result"].is_null(), "{}: {run:#}", cut.what);
        },
        seldom,
        // It is only being opened.
        least: 20,
    }
}

#[test]
fn f08_a_migration_from_schema_1_happens_or_does_not() {
    migrated("migration from schema 1", 0, |retake| fixture("schema-1", retake)).every_call();
}

#[test]
fn f08_a_migration_from_schema_2_happens_or_does_not() {
    // The same steps but the first.
    migrated("migration from schema 2", MADE, |retake| fixture("schema-2", retake)).every_call();
}

/// A run that begins in an hour.
fn distant(retake: &Retake) -> String {
    retake.say(&["run", &path("orders"), "--in", "1h", "-q"]);
    assert_eq!(retake.json(&["ps"])[0]["state"], "Scheduled");
    only_run(retake)
}

#[test]
fn a_run_is_paused_or_not_and_is_when_it_is_asked_again() {
    let scenario = Scenario {
        name: "pause",
        prepare: distant,
        command: |run| words(&["pause", run]),
        check: |cut| {
            let state = cut.show()["state"].clone();
            assert!(state == "Paused" || (state == "Scheduled" && !cut.is_told()), "{}: {state}", cut.what);
            // Who pauses what is paused has what was asked for.
            cut.expect(&[0], cut.command);
            assert_eq!(cut.show()["state"], "Paused", "{}", cut.what);
        },
        // How a database is opened goes wrong everywhere in this one.
        seldom: 0,
        least: 20,
    };
    scenario.every_call();
}

#[test]
fn a_run_is_resumed_once_and_is_done_once() {
    let scenario = Scenario {
        name: "resume",
        prepare: |retake| {
            let run = distant(retake);
            retake.expect(0, &["pause", &run]);
            run
        },
        command: |run| words(&["resume", run]),
        check: |cut| {
            let state = cut.show()["state"].clone();
            assert!(state == "Scheduled" || (state == "Paused" && !cut.is_told()), "{}: {state}", cut.what);
            cut.again();
            let run = cut.show();
            assert_eq!((&run["state"], events(&run, "resume")), (&"Scheduled".into(), 1), "{}: {run:#}", cut.what);
            cut.expect(&[0], &["run-now", cut.run]);
            cut.expect(&[0], &["watch", cut.run]);
            let run = cut.show();
            assert_eq!((&run["state"], &run["attempt"]), (&"Completed".into(), &1.into()), "{}: {run:#}", cut.what);
        },
        seldom: OPENED,
        least: 20,
    };
    scenario.every_call();
}

/// It failed once, waited once, and completed in its second attempt.
fn retried_once(cut: &Cut, run: &str) {
    let run = cut.retake.json(&["show", run]);
    let seen = [&run["state"], &run["attempt"], &run["round"], &run["result"]["attempt"]];
    assert_eq!(seen, [&json!("Completed"), &json!(2), &json!(1), &json!(2)], "{}: {run:#}", cut.what);
    let attempts = run["attempts"].as_array().unwrap();
    let numbers: Vec<_> = attempts.iter().map(|it| it["attempt"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2], "{}: {run:#}", cut.what);
    assert_eq!(attempts[0]["failure"]["code"], "luck.bad", "{}: {run:#}", cut.what);
}

#[test]
fn f04_a_run_that_waits_for_its_retry_is_retried_once() {
    let scenario = Scenario {
        name: "wait for a retry",
        prepare: |retake| {
            retake.expect(0, &["run", &path("retry_it"), "-p", "fail_times=0", "-q"]);
            String::new()
        },
        command: |_| words(&["run", "retry-it", "-p", "fail_times=1", "--retry-delay", "30ms", "--key", "one"]),
        check: |cut| {
            cut.expect(&[0], cut.command);
            let runs = cut.retake.json(&["ps"]);
            assert_eq!(runs.as_array().unwrap().len(), 2, "{}: {runs:#}", cut.what);
            retried_once(cut, runs[0]["id"].as_str().unwrap());
        },
        seldom: OPENED,
        least: 50,
    };
    scenario.every_call();
}

/// A run whose second attempt is due.
fn due(retake: &Retake) -> String {
    retake.expect(124, &["run", &path("retry_it"), "-p", "fail_times=1", "--retry-delay", "1h", "-q"]);
    let run = only_run(retake);
    retake.expect(0, &["run-now", &run, "-q"]);
    run
}

#[test]
fn f04_a_retry_that_is_due_is_begun_once_by_who_watches_it() {
    let scenario = Scenario {
        name: "watch a retry that is due",
        prepare: due,
        command: |run| words(&["watch", run]),
        check: |cut| {
            cut.expect(&[0], cut.command);
            retried_once(cut, cut.run);
        },
        seldom: OPENED,
        least: 30,
    };
    scenario.every_call();
}

#[test]
fn f04_a_retry_that_is_due_is_begun_once_by_a_worker() {
    let scenario = Scenario {
        name: "worker with a retry that is due",
        prepare: due,
        command: |_| words(&["worker", "--drain"]),
        check: |cut| {
            cut.expect(&[0], cut.command);
            retried_once(cut, cut.run);
        },
        // It does what `watch` does, which goes wrong everywhere.
        seldom: u64::MAX,
        least: 30,
    };
    scenario.every_call();
}

/// A file system of its own that holds 96 MiB (the log alone may become 32 MiB long), in a namespace that lasts as long as a process in it.
struct Small {
    holder: std::process::Child,
    path: PathBuf,
}

impl Small {
    /// Makes one, or fails; `None` where somebody has said that it cannot be done.
    fn new() -> Option<Self> {
        let script = "mount -t tmpfs -o size=96m,mode=0700 tmpfs /mnt && echo mounted && exec sleep 1000";
        let mut unshare = std::process::Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
        let mut holder = unshare.stdout(std::process::Stdio::piped()).spawn().expect("`unshare` is of util-linux");
        let mut said = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.take().unwrap()), &mut said).unwrap();
        if said != "mounted\n" {
            holder.wait().unwrap();
            let is_known = std::env::var("RETAKE_NO_NAMESPACES").is_ok_and(|it| it == "1");
            assert!(
                is_known,
                "this system lets nobody make a mount namespace, so full disks cannot be tested: allow it \
                 (`sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` on Ubuntu, `--privileged` in a container), \
                 or set RETAKE_NO_NAMESPACES=1 to leave them out"
            );
            return None;
        }
        let path = PathBuf::from(format!("/proc/{}/root/mnt", holder.id()));
        Some(Self { holder, path })
    }

    /// Takes every byte that is left.
    fn fill(&self) {
        use std::io::Write;
        let mut ballast = std::fs::File::options().create(true).append(true).open(self.path.join("ballast")).unwrap();
        while ballast.write(&[0; 4096]).is_ok_and(|it| it > 0) {}
    }

    fn free(&self) {
        std::fs::remove_file(self.path.join("ballast")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        self.holder.kill().unwrap();
        self.holder.wait().unwrap();
    }
}

const REPLAY: &str = "cargo test -p retake-tests --test faults -- f12 --nocapture";

#[test]
fn f12_a_disk_that_fills_up_and_is_freed_again_loses_nothing() {
    let began = Instant::now();
    let cycles = std::env::var("RETAKE_CYCLES").map_or(12, |it| it.parse::<u64>().unwrap().min(200));
    let Some(small) = Small::new() else {
        return eprintln!("faults: full disks are left out, because RETAKE_NO_NAMESPACES is 1");
    };
    let flow = component("fan_out");
    let retake = Retake::new();
    let on_it = |args: &[&str]| {
        let mut command = std::process::Command::new("nsenter");
        command.args(["--user", "--mount", "--preserve-credentials", "--target", &small.holder.id().to_string()]);
        command.arg(retake.command(&[]).get_program()).args(args).env("RETAKE_DATA", "/mnt/data");
        command
    };
    let say = |args: &[&str]| on_it(args).output().unwrap();
    assert!(say(&["run", flow.to_str().unwrap(), "-p", "n=1"]).status.success());
    let seed = std::env::var("RETAKE_SEED").map_or(1, |it| it.parse().unwrap());
    eprintln!("faults: full disks again with RETAKE_SEED={seed} RETAKE_CYCLES={cycles} {REPLAY}");
    let (mut chance, mut exits) = (fastrand::Rng::with_seed(seed), std::collections::BTreeMap::<_, u32>::new());
    for cycle in 0..cycles {
        let key = format!("cycle-{cycle}");
        let run = ["run", "fan-out", "-p", "n=300", "--key", &key];
        let wait = |most| std::thread::sleep(std::time::Duration::from_millis(most));
        if cycle % 4 == 0 {
            small.fill();
        }
        let mut command = on_it(&run);
        let child = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        wait(chance.u64(1..150));
        if cycle % 4 != 0 {
            small.fill();
        }
        wait(300);
        small.free();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked"), "{said}");
        assert!(matches!(output.status.code(), Some(0 | 1 | 70)), "cycle {cycle}: {:?}: {said}", output.status);
        *exits.entry(output.status.code()).or_default() += 1;
        let again = say(&run);
        assert!(again.status.success(), "cycle {cycle}: {}", String::from_utf8_lossy(&again.stderr));
    }
    let runs: serde_json::Value = serde_json::from_slice(&say(&["ps", "-n", "1000", "-o", "json"]).stdout).unwrap();
    assert_eq!(runs.as_array().unwrap().len() as u64, cycles + 1, "one run for each key");
    assert!(runs.as_array().unwrap().iter().all(|it| it["state"] == "Completed"), "{runs:#}");
    assert!(say(&["db", "check"]).status.success());
    eprintln!("faults: {cycles} times full and freed: 0 runs lost, exits {exits:?}, in {:.0?}", began.elapsed());
}
