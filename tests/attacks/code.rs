//! Code under what a deployment is granted is changed by who may deploy, and by nobody else.

use retake_tests::http::Server;
use retake_tests::{Retake, set_secret};
use serde_json::{Value, json};

use crate::{attacker, token};

/// A deployment that is granted a secret, and foreign code of the same name that was uploaded later.
struct Scene {
    retake: Retake,
    server: Server,
    operator: String,
    deployer: String,
    /// The foreign code.
    foreign: String,
    /// A run of the deployment.
    run: String,
}

fn scene() -> Scene {
    let retake = Retake::new();
    let server = Server::start(&retake);
    set_secret(&retake, "shop-token", "canary-secret");
    let file = retake.dir.path().join("deployed.wasm");
    std::fs::write(&file, attacker(&json!({ "title": "deployed" }))).unwrap();
    let file = file.to_str().unwrap();
    retake.expect(0, &["deploy", file, "--flow", "own", "-n", "prod", "--secret", "shop-token"]);
    let run = retake.expect(0, &["run", "own/prod", "-w", "-o", "id"]).out.trim().to_owned();
    let foreign =
        server.upload(&attacker(&json!({ "title": "foreign" }))).json()["digest"].as_str().unwrap().to_owned();
    let (operator, deployer) = (token(&retake, "operates", "operator"), token(&retake, "deploys", "deployer"));
    Scene { retake, server, operator, deployer, foreign, run }
}

impl Scene {
    fn ask(&self, token: &str, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.server.ask_as(Some(token), "POST", path, &body.to_string());
        (answer.status, answer.json())
    }

    fn code_of(&self, run: &str) -> String {
        self.server.ask("GET", &format!("/api/v1/flow-runs/{run}"), "").json()["component"].as_str().unwrap().to_owned()
    }
}

#[test]
fn an_operator_runs_in_a_deployment_what_is_deployed() {
    let _alone = crate::watch::alone();
    let scene = scene();
    let (retry, deployed) = (format!("/api/v1/flow-runs/{}/retry", scene.run), scene.code_of(&scene.run));
    for version in [scene.foreign.clone(), scene.foreign[..12].to_owned()] {
        for dry_run in [true, false] {
            let body = json!({ "version": version, "all": true, "dry_run": dry_run });
            let (status, answer) = scene.ask(&scene.operator, &retry, &body);
            assert_eq!(status, 403, "{answer:#}");
            assert!(answer["error"]["message"].as_str().unwrap().contains("needs deployer"), "{answer:#}");
        }
        let body = json!({ "version": version, "all": true, "runs": [scene.run] });
        let (_, answer) = scene.ask(&scene.operator, "/api/v1/flow-runs/bulk-retry", &body);
        assert_eq!(answer["refused"][0]["error"]["code"], "forbidden", "{answer:#}");
    }
    assert_eq!(scene.code_of(&scene.run), deployed);
    // `latest` is what is deployed, although something was uploaded since then; and who may deploy may try other code.
    let (status, _) = scene.ask(&scene.operator, &retry, &json!({ "version": "latest", "all": true }));
    assert_eq!((status, scene.code_of(&scene.run)), (200, deployed.clone()));
    retake_tests::until("it has ended", || {
        (scene.retake.json(&["show", &scene.run])["state"] == "Completed").then_some(())
    });
    let (status, answer) =
        scene.ask(&scene.deployer, &retry, &json!({ "version": scene.foreign, "all": true, "dry_run": true }));
    assert_eq!(status, 200, "{answer:#}");
    // The flow by its name alone is what was deployed of it.
    let (status, answer) = scene.ask(&scene.operator, "/api/v1/flow-runs", &json!({ "flow": "own" }));
    assert_eq!((status, &answer["component"]), (201, &json!(deployed)));
    // Foreign code has nothing that was granted.
    let body = json!({ "component": scene.foreign, "flow": "own" });
    let (_, answer) = scene.ask(&scene.operator, "/api/v1/flow-runs", &body);
    let id = answer["id"].as_str().unwrap();
    let ended = retake_tests::until("it has ended", || {
        let it = scene.retake.json(&["show", id]);
        (it["state"] == "Failed").then_some(it)
    });
    assert_eq!(ended["failure"]["code"], "sandbox.denied");
    // A deployment that is gone may be there again tomorrow, under the same name.
    scene.retake.expect(0, &["deployments", "rm", "own/prod"]);
    let (status, answer) = scene.ask(&scene.operator, &retry, &json!({ "version": scene.foreign, "all": true }));
    assert_eq!(status, 403, "{answer:#}");
}
