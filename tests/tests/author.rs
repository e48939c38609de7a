//! From nothing to a flow that runs, as an author does it: `new`, `build`, `run DIR`, `dev`.
//!
//! Projects are made at the same places each time and share a target directory, so that what they depend on is built
//! once.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use retake_tests::http::Server;
use retake_tests::{Retake, Said};
use serde_json::Value;

fn projects() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("projects")
}

fn command(retake: &Retake, args: &[&str]) -> Command {
    let mut command = retake.command(args);
    command.env("CARGO_TARGET_DIR", projects().join("target")).env("RETAKE_LISTEN", "127.0.0.1:0");
    command
}

#[track_caller]
fn expect(exit: i32, command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let said = Said { exit: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
    assert_eq!(said.exit, Some(exit), "{command:?}\n{}\n{}", said.out, said.err);
    said
}

/// Makes a project of this name.
fn project(name: &str) -> PathBuf {
    let dir = projects().join(name);
    let _ = std::fs::remove_dir_all(&dir);
    expect(0, &mut command(&Retake::new(), &["new", dir.to_str().unwrap()]));
    dir
}

/// A project that nobody changes.
fn greeting() -> &'static str {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| project("greeting")).to_str().unwrap()
}

/// Replaces a text in the project's source, which must hold it.
#[track_caller]
fn edit(project: &Path, old: &str, new: &str) {
    let file = project.join("src/lib.rs");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(old), "no `{old}` in {text}");
    std::fs::write(file, text.replace(old, new)).unwrap();
}

/// `retake dev`, and what it says.
struct Dev {
    child: Child,
    lines: Receiver<String>,
}

impl Dev {
    fn start(retake: &Retake, dir: &str) -> Self {
        let mut command = command(retake, &["dev", dir]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, lines) = sync_channel(10_000);
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).all(|it| tell.send(it).is_ok()));
        Self { child, lines }
    }

    /// Waits for a line that holds this, and returns it.
    #[track_caller]
    fn until(&self, words: &str) -> String {
        let mut said = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(120)) {
            if line.contains(words) {
                return line;
            }
            said.push(line);
        }
        panic!("it did not say `{words}`, but\n{}", said.join("\n"));
    }

    /// Waits for a deployment, and returns the beginning of its digest.
    #[track_caller]
    fn deployed(&self, deployment: &str) -> String {
        let line = self.until(&format!("deployed {deployment} ("));
        line.split_once('(').unwrap().1.trim_end_matches(')').to_owned()
    }

    /// Presses Ctrl-C, and returns the exit code.
    fn interrupt(mut self) -> i32 {
        let id = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_new_project_is_built_and_its_flow_completes() {
    let retake = Retake::new();
    let ran = expect(0, &mut command(&retake, &["run", greeting(), "-p", "name=Ann", "-o", "json"]));
    let run: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(run["result"]["greeting"], "Hello, Ann!");
    assert_eq!(run["result"]["attempt"], 2, "the first attempt to send fails, and there is something to see");

    let out = retake.dir.path().join("greeting.wasm");
    let built = expect(0, &mut command(&retake, &["build", greeting(), "--out", out.to_str().unwrap(), "-o", "json"]));
    let built: Value = serde_json::from_str(&built.out).unwrap();
    assert_eq!(built["path"], out.to_str().unwrap());
    assert_eq!(built["bytes"], std::fs::metadata(&out).unwrap().len());
    let inspected = retake.json(&["inspect", out.to_str().unwrap()]);
    assert_eq!(inspected["digest"], built["digest"]);

    let path = expect(0, &mut command(&retake, &["build", greeting()])).out;
    assert!(path.ends_with("greeting.wasm\n") && Path::new(path.trim()).is_file(), "stdout is the path: {path}");
    expect(0, &mut command(&retake, &["deploy", greeting(), "-n", "trial"]));
    assert_eq!(retake.json(&["deployments", "show", "greeting/trial"])["component"], built["digest"]);
}

/// What its tests say is said of what was made, and would not be if a retry wrote the greeting anew.
#[test]
fn a_new_project_passes_its_own_tests() {
    let dir = project("tested");
    let test = || {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["test", "--quiet"]).current_dir(&dir).env("CARGO_TARGET_DIR", projects().join("target"));
        cargo.output().unwrap()
    };
    let passed = test();
    let said = String::from_utf8_lossy(&passed.stdout);
    assert!(passed.status.success() && said.contains("2 passed"), "{said}{}", String::from_utf8_lossy(&passed.stderr));
    edit(&dir, "#[task(log_prints)]", "#[task(log_prints, persist_result = false)]");
    let failed = test();
    assert!(String::from_utf8_lossy(&failed.stdout).contains("is_fed_back"), "{failed:?}");
}

