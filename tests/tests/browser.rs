//! The web UI in a real browser: `tests/browser`, which `node --test` runs.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::path::Path;
use std::process::Command;

/// All of it at once: what is measured there is to have the machine for itself.
#[test]
fn people_can_see_it_and_press_its_buttons() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (binary, shots) = (retake_tests::binary(), root.join("target/browser"));
    std::fs::create_dir_all(&shots).unwrap();
    let components = Path::new(&retake_tests::path("orders")).parent().unwrap().to_owned();
    let mut node = Command::new("node");
    node.args(["--test", "--test-concurrency=1", "--test-reporter=spec", "."]).current_dir(root.join("tests/browser"));
    node.env("RETAKE", binary).env("COMPONENTS", components).env("SHOTS", &shots).env_remove("NODE_TEST_CONTEXT");
    let output = node.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
}
