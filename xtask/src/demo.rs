//! Shows on the terminal what the product does, and checks each thing that it shows.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::guests::{self, Which};
use crate::steps::{command, run, say, target};
use crate::suite;

pub(crate) fn demo(args: &[String]) -> Result<()> {
    let [once] = crate::flags(args, ["--once"])?;
    guests::build(&Which::Examples)?;
    suite::build_binary()?;
    walk(once)
}

/// Walks through what was built.
pub(crate) fn walk(once: bool) -> Result<()> {
    let target = target()?;
    let data = std::env::temp_dir().join(format!("retake-demo-{}", std::process::id()));
    let demo = Demo { program: target.join("debug/retake"), components: guests::components(), data };
    let began = Instant::now();
    let walked = demo.walk();
    if walked.is_err() {
        say(format!("what was kept is in {}", demo.data.display()));
    }
    let checks = walked?;
    say(format!("all of it happened: {checks} things were checked in {:.1} s", began.elapsed().as_secs_f64()));
    if once {
        return std::fs::remove_dir_all(&demo.data).with_context(|| demo.data.display().to_string());
    }
    demo.leave()
}

struct Demo {
    program: PathBuf,
    components: PathBuf,
    data: PathBuf,
}

/// What a command came to.
struct Answer {
    exit: Option<i32>,
    json: Value,
    lasted: Duration,
}

impl Demo {
    fn walk(&self) -> Result<u32> {
        let mut checks = Checks::default();
        self.retried_on_its_own(&mut checks)?;
        self.retried_by_a_person(&mut checks)?;
        self.results_are_fed_back(&mut checks)?;
        self.looked_at(&mut checks)?;
        Ok(checks.passed)
    }

    fn retried_on_its_own(&self, checks: &mut Checks) -> Result<()> {
        title("A flow that fails twice, and is retried on its own");
        note("Its metadata asks for 5 retries, 5 minutes apart; for today the delay is a second.");
        let flow = self.component("retry_it.wasm");
        let ran = self.retake(&["run", &flow, "-p", "fail_times=2", "--retry-delay", "1s"])?;
        checks.expect("the run completed", ran.exit == Some(0) && ran.json["state"] == "Completed", &ran.json)?;
        let attempts = list(&ran.json["attempts"]);
        checks.expect("at its third attempt", attempts.len() == 3 && ran.json["attempt"] == 3, &ran.json)?;
        let failed = |it: &&Value| it["failure"]["code"] == "luck.bad";
        checks.expect("after two failures", attempts.iter().filter(failed).count() == 2, &ran.json)?;
        checks.expect("a second apart each", ran.lasted >= Duration::from_secs(2), &ran.json)?;
        let lines = self.quietly(&["logs", text(&ran.json["name"])])?;
        let fresh = list(&lines.json).iter().filter(|it| text(&it["message"]).ends_with("start 1 of this sandbox"));
        checks.expect("each in a sandbox that was never used before", fresh.count() == 3, &lines.json)?;
        checks.expect("as its result says too", ran.json["result"]["starts"] == 1, &ran.json)
    }

    fn retried_by_a_person(&self, checks: &mut Checks) -> Result<()> {
        title("A flow that uses up its retries, and is retried by a person");
        let flow = self.component("manual_retry.wasm");
        let params = ["-p", "fail_times=2", "--retries", "1", "--retry-delay", "1s"];
        let ran = self.retake(&[&["run", &flow][..], &params].concat())?;
        checks.expect("the run failed, and the exit code says so", ran.exit == Some(1), &ran.json)?;
        checks.expect("after the 2 attempts that were allowed", ran.json["attempt"] == 2, &ran.json)?;
        let name = text(&ran.json["name"]);
        let again = self.retake(&["retry", name])?;
        checks.expect(
            "retried, it completed",
            again.exit == Some(0) && again.json["state"] == "Completed",
            &again.json,
        )?;
        let third = again.json["attempt"] == 3 && again.json["round"] == 2;
        checks.expect("as the third attempt of the same run, in a second round", third, &again.json)
    }

    fn results_are_fed_back(&self, checks: &mut Checks) -> Result<()> {
        title("Three tasks in a row: what has succeeded is not run again");
        let flow = self.component("orders.wasm");
        let ran = self.retake(&["run", &flow, "-p", "enrich_fails=1", "-p", "load=fail-once"])?;
        checks.expect(
            "`load` failed, and so did the run",
            ran.exit == Some(1) && task(&ran.json, "load")["state"] == "Failed",
            &ran.json,
        )?;
        let kept = ["extract", "enrich"].iter().all(|it| task(&ran.json, it)["state"] == "Completed");
        checks.expect("the results of `extract` and `enrich` are kept", kept, &ran.json)?;
        checks.expect(
            "`enrich` was retried within its flow's attempt",
            task(&ran.json, "enrich")["attempts"] == 2,
            &ran.json,
        )?;
        let again = self.retake(&["retry", text(&ran.json["name"])])?;
        checks.expect(
            "retried, the run completed",
            again.exit == Some(0) && again.json["state"] == "Completed",
            &again.json,
        )?;
        let cached = ["extract", "enrich"].iter().all(|it| {
            let (before, after) = (task(&ran.json, it), task(&again.json, it));
            after["state"] == "Cached" && ["attempts", "result", "ended"].iter().all(|it| before[*it] == after[*it])
        });
        checks.expect("`extract` and `enrich` are Cached: fed back, not run again", cached, &again.json)?;
        let load = task(&again.json, "load");
        checks.expect("`load` was run again", load["state"] == "Completed" && load["attempts"] == 2, &again.json)
    }

