//! The running server against its own OpenAPI document, with requests that a tool thinks up.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::guests::{self, Which};
use crate::steps::{command, run, say, target};
use crate::{suite, tools};

/// What must hold of each answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";
/// What has no end, what would take the tool's own token away, and what would send messages to whatever address it
/// thinks up.
const LEFT_OUT: &str = r"stream|/tokens|/notifications/\{name\}";

pub(crate) fn fuzz_api(args: &[String]) -> Result<()> {
    let requests = match args {
        [] => "30",
        [requests] if requests.parse::<u32>().is_ok() => requests,
        _ => anyhow::bail!("`cargo xtask fuzz-api [N]` takes a number; `cargo xtask help fuzz-api` says more"),
    };
    let (home, program) = tools::schemathesis()?;
    guests::build(&Which::Examples)?;
    suite::build_binary()?;
    let retake = target()?.join("debug/retake");
    let data = std::env::temp_dir().join(format!("retake-fuzz-{}", std::process::id()));
    let server = Server::start(&retake, &data)?;
    for flow in ["orders", "manual_retry"] {
        let component = guests::components().join(format!("{flow}.wasm"));
        run(command(&retake).args(["deploy", "-n", "dev", "--quiet"]).arg(component).env("RETAKE_DATA", &data))?;
    }
    run(command(&retake).args(["run", "orders/dev", "-w", "-p", "customer=acme"]).env("RETAKE_DATA", &data))?;
    let mut fuzz = command(&program);
    // It leaves notes where it works.
    fuzz.current_dir(&data);
    fuzz.args(["run", "--no-color", "--checks", CHECKS, "--phases", "examples,coverage,fuzzing,stateful"]);
    fuzz.args([
        "--exclude-path-regex",
        LEFT_OUT,
        "--exclude-operation-id",
        "post_components",
        "--max-examples",
        requests,
    ]);
    fuzz.args(["--continue-on-failure", "--generation-database", "none", "--request-timeout", "30"]);
    fuzz.args(["--header", &format!("Authorization: Bearer {}", server.token)]);
    fuzz.arg(format!("{}/api/v1/openapi.json", server.url)).env("PYTHONPATH", home);
    let fuzzed = run(&mut fuzz);
    server.end(&data)?;
    fuzzed.context("the list above says what the server answered that its document does not")
}

struct Server {
    child: Child,
    url: String,
    token: String,
}

impl Server {
    fn start(retake: &Path, data: &Path) -> Result<Self> {
        say("starting a server on a new data directory");
        let mut child = command(retake)
            .args(["server", "--listen", "127.0.0.1:0", "--requests", "1000000", "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .spawn()?;
        let began = Instant::now();
        loop {
            let sign = std::fs::read(data.join("server.json")).ok();
            let url = sign.and_then(|it| serde_json::from_slice::<Value>(&it).ok()?["url"].as_str().map(str::to_owned));
            if let Some(url) = url {
                let token = std::fs::read_to_string(data.join("token"))?.trim().to_owned();
                return Ok(Self { child, url, token });
            }
            ensure!(
                child.try_wait()?.is_none() && began.elapsed() < Duration::from_secs(30),
                "the server did not start"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it, and says whether it had lived until then.
    fn end(mut self, data: &Path) -> Result<()> {
        let has_lived = self.child.try_wait()?.is_none();
        let _ = self.child.kill();
        self.child.wait()?;
        ensure!(has_lived, "the server had ended; what it kept is in {}", data.display());
        std::fs::remove_dir_all(data).with_context(|| data.display().to_string())
    }
}
