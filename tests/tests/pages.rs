//! What a browser is given: the web UI's files, and sessions instead of tokens. What people see is tested in a browser,
//! in `tests/browser`.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use retake_tests::Retake;
use retake_tests::http::{Answer, Server};
use serde_json::json;

/// Signs in; returns the cookie as a browser would send it.
fn sign_in(server: &Server, token: &str) -> (Answer, String) {
    let answer = server.ask_bare("", "POST", "/api/v1/session", &json!({ "token": token }).to_string());
    let cookie = answer.header("set-cookie").unwrap_or_default().split(';').next().unwrap().to_owned();
    (answer, format!("Cookie: other=1; {cookie}\r\n"))
}

#[test]
fn a_session_stands_for_the_token_that_began_it() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    let (answer, admin) = sign_in(&server, &server.token);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!((&answer.json()["name"], &answer.json()["role"]), (&json!("admin"), &json!("admin")));
    let set = answer.header("set-cookie").unwrap();
    for word in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(set.contains(word), "{set}");
    }
    assert!(!set.contains(server.token.as_str()), "the token itself is not handed out again");
    let shown = server.ask_bare(&admin, "GET", "/api/v1/session", "");
    assert_eq!((shown.status, shown.json()), (200, answer.json()));
    assert_eq!(server.ask_bare(&admin, "GET", "/api/v1/flow-runs", "").status, 200);

    // What changes something needs what a page of another origin cannot send.
    let ask = json!({ "role": "viewer" }).to_string();
    let forged = server.ask_bare(&admin, "POST", "/api/v1/tokens/eve", &ask);
    assert_eq!((forged.status, forged.json()["error"]["code"].clone()), (403, json!("forbidden")));
    let meant = format!("{admin}X-Retake: ui\r\n");
    let made = server.ask_bare(&meant, "POST", "/api/v1/tokens/viewer", &ask);
    assert_eq!(made.status, 201, "{}", made.body);
    // The key of a session is no token.
    let key = admin.trim_end().rsplit_once('=').unwrap().1;
    assert_eq!(server.ask_as(Some(key), "GET", "/api/v1/flow-runs", "").status, 401);

    // A session may do what its token may; and ends with it.
    let (_, viewer) = sign_in(&server, made.json()["token"].as_str().unwrap());
    let meant_by_viewer = format!("{viewer}X-Retake: ui\r\n");
    assert_eq!(server.ask_bare(&viewer, "GET", "/api/v1/flow-runs", "").status, 200);
    assert_eq!(server.ask_bare(&meant_by_viewer, "POST", "/api/v1/tokens/x", &ask).status, 403);
    let listed = server.ask("GET", "/api/v1/tokens", "").json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2, "sessions are no tokens: {listed}");
    let audit = server.ask("GET", "/api/v1/audit", "").json();
    assert!(audit["items"].as_array().unwrap().iter().any(|it| it["action"] == "sign-in" && it["actor"] == "viewer"));
    assert_eq!(server.ask("DELETE", "/api/v1/tokens/viewer", "").status, 204);
    assert_eq!(server.ask_bare(&viewer, "GET", "/api/v1/flow-runs", "").status, 401);
    let again = server.ask("POST", "/api/v1/tokens/viewer", &ask);
    assert_eq!(again.status, 201, "the name is free: {}", again.body);
    assert_eq!(server.ask_bare(&viewer, "GET", "/api/v1/flow-runs", "").status, 401, "and the old sessions stay ended");

    // It outlives the server, and ends when somebody signs out.
    let other = server.ask_bare(&meant, "DELETE", "/api/v1/session", "");
    assert_eq!((other.status, other.header("set-cookie").unwrap().contains("Max-Age=0")), (204, true));
    assert_eq!(server.ask_bare(&admin, "GET", "/api/v1/session", "").status, 401);
    let (_, kept) = sign_in(&server, &server.token);
    let port = server.address.rsplit_once(':').unwrap().1.to_owned();
    assert!(kept.contains(&format!("retake-session-{port}=")), "servers of one machine do not share it: {kept}");
    server.kill();
    let server = Server::start(&retake);
    let kept = kept.replace(&port, server.address.rsplit_once(':').unwrap().1);
    assert_eq!(server.ask_bare(&kept, "GET", "/api/v1/session", "").status, 200);
}