#[test]
fn a_change_is_deployed_and_one_that_does_not_build_leaves_the_last() {
    let retake = Retake::new();
    let dir = project("changing");
    let dev = Dev::start(&retake, dir.to_str().unwrap());
    let first = dev.deployed("changing/dev");
    let hint = dev.until("hint: ");
    assert_eq!(hint.trim(), "hint: retake run 'changing/dev' -p name=text -w");
    let greeting = || {
        let run = retake.json(&["run", "changing/dev", "-p", "name=Ann", "-p", "fails=0", "-w"]);
        run["result"]["greeting"].as_str().unwrap().to_owned()
    };
    assert_eq!(greeting(), "Hello, Ann!");

    edit(&dir, "\"Hello, {name}!\"", "\"Welcome, {name}!\"");
    let second = dev.deployed("changing/dev");
    assert_ne!(second, first);
    assert_eq!(greeting(), "Welcome, Ann!");

    edit(&dir, "\"Welcome, {name}!\"", "\"Welcome, {nobody}!\"");
    dev.until("cannot find value `nobody`");
    dev.until("what was built last stays deployed");
    assert_eq!(greeting(), "Welcome, Ann!");

    edit(&dir, "\"Welcome, {nobody}!\"", "\"Good morning, {name}!\"");
    dev.deployed("changing/dev");
    assert_eq!(greeting(), "Good morning, Ann!");
    assert_eq!(dev.interrupt(), 0);
    assert!(!retake.dir.path().join("data/server.json").exists(), "it left in good order");
}

#[test]
fn where_a_server_works_it_is_deployed_to() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    let dev = Dev::start(&retake, greeting());
    dev.until(&server.address);
    let digest = dev.deployed("greeting/dev");
    assert_eq!(dev.interrupt(), 0);
    let deployment = retake.json(&["deployments", "show", "greeting/dev"]);
    assert!(deployment["component"].as_str().unwrap().starts_with(&digest), "{deployment:#}");
    assert_eq!(server.stop(), 0);
}

#[test]
fn without_a_compiler_it_is_said_what_is_missing_and_how_to_get_it() {
    let retake = Retake::new();
    let nothing = retake.dir.path().join("bin");
    std::fs::create_dir(&nothing).unwrap();
    for verb in ["build", "dev", "run", "inspect"] {
        let mut bare = command(&retake, &[verb, greeting()]);
        let said = expect(1, bare.env("PATH", &nothing).env_remove("CARGO"));
        said.is_an_error_with_a_hint("`cargo` is missing");
        assert!(said.err.contains("curl ") && said.err.contains("export PATH="), "{}", said.err);
    }
    // Cargo alone is there: neither rustup nor Debian's tools are, and nothing was installed before.
    let mut bare = command(&retake, &["build", greeting()]);
    let said = expect(1, bare.env("PATH", &nothing).env("CARGO", env!("CARGO")).env("RETAKE_TOOLS", &nothing));
    assert!(said.err.contains("no standard library for wasm32-wasip2"), "{}", said.err);
    assert!(said.err.ends_with("hint: rustup target add wasm32-wasip2\n"), "{}", said.err);
}

#[test]
fn what_is_no_project_and_what_cannot_be_one_is_refused() {
    let retake = Retake::new();
    let at = |name: &str| retake.dir.path().join(name).to_str().unwrap().to_owned();
    retake.expect(2, &["new", &at("My Flow")]).is_an_error_with_a_hint("the letters a to z, digits, `-` and `_`");
    std::fs::create_dir(at("full")).unwrap();
    std::fs::write(at("full/notes"), "mine").unwrap();
    retake.expect(2, &["new", &at("full")]).is_an_error_with_a_hint("not empty");
    for verb in ["build", "dev", "run", "deploy", "inspect"] {
        retake.expect(2, &[verb, &at("full")]).is_an_error_with_a_hint("holds no project");
    }
    retake.expect(2, &["build", &at("nowhere")]).is_an_error_with_a_hint("is not there");
    // A library that becomes no component is told the lines that are missing.
    std::fs::create_dir_all(at("plain/src")).unwrap();
    std::fs::write(at("plain/Cargo.toml"), "[package]\nname = \"plain\"\nedition = \"2024\"\n").unwrap();
    std::fs::write(at("plain/src/lib.rs"), "").unwrap();
    let said = retake.expect(1, &["build", &at("plain")]);
    said.is_an_error_with_a_hint("does not become a component");
    assert!(said.err.contains("crate-type = [\"cdylib\"]"), "{}", said.err);
}
