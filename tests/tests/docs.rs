//! What the page of each language tells a newcomer to type, typed.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::path::{Path, PathBuf};

use retake_tests::http::Server;
use retake_tests::{Retake, Said};
use serde_json::Value;

/// Returns what the first two blocks of a page say.
fn commands(language: &str) -> [Vec<String>; 2] {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/{language}.md"));
    let text = std::fs::read_to_string(page).unwrap();
    let block = |n| text.split("```console\n").nth(n).unwrap().split("```").next().unwrap();
    let lines = |n| block(n).lines().map(|it| it.strip_prefix("$ ").unwrap().to_owned()).collect();
    [lines(1), lines(2)]
}

struct Newcomer {
    retake: Retake,
    dir: PathBuf,
}

impl Newcomer {
    fn types(&self, words: &str, exit: i32) -> Said {
        let words: Vec<&str> = words.split(' ').collect();
        let mut command = self.retake.command(&words);
        // Crates are built once for all tests.
        command.current_dir(&self.dir).env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("newcomer"));
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let said = Said { exit: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
        assert_eq!(said.exit, Some(exit), "{words:?}\n{}\n{}", said.out, said.err);
        said
    }
}

/// Makes the project, runs it, fails it and retries it, as the page says.
fn is_as_the_page_says(language: &str) {
    let retake = Retake::new();
    let mut newcomer = Newcomer { dir: retake.dir.path().join("at"), retake };
    std::fs::create_dir(&newcomer.dir).unwrap();
    let [first, deployed] = commands(language);
    let [new, run, fail, retry] = first.try_into().unwrap();
    newcomer.types(new.strip_prefix("retake ").unwrap().strip_suffix(" && cd hello").unwrap(), 0);
    newcomer.dir.push("hello");
    let typed = |line: &str| line.strip_prefix("retake ").unwrap().to_owned();
    let said = newcomer.types(&typed(&run), 0);
    let result: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&result["greeting"], &result["attempt"]), (&"Hello, Ann!".into(), &2.into()), "{}", said.err);
    let said = newcomer.types(&typed(&fail), 1);
    assert!(said.err.contains("mail.busy") && said.err.contains("1 task result is kept"), "{}", said.err);
    let newest = newcomer.retake.json(&["ps", "-n", "1"])[0]["name"].as_str().unwrap().to_owned();
    let said = newcomer.types(&typed(&retry).replace("RUN", &newest), 0);
    assert!(said.err.contains("compose") && !said.err.contains("writing to"), "it is not written again: {}", said.err);
    let run = newcomer.retake.json(&["show", &newest]);
    assert_eq!((&run["state"], &run["result"]["attempt"]), (&"Completed".into(), &7.into()), "{run:#}");
    assert_eq!(retake_tests::task(&run, "compose")["state"], "Cached");

    let [server, deploy, run, retry] = deployed.try_into().unwrap();
    assert_eq!(server, "retake server &");
    let server = Server::start(&newcomer.retake);
    newcomer.types(&typed(&deploy), 0);
    let said = newcomer.types(&typed(&run), 1);
    assert!(said.err.contains("mail.busy"), "{}", said.err);
    let newest = newcomer.retake.json(&["ps", "-n", "1"])[0]["name"].as_str().unwrap().to_owned();
    newcomer.types(&typed(&retry).replace("RUN", &newest), 0);
    let run = newcomer.retake.json(&["show", &newest]);
    assert_eq!((&run["state"], &run["deployment"]), (&"Completed".into(), &"hello/dev".into()), "{run:#}");
    assert_eq!(retake_tests::task(&run, "compose")["state"], "Cached");
    assert_eq!(server.stop(), 0);
}

#[test]
fn rust() {
    is_as_the_page_says("rust");
}

#[test]
fn python() {
    is_as_the_page_says("python");
}

#[test]
fn javascript() {
    is_as_the_page_says("javascript");
}

#[test]
fn go() {
    is_as_the_page_says("go");
}

#[test]
fn c() {
    is_as_the_page_says("c");
}
