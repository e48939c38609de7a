//! The whole system from outside: the real binary, real components, a real database, real kills.
//!
//! `cargo xtask test` builds the binary and the components first.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "this package is nothing but tests")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

pub mod certificates;
pub mod http;
pub mod smtp;
pub mod stored;

/// Returns a built component, such as `orders` or `hostile`.
pub fn component(name: &str) -> PathBuf {
    existing(target().join("components").join(format!("{name}.wasm")))
}

/// The same as it is typed.
pub fn path(name: &str) -> String {
    component(name).to_str().unwrap().to_owned()
}

/// Assembles one of the odd components of `tests/guests/wat`.
pub fn assembled(name: &str, into: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/wat").join(format!("{name}.wat"));
    let path = into.join(format!("{name}.wasm"));
    std::fs::write(&path, wat::parse_file(source).unwrap()).unwrap();
    path
}

/// Builds a library of `tests/shim` that is preloaded into the binary.
pub fn preloaded(name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("shim").join(format!("{name}.c"));
    let built = target().join("tmp").join(format!("{name}.so"));
    std::fs::create_dir_all(target().join("tmp")).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&built).arg(source).arg("-ldl");
    assert!(cc.status().unwrap().success(), "the C compiler is needed");
    built
}

/// Looks again and again until something is so, for 30 s at most.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed().as_secs() < 30, "it did not come so far that {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("target")
}

fn existing(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "`{}` is missing: `cargo xtask test` builds it", path.display());
    path
}

/// The binary `retake`: beside the test's own, so that another target directory or profile is respected.
pub fn binary() -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    existing(deps.parent().unwrap().parent().unwrap().join("retake"))
}

/// The binary with a data directory of its own.
pub struct Retake {
    /// Removed with it.
    pub dir: tempfile::TempDir,
    /// What its commands find in the environment.
    pub env: Vec<(&'static str, String)>,
}

/// What a command said.
pub struct Said {
    /// Its exit code; `None` when it was killed.
    pub exit: Option<i32>,
    /// What it wrote to stdout.
    pub out: String,
    /// What it wrote to stderr.
    pub err: String,
}

impl Retake {
    /// Makes a data directory.
    #[allow(clippy::new_without_default, reason = "nobody needs it by default")]
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), env: Vec::new() }
    }

    /// Makes a command ready.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(args).env("RETAKE_DATA", self.dir.path().join("data")).stdin(Stdio::null());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    pub fn say(&self, args: &[&str]) -> Said {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { exit: status.code(), out: text(stdout), err: text(stderr) }
    }

    /// Runs a command that must exit with `exit`.
    #[track_caller]
    pub fn expect(&self, exit: i32, args: &[&str]) -> Said {
        let said = self.say(args);
        assert_eq!(said.exit, Some(exit), "retake {}\n{}\n{}", args.join(" "), said.out, said.err);
        said
    }

    /// Runs a command and reads the JSON that it writes, whatever its exit code.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let said = self.say(&[args, &["-o", "json"]].concat());
        serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}\n{}", said.out, said.err))
    }

    /// Starts a command whose stderr is to be read.
    pub fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Starts a command and returns it once a line of its stderr holds `until`.
    pub fn start(&self, args: &[&str], until: &str) -> Child {
        let mut child = self.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let found = lines.any(|line| line.unwrap().contains(until));
        assert!(found, "the command ended before it said `{until}`");
        child
    }
}

impl Said {
    /// Asserts that the error is written as people are promised: `error:`, perhaps `cause:`, then `hint:`.
    #[track_caller]
    pub fn is_an_error_with_a_hint(&self, words: &str) {
        assert!(self.err.contains(words), "expected `{words}` in\n{}", self.err);
        assert!(self.err.starts_with("error: "), "{}", self.err);
        assert!(self.err.lines().last().unwrap().starts_with("hint: "), "{}", self.err);
        assert!(self.out.is_empty(), "an error is not data: {}", self.out);
    }
}

/// Finds a task of a run by name.
#[track_caller]
pub fn task<'a>(run: &'a Value, name: &str) -> &'a Value {
    let tasks = run["tasks"].as_array().unwrap();
    tasks.iter().find(|it| it["task"] == name).unwrap_or_else(|| panic!("no task `{name}` in {run:#}"))
}

/// Returns the files below a directory that hold a text.
pub fn holding(dir: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if std::fs::read(&path).unwrap().windows(text.len()).any(|it| it == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Sets a secret as a person does: through stdin.
pub fn set_secret(retake: &Retake, name: &str, value: &str) {
    let mut set = retake.command(&["secrets", "set", name]);
    let mut child = set.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{value}\n").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}
