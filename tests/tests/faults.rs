//! Every durable call that the real binary makes, each gone wrong in every way: killed before and after it, failed,
//! cut short, on a full disk (safety.md, H2 and H11: F01 to F03, F06, F12, F13; G-R9, G-R10).
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;
use std::time::Instant;

use retake_tests::{Retake, component, preloaded, task};

/// What is preloaded.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| preloaded("faults"))
}

/// About so many calls make the database and keep the component.
const MADE: u64 = 80;

/// One process with one fault.
struct Fault {
    kind: &'static str,
    at: u64,
}

/// Runs a command with a fault, and returns what it said and how many durable calls it made.
fn with(retake: &Retake, fault: &Fault, args: &[&str]) -> (Output, u64) {
    let dir = retake.dir.path().canonicalize().unwrap();
    let count = dir.join("count");
    let _ = std::fs::remove_file(&count);
    let mut command = retake.command(args);
    command.env("LD_PRELOAD", shim()).env("FAULT_DIR", dir.join("data")).env("FAULT_COUNT", &count);
    command.env("FAULT_AT", fault.at.to_string()).env("FAULT_KIND", fault.kind);
    let output = command.output().unwrap();
    let count = std::fs::read_to_string(count).map_or(0, |it| it.trim().parse().unwrap_or(0));
    (output, count)
}

/// Tasks whose results were said to be kept.
fn kept(output: &Output) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let ended = said.lines().filter_map(|it| it.split_once("✔ "));
    ended.map(|(_, rest)| rest.split_whitespace().next().unwrap().to_owned()).collect()
}

/// A data directory of its own, in which `orders` is compiled already: that takes longest, and can be done again.
fn compiled() -> Retake {
    static COMPILED: OnceLock<Retake> = OnceLock::new();
    let once = COMPILED.get_or_init(|| {
        let retake = Retake::new();
        retake.expect(0, &["run", component("orders").to_str().unwrap()]);
        retake
    });
    let retake = Retake::new();
    let (from, to) = (once.dir.path().join("data/compiled"), retake.dir.path().join("data/compiled"));
    std::fs::create_dir_all(&to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
    retake
}

/// A run of `orders` with one fault in it goes on to its end, with every result that was said to be kept.
fn survives(kind: &'static str, at: u64) -> (bool, Option<i32>) {
    let retake = compiled();
    let orders = component("orders");
    let args = ["run", orders.to_str().unwrap(), "--key", "one"];
    let (output, count) = with(&retake, &Fault { kind, at }, &args);
    let said = || String::from_utf8_lossy(&output.stderr).into_owned();
    let kept = kept(&output);
    if count < at {
        assert_eq!(output.status.code(), Some(0), "{kind} {at} never happened: {}", said());
        return (false, Some(0));
    }
    assert!(!said().contains("panicked"), "{kind} {at}: {}", said());
    // Asked for again under its key, it is the same run, or made now if it was never made.
    let exit = retake.say(&[&args[..], &["-q"]].concat()).exit;
    assert_eq!(exit, Some(0), "{kind} {at}: {}", said());
    let runs = retake.json(&["ps"]);
    assert_eq!(runs.as_array().unwrap().len(), 1, "{kind} {at}");
    let run = retake.json(&["show", runs[0]["id"].as_str().unwrap()]);
    assert_eq!(run["state"], "Completed", "{kind} {at}: {run:#}");
    for name in &kept {
        let task = task(&run, name);
        assert_eq!(task["attempts"], 1, "{kind} {at}: {name} was done again after its result was kept: {run:#}");
    }
    assert!(retake.expect(0, &["db", "check"]).out.contains("all is well"), "{kind} {at}");
    (true, output.status.code())
}

/// Lets durable calls go wrong, one after the other, until there is none left. Every one where `RETAKE_FAULTS=all`;
/// otherwise every one of the last, which are the run's own, and some of those that make the database.
fn every_call(kind: &'static str) -> Vec<Option<i32>> {
    let began = Instant::now();
    let mut exits = Vec::new();
    let all = std::env::var("RETAKE_FAULTS").is_ok_and(|it| it == "all");
    let first = [1, 2, 3].into_iter().chain((4..MADE).step_by(if all { 1 } else { 7 }));
    for at in first.chain(MADE..) {
        let (happened, exit) = survives(kind, at);
        if !happened {
            break;
        }
        exits.push(exit);
    }
    eprintln!("faults: {} calls, each with {kind}, in {:.0?}", exits.len(), began.elapsed());
    assert!(exits.len() > 30, "{kind}: only {} calls were found", exits.len());
    exits
}

#[test]
fn f01_a_process_killed_before_any_durable_call_leaves_what_can_be_gone_on_with() {
    assert!(every_call("kill-before").iter().all(Option::is_none), "each was killed");
}

#[test]
fn f02_a_process_killed_after_any_durable_call_leaves_what_can_be_gone_on_with() {
    assert!(every_call("kill-after").iter().all(Option::is_none), "each was killed");
}

#[test]
fn f13_after_an_error_of_the_disk_nothing_is_written_and_the_process_ends() {
    let exits = every_call("eio");
    assert!(exits.contains(&Some(70)), "{exits:?}");
    assert!(exits.iter().all(|it| matches!(it, Some(0 | 1 | 70))), "{exits:?}");
}

#[test]
fn f12_a_disk_that_is_full_for_a_moment_changes_nothing() {
    let exits = every_call("enospc");
    assert!(exits.iter().all(|it| matches!(it, Some(0 | 1 | 70))), "{exits:?}");
    let exits = every_call("short");
    assert!(exits.iter().all(|it| matches!(it, Some(0 | 1 | 70))), "{exits:?}");
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
    let (mut chance, mut exits) = (fastrand::Rng::with_seed(1), std::collections::BTreeMap::<_, u32>::new());
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
