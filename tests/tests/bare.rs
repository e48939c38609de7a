//! The bare door: components that know nothing of us, made of what they export.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use retake_tests::http::Server;
use retake_tests::{Retake, Said, assembled, path};
use serde_json::{Value, json};

/// Runs a flow to its end and returns its result, or its failure.
fn run(retake: &Retake, file: &str, flow: &str, parameters: &Value) -> Result<Value, Value> {
    let words = ["run", file, "--flow", flow, "--params", &parameters.to_string(), "-w", "-o", "json"];
    let said: Said = retake.say(&words);
    assert!(matches!(said.exit, Some(0 | 1)), "{flow}: {}{}", said.out, said.err);
    let run: Value = serde_json::from_str(&said.out).unwrap();
    if said.exit == Some(0) { Ok(run["result"].clone()) } else { Err(run["failure"].clone()) }
}

fn bare(retake: &Retake) -> String {
    assembled("bare", retake.dir.path()).to_str().unwrap().to_owned()
}

#[test]
fn each_function_of_plain_values_is_a_flow() {
    let retake = Retake::new();
    let file = bare(&retake);
    let shown = retake.json(&["inspect", &file]);
    assert_eq!(
        (&shown["name"], &shown["version"], &shown["tasks"]),
        (&json!("demo:math"), &json!("1.2.0"), &json!([]))
    );
    let names: Vec<&str> = shown["flows"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["add", "half", "echo", "area", "pack", "spin", "sum", "demo:math.lists@1.2.0.add"]);
    let about = shown["description"].as_str().unwrap();
    assert!(about.contains("`close`: its parameter `it` is or holds a resource"), "{about}");

    let run = |flow: &str, parameters: Value| run(&retake, &file, flow, &parameters);
    assert_eq!(run("add", json!({"a": 2, "b": 40})), Ok(json!(42)));
    assert_eq!(run("demo:math.lists@1.2.0.add", json!({"a": 1, "b": 1})), Ok(json!(2)));
    assert_eq!(run("half", json!({"n": 14})), Ok(json!(7)));
    assert_eq!(run("half", json!({"n": 3})).unwrap_err()["code"], "odd", "an error's case is the failure's code");
    assert_eq!(run("half", json!({"n": -3})).unwrap_err()["code"], "too-small");
    assert_eq!(run("echo", json!({"text": "größe\u{1F600}\n\"\\"})), Ok(json!("größe\u{1F600}\n\"\\")));
    assert_eq!(run("area", json!({"shape": {"circle": 2}})), Ok(json!(12.0)));
    assert_eq!(run("area", json!({"shape": {"square": {"side": 1.5}}})), Ok(json!(2.25)));
    assert_eq!(run("area", json!({"shape": "nothing"})).unwrap_err()["code"], "sandbox.output");
    assert_eq!(run("pack", json!({"what": ["run", "read"], "letter": "ü"})), Ok(json!([["read", "run"], "ü"])));
    // Each attempt has a fresh memory, and numbers beyond those of JavaScript stay what they are.
    for _ in 0..2 {
        assert_eq!(run("sum", json!({"of": [u64::MAX - 2, 1], "scale": null})), Ok(json!(u64::MAX - 1)));
    }
    assert_eq!(run("sum", json!({"of": [1, 2, 3], "scale": 4})), Ok(json!(24)));
    assert_eq!(run("sum", json!({"of": []})), Ok(json!(0)));
}

#[test]
fn what_does_not_fit_is_refused_before_anything_runs() {
    let retake = Retake::new();
    let file = bare(&retake);
    for (flow, wrong, field) in [
        ("add", json!({"a": 1}), "b"),
        ("add", json!({"a": 1, "b": -1}), "b"),
        ("add", json!({"a": 1, "b": 4_294_967_296_u64}), "b"),
        ("add", json!({"a": 1, "b": 1, "c": 1}), "c"),
        ("add", json!({"a": "1", "b": 1}), "a"),
        ("area", json!({"shape": "circle"}), "shape"),
        ("area", json!({"shape": {"circle": 1, "square": 1}}), "shape"),
        ("pack", json!({"what": ["fly"], "letter": "a"}), "what"),
        ("pack", json!({"what": [], "letter": "ab"}), "letter"),
        ("sum", json!({"of": [1], "scale": 256}), "scale"),
    ] {
        let said = retake.say(&["run", &file, "--flow", flow, "--params", &wrong.to_string()]);
        assert_eq!(said.exit, Some(2), "{flow} {wrong}: {}", said.err);
        assert!(said.err.contains(field), "{flow} {wrong}: {}", said.err);
    }
}

