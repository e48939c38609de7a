//! Tests and benchmarks.

use anyhow::Result;

use crate::guests::{self, Which};
use crate::steps::{cargo, command, metadata, run, say, target};

/// The package that tests the whole system.
const SYSTEM_TESTS: &str = "retake-tests";

pub(crate) fn test(args: &[String]) -> Result<()> {
    let (short, rest): (Vec<_>, Vec<_>) = args.iter().partition(|it| *it == "--short");
    let short = !short.is_empty();
    guests::build(&Which::All)?;
    build_binary()?;
    say("testing the SDK for Python");
    run(command("python3").args([
        "-m",
        "unittest",
        "discover",
        "--quiet",
        "--start-directory",
        "guest-sdk/python/tests",
    ]))?;
    say("testing the SDK for JavaScript");
    run(command("node").args(["--test", "guest-sdk/javascript/test"]).stdout(std::io::stderr()))?;
    crate::tools::browser()?;
    say("running the tests");
    let mut test = cargo();
    // Not `nextest`, which leaves the examples in the documentation out.
    test.args(["test", "--no-fail-fast"]);
    let chooses = |it: &&String| ["-p", "--package", "--workspace"].contains(&it.as_str()) || it.starts_with("-p");
    if !rest.iter().take_while(|it| **it != "--").any(chooses) {
        test.arg("--workspace");
        if short && has_package(SYSTEM_TESTS)? {
            test.args(["--exclude", SYSTEM_TESTS]);
        }
    }
    if short {
        test.env("PROPTEST_CASES", "16");
    }
    // The last lines are those of the test runner: nothing is said after it, also when a test failed.
    let status = test.args(rest).status()?;
    if !status.success() {
        std::process::exit(status.code().unwrap_or(1));
    }
    Ok(())
}

/// Builds `retake` as the tests are built, so that the demo, the tests and the lints share what they are made of: with
/// another choice of packages some dependencies have other features, and wasmtime would be compiled twice.
pub(crate) fn build_binary() -> Result<()> {
    say("building the host and the tests (some minutes the first time)");
    run(cargo().args(["build", "--quiet", "--workspace", "--bins", "--tests"]))
}

/// How often each part is done by `torture` without `--short`.
const LONG: [(&str, &str); 6] = [
    ("RETAKE_SEEDS", "2000000"),
    ("RETAKE_CYCLES", "10000"),
    ("RETAKE_FAULTS", "all"),
    ("RETAKE_CUTS", "10000"),
    ("PROPTEST_CASES", "20000"),
    ("RETAKE_ATTACKS", "long"),
];

pub(crate) fn torture(args: &[String]) -> Result<()> {
    let [short] = crate::flags(args, ["--short"])?;
    guests::build(&Which::All)?;
    build_binary()?;
    for (what, package, rest) in [
        ("simulated worlds and planted bugs", "retake-engine", &["--test", "simulation"][..]),
        ("stores beside their model", "retake-store", &["--lib", "side_by_side"]),
        ("kills", SYSTEM_TESTS, &["--test", "torture"]),
        ("faults of the disk", SYSTEM_TESTS, &["--test", "faults"]),
        ("power cuts", SYSTEM_TESTS, &["--test", "power"]),
        ("attacks", SYSTEM_TESTS, &["--test", "attacks"]),
    ] {
        say(what);
        let mut test = cargo();
        test.args(["test", "--quiet", "--package", package]).args(rest).args(["--", "--nocapture"]);
        if !short {
            LONG.into_iter().filter(|(name, _)| std::env::var_os(name).is_none()).for_each(|(name, often)| {
                test.env(name, often);
            });
        }
        run(&mut test)?;
    }
    Ok(())
}

pub(crate) fn bench(args: &[String]) -> Result<()> {
    guests::build(&Which::All)?;
    say("building the benchmarks and the binary (optimised, some minutes the first time)");
    run(cargo().args(["build", "--quiet", "--release", "--package", "retake-benches", "--package", "retake-cli"]))?;
    let binaries = target()?.join("release");
    let mut bench = command(binaries.join("retake-bench"));
    match args.iter().any(|it| it == "--api") {
        true => {
            let others = args.iter().filter(|it| *it != "--api");
            run(bench.arg("--api").arg(binaries.join("retake")).args(others))
        }
        false => run(bench.args(args)),
    }
}

fn has_package(name: &str) -> Result<bool> {
    let metadata = metadata()?;
    Ok(metadata["packages"].as_array().into_iter().flatten().any(|it| it["name"] == name))
}