#[test]
fn a_wrong_token_begins_no_session() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    for wrong in ["", "rtk_nothing", &format!("{}x", server.token)] {
        let (answer, _) = sign_in(&server, wrong);
        assert_eq!((answer.status, answer.header("set-cookie")), (401, None), "{}", answer.body);
    }
    let port = server.address.rsplit_once(':').unwrap().1;
    let forged = format!("Cookie: retake-session-{port}={}\r\n", server.token);
    assert_eq!(server.ask_bare(&forged, "GET", "/api/v1/flow-runs", "").status, 401, "a token is no session");
    // Guesses are counted here, too.
    let refused = (0..400).map(|_| sign_in(&server, "rtk_guess").0.status).filter(|it| *it == 429).count();
    assert!(refused > 100, "{refused}");
}

#[test]
fn an_address_signs_in_once() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    let address = retake.expect(0, &["ui", "--print"]).out.trim().to_owned();
    let (page, key) = address.split_once("/#code=").unwrap();
    assert_eq!(page, format!("http://{}", server.address));
    // Also when several come together.
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| sign_in(&server, key).0.status)).collect();
        all.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|it| **it == 200).count(), 1, "{statuses:?}");
    assert_eq!(sign_in(&server, key).0.status, 401);
    server.stop();
    retake.expect(5, &["ui"]).is_an_error_with_a_hint("no server works on the data directory");
}

#[test]
fn the_page_and_its_files_come_from_the_binary() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    let get = |head: &str, path: &str| server.ask_bare(head, "GET", path, "");
    let page = get("Accept: text/html,*/*\r\n", "/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")), "{}", page.head);
    let policy = page.header("content-security-policy").unwrap();
    for word in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "trusted-types 'none'"] {
        assert!(policy.contains(word), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for word in ["<style", "style=", "onclick", "://", "<script>"] {
        assert!(!page.body.contains(word), "{word}: {}", page.body);
    }
    // Each place in the page is the page, for browsers; and no address of the API is.
    assert_eq!(get("Accept: text/html\r\n", "/runs/brisk-otter").body, page.body);
    assert_eq!(get("", "/runs/brisk-otter").status, 404);
    assert_eq!(get("Accept: text/html\r\n", "/api/v1/nothing").status, 404);
    let named: Vec<&str> = page.body.split('"').filter(|it| it.starts_with("/ui/")).collect();
    assert!(named.len() >= 2, "{named:?}");
    for name in named {
        let file = get("", name);
        assert_eq!(file.status, 200, "{name}");
        let tag = file.header("etag").unwrap();
        let same = get(&format!("If-None-Match: {tag}\r\n"), name);
        assert_eq!((same.status, same.body.as_str()), (304, ""), "{name}");
        let packed = get("Accept-Encoding: gzip, br\r\n", name);
        assert_eq!(packed.header("content-encoding"), Some("gzip"), "{name}");
        for header in ["x-content-type-options", "x-frame-options", "referrer-policy", "content-security-policy"] {
            assert!(file.header(header).is_some(), "{name}: {header}");
        }
    }
    for nowhere in ["/ui/nothing.js", "/ui/..%2f..%2fCargo.toml", "/ui/../Cargo.toml", "/ui/tsconfig.json", "/ui/"] {
        assert_eq!(get("", nowhere).status, 404, "{nowhere}");
    }
}

#[test]
fn what_is_in_force_and_how_much_there_is_can_be_asked() {
    let retake = Retake::new();
    let server = Server::start_with(&retake, &["--task-slots", "7"]);
    let settings = server.ask("GET", "/api/v1/settings", "").json();
    let settings = settings["items"].as_array().unwrap();
    let slots = settings.iter().find(|it| it["name"] == "command.server.task-slots").unwrap();
    assert_eq!((&slots["value"], &slots["from"], &slots["default"]), (&json!("7"), &json!("flag"), &json!("512")));
    assert!(settings.iter().all(|it| !it["what"].as_str().unwrap().is_empty()), "{settings:#?}");

    retake.expect(0, &["deploy", &retake_tests::path("orders"), "--flow", "orders", "-n", "dev"]);
    retake.expect(0, &["run", "orders/dev", "-w"]);
    retake.expect(1, &["run", "orders/dev", "-p", "load=fail", "-w"]);
    let counts = server.ask("GET", "/api/v1/flow-runs/counts?buckets=4", "").json();
    assert_eq!((&counts["total"], &counts["complete"]), (&json!({"Completed": 1, "Failed": 1}), &json!(true)));
    assert_eq!(counts["states"]["Failed"], json!([0, 0, 0, 1]));
    let failed = server.ask("GET", "/api/v1/flow-runs/counts?state=failed&flow=orders", "").json();
    assert_eq!(failed["total"], json!({"Failed": 1}));
    for wrong in ["buckets=0", "buckets=201", "state=odd", "since=2030-01-01T00:00:00Z", "flo=x"] {
        let answer = server.ask("GET", &format!("/api/v1/flow-runs/counts?{wrong}"), "");
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.body);
    }
}