#[test]
fn it_is_bounded_and_retried_like_any_other() {
    let retake = Retake::new();
    let file = bare(&retake);
    let server = Server::start(&retake);
    let policy = ["--timeout", "300ms", "--retries", "1", "--retry-delay", "0s"];
    retake.expect(0, &[&["deploy", &file, "--flow", "spin", "-n", "dev"], &policy[..]].concat());
    let said = retake.expect(1, &["run", "spin/dev", "-w"]).err;
    assert!(said.contains("attempt 2") && said.contains("sandbox.timeout"), "{said}");
    server.stop();
    retake.expect(1, &["run", &file, "--flow", "half", "-p", "n=1", "-w"]);
    let name = retake.json(&["ps", "-n", "1"])[0]["name"].as_str().unwrap().to_owned();
    retake.expect(0, &["retry", &name, "-p", "n=2", "-w"]);
    assert_eq!(retake.json(&["show", &name])["result"], 1);
}

/// A few bytes can stand for very many: a type with long names, and an object with nothing in it.
#[test]
fn a_few_bytes_do_not_become_many() {
    let retake = Retake::new();
    let write = |name: &str, kinds: &str, parameter: &str| {
        let text = format!(
            "(component (core module $m (memory (export \"m\") 1) (func (export \"r\") (param i32 i32 i32 i32) (result \
             i32) i32.const 8) (func (export \"f\") (param i32 i32))) (core instance $i (instantiate $m)) \
             (alias core export $i \"m\" (core memory $mem)) (alias core export $i \"r\" (core func $r)) {kinds} \
             (func $f (param \"of\" (list {parameter})) (canon lift (core func $i \"f\") (memory (core memory $mem)) \
             (realloc (core func $r)))) (export \"f\" (func $f)))"
        );
        let file = retake.dir.path().join(name);
        std::fs::write(&file, wat::parse_str(text).unwrap()).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let long: String = (0..100).map(|n| format!(" \"{}{n}\"", "a".repeat(990))).collect();
    let kinds = format!("(type $e (enum{long})) (export $n \"e\" (type $e)) (type $t (tuple{}))", " $n".repeat(1500));
    let said = retake.expect(2, &["inspect", &write("names.wasm", &kinds, "$t")]);
    assert!(said.err.contains("its types are too large to be described"), "{}", said.err);
    let fields: String = (0..900).map(|n| format!(" (field \"{}{n}\" (option u8))", "f".repeat(100))).collect();
    let kinds = format!("(type $x (record{fields})) (export $n \"x\" (type $x))");
    let file = write("fields.wasm", &kinds, "$n");
    let run = |exit: i32, items: usize| {
        let many = json!({ "of": vec![json!({}); items] }).to_string();
        let given = retake.dir.path().join("given.json");
        std::fs::write(&given, many).unwrap();
        retake.expect(exit, &["run", &file, "--params", &format!("@{}", given.display()), "-w"]).err
    };
    let began = std::time::Instant::now();
    let said = run(1, 15_000);
    assert!(said.contains("input.invalid: `of`: it stands for too many values"), "{said}");
    // With more it would take long to find out that all of them fit.
    let said = run(2, 300_000);
    assert!(said.contains("takes more to be checked than may be spent on it"), "{said}");
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

/// `factor` of the uutils, as it is published: nobody made it for us.
#[test]
fn a_published_program_is_a_flow() {
    let retake = Retake::new();
    let file = path("factor");
    let shown = retake.json(&["inspect", &file]);
    assert_eq!(shown["flows"][0]["parameters"]["properties"]["arguments"]["items"], json!({"type": "string"}));
    let said = retake.expect(0, &["run", &file, "-p", r#"arguments:=["360", "97"]"#, "-w"]).err;
    assert!(said.contains("360: 2 2 2 3 3 5") && said.contains("97: 97"), "{said}");
    let said = retake.expect(0, &["run", &file, "-p", "stdin=12 35", "-w"]).err;
    assert!(said.contains("12: 2 2 3") && said.contains("35: 5 7"), "{said}");
    let said = retake.expect(1, &["run", &file, "-p", r#"arguments:=["x"]"#, "-w"]).err;
    assert!(said.contains("program.failed: the program ended with status 1"), "{said}");
}