    fn looked_at(&self, checks: &mut Checks) -> Result<()> {
        title("What is kept");
        self.shown(&["ps"])?;
        let listed = self.quietly(&["ps"])?;
        let all = list(&listed.json).iter().filter(|it| it["state"] == "Completed").count() == 3;
        checks.expect("all three runs are listed as Completed", all, &listed.json)?;
        let name = text(&listed.json[0]["name"]);
        self.shown(&["show", name])?;
        let run = self.quietly(&["show", name])?;
        checks.expect("the newest with its attempts and tasks", list(&run.json["tasks"]).len() == 3, &run.json)
    }

    fn component(&self, file: &str) -> String {
        let path = self.components.join(file);
        let here = std::env::current_dir().unwrap_or_default();
        path.strip_prefix(here).unwrap_or(&path).display().to_string()
    }

    /// Runs `retake` with what it says shown, and returns its answer.
    fn retake(&self, args: &[&str]) -> Result<Answer> {
        self.show_command(args);
        self.ask(args, Stdio::inherit())
    }

    /// The same without showing anything.
    fn quietly(&self, args: &[&str]) -> Result<Answer> {
        self.ask(args, Stdio::null())
    }

    /// Runs `retake` for the reader, its tables shown.
    fn shown(&self, args: &[&str]) -> Result<()> {
        self.show_command(args);
        run(command(&self.program).arg("--data").arg(&self.data).args(args).current_dir("."))
    }

    fn show_command(&self, args: &[&str]) {
        eprintln!();
        println!("  $ retake {}", args.join(" "));
    }

    fn ask(&self, args: &[&str], stderr: Stdio) -> Result<Answer> {
        let began = Instant::now();
        let mut command = command(&self.program);
        command.arg("--data").arg(&self.data).args(["-o", "json"]).args(args).stderr(stderr).current_dir(".");
        let output = command.output().with_context(|| format!("`{}` does not start", self.program.display()))?;
        let json = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("`retake {}` answered no JSON ({})", args.join(" "), output.status))?;
        Ok(Answer { exit: output.status.code(), json, lasted: began.elapsed() })
    }

    /// Says what to try next.
    /// Says what there is to try; where somebody looks on, leaves the web UI open until they have seen enough.
    fn leave(&self) -> Result<()> {
        let retake = |rest: &str| println!("  {} --data {} {rest}", near(&self.program), self.data.display());
        println!("\nThe runs stay in {}. To try:\n", self.data.display());
        retake("ps");
        retake(&format!("run {}", self.component("fan_out.wasm")));
        retake(&format!("policy {}", self.component("retry_it.wasm")));
        if !std::io::stdout().is_terminal() {
            retake("server &");
            retake("ui");
            println!("\nExample flows are in example-flows/, and README.md shows how to write one.");
            return Ok(());
        }
        println!("\nExample flows are in example-flows/, and README.md shows how to write one.");
        println!("The web UI stays open until Ctrl-C:\n");
        let retake = |words: &[&str]| {
            let mut retake = command(&self.program);
            retake.arg("--data").arg(&self.data).args(words);
            retake
        };
        let mut server = retake(&["server", "--listen", "127.0.0.1:0"]).spawn()?;
        let began = Instant::now();
        while !self.data.join("server.json").is_file() && began.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(50));
        }
        run(&mut retake(&["ui"]))?;
        let ended = server.wait()?;
        if !ended.success() {
            bail!("the server ended with {ended}");
        }
        Ok(())
    }
}

/// Returns a path as it is typed from here.
fn near(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

/// What was shown and is true.
#[derive(Default)]
struct Checks {
    passed: u32,
}

impl Checks {
    fn expect(&mut self, what: &str, happened: bool, answer: &Value) -> Result<()> {
        if !happened {
            eprintln!("  ✘ {what}");
            bail!("this did not happen: {what}; the answer was {answer:#}");
        }
        println!("  ✔ {what}");
        self.passed += 1;
        Ok(())
    }
}

fn title(text: &str) {
    println!("\n{text}");
}

fn note(text: &str) {
    println!("  {text}");
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn task<'a>(run: &'a Value, name: &str) -> &'a Value {
    list(&run["tasks"]).iter().find(|it| it["task"] == name).unwrap_or(&Value::Null)
}

#[cfg(test)]
mod tests {
    use anyhow::ensure;

    use super::*;

    #[test]
    fn what_did_not_happen_ends_the_demo() -> Result<()> {
        let mut checks = Checks::default();
        checks.expect("this is so", true, &Value::Null)?;
        let error =
            checks.expect("this is not", false, &serde_json::json!({"state": "Failed"})).unwrap_err().to_string();
        ensure!(error.contains("this is not") && error.contains("Failed"), "{error}");
        ensure!(checks.passed == 1);
        Ok(())
    }
}
