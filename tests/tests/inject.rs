//! What is to go wrong in a run goes wrong, on the real host: `retake run --inject`.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use retake_tests::http::Server;
use retake_tests::{Retake, path, task};
use serde_json::{Value, json};

/// Runs `orders` with this going wrong and returns it as it is shown.
fn orders(retake: &Retake, exit: i32, inject: &[&str], more: &[&str]) -> Value {
    let file = path("orders");
    let mut words = vec!["run", &file, "-w"];
    inject.iter().for_each(|it| words.extend(["--inject", it]));
    words.extend(more);
    retake.expect(exit, &words);
    newest(retake)
}

fn newest(retake: &Retake) -> Value {
    let all = retake.json(&["ps", "-n", "1"]);
    retake.json(&["show", all[0]["name"].as_str().unwrap()])
}

fn goes_wrong_as_asked(retake: &Retake) {
    let run = orders(retake, 0, &["task:enrich=fail:http.503*2"], &[]);
    let enrich = task(&run, "enrich");
    assert_eq!((&enrich["state"], &enrich["attempts"]), (&json!("Completed"), &json!(3)), "{run:#}");
    assert_eq!(run["overrides"]["inject"], json!(["task:enrich=fail:http.503*2"]));
    let shown = retake.expect(0, &["show", run["name"].as_str().unwrap()]).out;
    assert!(shown.contains("task:enrich=fail:http.503*2"), "whoever looks sees that it was asked for: {shown}");

    // A person's retry goes on counting: the second attempt is made.
    let run = orders(retake, 1, &["task:load=trap"], &[]);
    assert_eq!((&run["failure"]["code"], task(&run, "load")["attempts"].clone()), (&json!("sandbox.trap"), json!(1)));
    retake.expect(0, &["retry", run["name"].as_str().unwrap(), "-w"]);
    let run = newest(retake);
    assert_eq!((&task(&run, "load")["attempts"], &task(&run, "extract")["state"]), (&json!(2), &json!("Cached")));

    // The flow of the run is injected, too; and what hangs is stopped by its timeout.
    let run = orders(retake, 1, &["flow:orders=fail", "task:extract=fail"], &[]);
    assert_eq!((&run["failure"]["code"], &run["tasks"]), (&json!("test.failed"), &json!([])));
    // A name that is mistyped would test nothing.
    let nobody =
        ["there is no task `nap`; there is extract, enrich, load", "there is no flow `other`; there is orders"];
    for (inject, said) in ["task:nap=hang", "flow:other=hang"].into_iter().zip(nobody) {
        let refused = retake.expect(2, &["run", &path("orders"), "-w", "--inject", inject]).err;
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn without_a_server() {
    let retake = Retake::new();
    goes_wrong_as_asked(&retake);
    for wrong in ["load=fail", "task:load=explode", "task:load=fail*0"] {
        retake.expect(2, &["run", &path("orders"), "--inject", wrong]).is_an_error_with_a_hint("inject");
    }
}

#[test]
fn on_a_server() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    goes_wrong_as_asked(&retake);
    let ask = json!({ "flow": "orders", "inject": ["task:load"] }).to_string();
    let refused = server.ask("POST", "/api/v1/flow-runs", &ask);
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert!(refused.body.contains("task:NAME=fail*2"), "{}", refused.body);
}
