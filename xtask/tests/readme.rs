//! The README's commands do what it says.
//!
//! Every `$ retake …` in a `console` block of README.md is run, in order, in a directory of its own that has nothing but
//! `target/components`, and with a data directory of its own. One that
//! ends with `# exits with N` must do that, any other must succeed. The name that the README gives to a run stands for
//! the newest run. Each line below a command must be a line of what it prints; times, durations and sizes are not
//! compared, and a line `…` stands for any. One that ends with `&` goes on beside those that follow.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// What the README calls a run.
const NAME: &str = "brisk-otter";

#[derive(Debug, PartialEq)]
struct Step {
    words: Vec<String>,
    exit: i32,
    /// What is shown below it.
    shown: Vec<String>,
}

/// Returns the commands of a page, in order.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if let Some(kind) = line.strip_prefix("```") {
            inside = kind == "console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            let (command, comment) = command.split_once('#').unwrap_or((command, ""));
            let exit = comment.trim().strip_prefix("exits with ").map_or(0, |it| it.parse().expect("a number"));
            steps.push(Step { words: words(command), exit, shown: Vec::new() });
        } else if inside && let Some(step) = steps.last_mut() {
            step.shown.push(line.trim().to_owned());
        }
    }
    steps.retain(|it| it.words[0] == "retake");
    steps
}

/// Splits a command as a shell does, as far as the README needs it.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in command.trim().chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|it| !it.is_empty());
    words
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

struct Machine {
    program: PathBuf,
    data: tempfile::TempDir,
    /// Where the commands are run.
    here: PathBuf,
    beside: RefCell<Vec<Child>>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        for child in self.beside.borrow_mut().iter_mut() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Machine {
    /// A machine whose directory has this name: the same each time, so that cargo builds what is there once.
    fn new(name: &str) -> Self {
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("debug/retake");
        let components = root().join("target/components");
        assert!(program.exists() && components.exists(), "run `cargo xtask test`, which builds both");
        let here = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&here);
        std::fs::create_dir_all(here.join("target")).unwrap();
        std::os::unix::fs::symlink(components, here.join("target/components")).unwrap();
        Self { program, data: tempfile::tempdir().unwrap(), here, beside: RefCell::default() }
    }

    /// Starts what goes on beside the rest, and waits until it serves.
    fn start(&self, words: &[String]) {
        let mut command = Command::new(&self.program);
        // On a port of its own: another server may have the usual one.
        command.args(words).env("RETAKE_DATA", self.data.path()).env("RETAKE_LISTEN", "127.0.0.1:0");
        command.current_dir(&self.here);
        self.beside.borrow_mut().push(command.stderr(Stdio::null()).spawn().unwrap());
        let began = std::time::Instant::now();
        while !self.data.path().join("server.json").exists() {
            assert!(began.elapsed() < std::time::Duration::from_secs(20), "{words:?} does not serve");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn run(&self, words: &[String]) -> Output {
        let mut command = Command::new(&self.program);
        command.args(words).env("RETAKE_DATA", self.data.path()).current_dir(&self.here);
        // What projects depend on is built once.
        command.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("projects/target"));
        command.output().unwrap()
    }

    /// Returns the name of the newest run, as the README would say.
    fn newest(&self) -> String {
        let output = self.run(&["ps", "-n", "1", "-o", "json"].map(String::from));
        let runs: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        runs[0]["name"].as_str().unwrap_or(NAME).to_owned()
    }

    /// Returns what is wrong with a step.
    fn try_step(&self, step: &Step) -> Result<(), String> {
        let named = match step.words.iter().any(|it| it == NAME) {
            true => self.newest(),
            false => NAME.to_owned(),
        };
        let words: Vec<String> = step.words[1..].iter().map(|it| it.replace(NAME, &named)).collect();
        if words.last().is_some_and(|it| it == "&") {
            self.start(&words[..words.len() - 1]);
            return Ok(());
        }
        let output = self.run(&words);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        let command = step.words.join(" ");
        if output.status.code() != Some(step.exit) {
            return Err(format!("`{command}` exits with {:?}, not with {}:\n{said}", output.status.code(), step.exit));
        }
        let newest = self.newest();
        let said: Vec<String> = said.lines().map(|it| plain(&it.replace(&newest, NAME))).collect();
        // Times and names of columns are as wide as what stands in them.
        let missing = step.shown.iter().filter(|it| !it.is_empty() && *it != "…").find(|it| !said.contains(&plain(it)));
        match missing {
            Some(line) => Err(format!("`{command}` does not say `{}`:\n{}", plain(line), said.join("\n"))),
            None => Ok(()),
        }
    }
}

/// Returns a line with each number as `N`, each time as `T`, and single spaces.
fn plain(line: &str) -> String {
    let word = |word: &str| -> String {
        let is_time = word.len() >= 20 && word.as_bytes()[4] == b'-' && word.trim_end_matches(')').ends_with('Z');
        if is_time {
            return "T".into();
        }
        if word.starts_with("run_") || word.starts_with("(run_") {
            return "ID".into();
        }
        word.into()
    };
    let words: Vec<String> = line.split_whitespace().map(word).collect();
    let mut plain: Vec<String> = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let is_unit = ["s", "µs", "ms", "min", "MiB", "KiB"].contains(&word.trim_end_matches([')', ';']));
        match plain.last_mut() {
            // How long something took is another matter each time.
            Some(last) if is_unit && at > 0 && last.trim_start_matches('(').parse::<f64>().is_ok() => {
                *last = "N".into()
            }
            _ => plain.push(word.clone()),
        }
    }
    plain.join(" ")
}

#[test]
fn the_commands_of_the_readme_do_what_it_says() {
    let steps = steps(include_str!("../../README.md"));
    for verb in ["run", "retry", "show"] {
        assert!(steps.iter().any(|it| it.words[1] == verb), "the README does not show `retake {verb}`");
    }
    let machine = Machine::new("readme");
    for step in &steps {
        machine.try_step(step).unwrap_or_else(|why| panic!("{why}"));
    }
}

#[test]
fn what_is_not_so_is_noticed() {
    let machine = Machine::new("what-is-not-so");
    for (page, why) in [
        ("$ retake version   # exits with 3", "exits with Some(0), not with 3"),
        ("$ retake show brisk-otter", "exits with Some(3), not with 0"),
        ("$ retake frobnicate", "exits with Some(2), not with 0"),
        ("$ retake ps\nno runs at all", "does not say `no runs at all`"),
    ] {
        let steps = steps(&format!("```console\n{page}\n```"));
        let said = machine.try_step(&steps[0]).unwrap_err();
        assert!(said.contains(why), "{page}: {said}");
    }
    assert_eq!(steps("$ retake version\n```console\n$ cargo build\n```"), []);
}

#[test]
fn numbers_that_differ_each_time_are_not_compared() {
    assert_eq!(plain("  ✔ load       1.2 s   attempt 2"), "✔ load N attempt 2");
    assert_eq!(plain("goes on at 2026-11-23T20:39:09Z (in 1 s)"), "goes on at T (in N");
}
