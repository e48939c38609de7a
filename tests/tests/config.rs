//! What a file, the environment and flags say, and which of them counts.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use retake_tests::{Retake, Said};
use serde_json::Value;

/// Runs a command with a file and an environment.
fn say(retake: &Retake, file: &str, environment: &[(&str, &str)], args: &[&str]) -> Said {
    let path = retake.dir.path().join("config.toml");
    std::fs::write(&path, file).unwrap();
    let output = retake
        .command(args)
        .env("RETAKE_CONFIG", &path)
        .env_remove("RETAKE_LISTEN")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { exit: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn setting<'a>(all: &'a Value, name: &str) -> (&'a str, &'a str) {
    let it =
        all.as_array().unwrap().iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("{name} in {all:#}"));
    (it["value"].as_str().unwrap_or(""), it["from"].as_str().unwrap())
}

#[test]
fn a_flag_counts_for_more_than_the_environment_and_that_for_more_than_the_file() {
    let retake = Retake::new();
    let file = "output = \"json\"\ntoken = \"rtk_canary\"\n[command.server]\nlisten = \"127.0.0.1:1111\"\nflow-slots = 7\n\
                host = [\"a.example\", \"b.example\"]\n";
    let show = |environment: &[(&str, &str)], args: &[&str]| {
        let said = say(&retake, file, environment, &[&["config"], args].concat());
        assert_eq!(said.exit, Some(0), "{}", said.err);
        assert!(!said.out.contains("canary") && !said.err.contains("canary"), "{}{}", said.out, said.err);
        serde_json::from_str::<Value>(&said.out).unwrap()
    };
    let path = retake.dir.path().join("config.toml");
    let path = path.to_str().unwrap();
    let all = show(&[], &[]);
    assert_eq!(setting(&all, "output"), ("json", path), "the file made it JSON");
    assert_eq!(setting(&all, "command.server.listen"), ("127.0.0.1:1111", path));
    assert_eq!(setting(&all, "command.server.flow-slots"), ("7", path));
    assert_eq!(setting(&all, "command.server.host"), ("a.example, b.example", path));
    assert_eq!(setting(&all, "command.server.task-slots"), ("512", "default"));
    assert_eq!(setting(&all, "token"), ("(set)", path));
    assert_eq!(setting(&all, "data").1, "environment RETAKE_DATA");
    let all = show(&[("RETAKE_LISTEN", "127.0.0.1:2222"), ("RETAKE_TOKEN", "canary")], &[]);
    assert_eq!(setting(&all, "command.server.listen"), ("127.0.0.1:2222", "environment RETAKE_LISTEN"));
    assert_eq!(setting(&all, "token"), ("(set)", "environment RETAKE_TOKEN"));
    let all = show(&[], &["-o", "json"]);
    assert_eq!(setting(&all, "output"), ("json", "flag"));
}

#[test]
fn what_the_file_says_counts() {
    let retake = Retake::new();
    let nobody = "server = \"http://127.0.0.1:9\"";
    assert_eq!(say(&retake, nobody, &[], &["ps"]).exit, Some(5));
    assert_eq!(say(&retake, "output = \"json\"", &[], &["ps"]).out.trim(), "[]");
    assert!(say(&retake, "output = \"json\"", &[], &["ps", "-o", "table"]).out.contains("no runs yet"));
    assert!(say(&retake, "", &[], &["ps"]).out.contains("no runs yet"));
    assert!(say(&retake, "quiet = true", &[], &["config"]).err.is_empty());
    // Others could read the token: it counts, and is warned of.
    let said = say(&retake, "token = \"x\"", &[], &["ps"]);
    assert!(said.exit == Some(0) && said.err.contains("chmod 600"), "{}", said.err);
}

#[test]
fn what_is_wrong_with_the_file_is_said_and_nothing_is_done() {
    let retake = Retake::new();
    for (file, words) in [
        ("serverr = \"x\"", "did you mean `server`?"),
        ("output = \"xml\"", "`output`: invalid value 'xml'"),
        ("output = { a = 1 }", "`output` is neither"),
        ("[command.server]\nlisten = \"nowhere\"", "`command.server.listen`: invalid value"),
        ("[command.server]\nflow-slots = 0", "`command.server.flow-slots`: "),
        ("[command.server]\nlisteen = 1", "did you mean `listen`?"),
        ("[command.rm]\nquiet = true", "only server and worker"),
        ("config = \"x\"", "there is no `config`"),
        ("output = ", "line 1"),
    ] {
        let said = say(&retake, file, &[], &["ps"]);
        assert_eq!((said.exit, said.out.as_str()), (Some(2), ""), "{file}: {}", said.err);
        said.is_an_error_with_a_hint(words);
        assert!(said.err.contains("config.toml"), "{}", said.err);
    }
    let gone = retake.command(&["ps", "--config", "/nowhere/config.toml"]).output().unwrap();
    assert_eq!(gone.status.code(), Some(2));
}

/// A profile counts for more than what counts for all, and for less than the environment and flags.
#[test]
fn a_profile_is_chosen_by_name() {
    let retake = Retake::new();
    let file = "server = \"http://all:1\"\noutput = \"json\"\n[profile.prod]\nserver = \"http://prod:2\"\n\
                token = \"rtk_canary\"\n[profile.test]\nserver = \"http://test:3\"\n";
    let show = |environment: &[(&str, &str)], args: &[&str]| {
        let said = say(&retake, file, environment, &[&["config"], args].concat());
        assert_eq!(said.exit, Some(0), "{}", said.err);
        serde_json::from_str::<Value>(&said.out).unwrap()
    };
    let server = |all: &Value| setting(all, "server").0.to_owned();
    assert_eq!(server(&show(&[], &[])), "http://all:1");
    assert_eq!(setting(&show(&[], &[]), "token").1, "default");
    assert_eq!(server(&show(&[], &["--profile", "prod"])), "http://prod:2");
    assert_eq!(setting(&show(&[], &["--profile=prod"]), "token").0, "(set)");
    assert_eq!(server(&show(&[("RETAKE_PROFILE", "test")], &[])), "http://test:3");
    assert_eq!(server(&show(&[("RETAKE_PROFILE", "test")], &["--profile", "prod"])), "http://prod:2");
    assert_eq!(server(&show(&[("RETAKE_SERVER", "http://env:4")], &["--profile", "prod"])), "http://env:4");
    assert_eq!(server(&show(&[], &["--profile", "prod", "--server", "http://typed:5"])), "http://typed:5");
    let open = file.replace("token = \"rtk_canary\"\n", "");
    say(&retake, &open, &[], &["ps", "--profile", "pord"])
        .is_an_error_with_a_hint("there is no profile `pord`; known: `prod`, `test`");
    let wrong = "[profile.prod]\nservr = \"x\"\n";
    say(&retake, wrong, &[], &["ps"])
        .is_an_error_with_a_hint("there is no `profile.prod.servr`; did you mean `server`?");
    say(&retake, "[profile]\nprod = 1\n", &[], &["ps"]).is_an_error_with_a_hint("`profile.prod` is no table");
}
