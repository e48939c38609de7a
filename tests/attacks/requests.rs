//! Requests that are written to be misunderstood, and what is left of those that are refused.

use retake_tests::Retake;
use retake_tests::http::Server;
use serde_json::Value;

use crate::token;

#[test]
fn a_host_is_one_name_and_an_origin_is_this_server() {
    let _alone = crate::watch::alone();
    let retake = Retake::new();
    let server = Server::start_with(&retake, &["--host", "retake.example.com", "--host", "other.example.com:8443"]);
    let port = server.address.rsplit_once(':').unwrap().1.to_owned();
    let ask = |target: &str, head: &str| {
        let request = format!(
            "GET {target} HTTP/1.1\r\n{head}Authorization: Bearer {}\r\nConnection: close\r\n\r\n",
            server.token
        );
        server.send(&request).status
    };
    let at = "/api/v1/version";
    for host in
        ["127.0.0.1", "localhost", "[::1]", "retake.example.com", "RETAKE.example.com:7420", "other.example.com:8443"]
    {
        assert_eq!(ask(at, &format!("Host: {host}\r\n")), 200, "{host}");
    }
    for head in [
        "Host: 127.0.0.1:7700@evil.example\r\n",
        "Host: evil.example#127.0.0.1\r\n",
        "Host: 127.0.0.1\r\nHost: evil.example\r\n",
        "Host: 127.0.0.1\r\nHost: 127.0.0.1\r\n",
        "Host: 127.0.0.1:\r\n",
        "Host: evil.example\r\n",
        "Host: localhost.evil.example\r\n",
        "Host: 127.0.0.1, evil.example\r\n",
        "Host: user@127.0.0.1\r\n",
        "Host: \r\n",
        "Host: other.example.com:1\r\n",
    ] {
        let status = ask(at, head);
        assert!(status == 421 || status == 400, "{head}: {status}");
    }
    let status = ask("http://evil.example/api/v1/version", &format!("Host: {}\r\n", server.address));
    assert!(status == 421 || status == 400, "{status}");
    let own = format!("Host: 127.0.0.1:{port}\r\n");
    let from = |origin: &str| ask(at, &format!("{own}Origin: {origin}\r\n"));
    for origin in [
        format!("http://127.0.0.1:{port}"),
        "https://retake.example.com".into(),
        "https://other.example.com:8443".into(),
    ] {
        assert_eq!(from(&origin), 200, "{origin}");
    }
    for origin in [
        "http://127.0.0.1:1",
        "http://localhost",
        "null",
        "http://retake.example.com",
        "https://retake.example.com:8443",
        "https://other.example.com",
        "https://other.example.com:1",
        "file://",
        "https://retake.example.com@evil.example",
        "ftp://retake.example.com",
        "https://sub.retake.example.com",
    ] {
        assert_eq!(from(origin), 403, "{origin}");
    }
}

#[test]
fn filters_of_any_length_are_answered() {
    let _alone = crate::watch::alone();
    let retake = Retake::new();
    let server = Server::start(&retake);
    let many = vec!["failed,crashed,late"; 2000].join(",");
    for query in [
        format!("state={many}"),
        format!("state={}", ",".repeat(3000)),
        format!("text={}", "%25_".repeat(3000)),
        format!("code={}", "*".repeat(5000)),
    ] {
        let answer = server.ask("GET", &format!("/api/v1/flow-runs?{query}"), "");
        assert!(
            answer.status == 200 || answer.status == 400 || answer.status == 414 || answer.status == 431,
            "{} {}",
            answer.status,
            answer.body
        );
    }
}

#[test]
fn what_is_refused_leaves_a_trace_and_does_not_fill_the_log() {
    let _alone = crate::watch::alone();
    let retake = Retake::new();
    let server = Server::start(&retake);
    let viewer = token(&retake, "looks", "viewer");
    for _ in 0..50 {
        assert_eq!(server.ask_as(Some(&viewer), "DELETE", "/api/v1/tokens/admin", "").status, 403);
        server.ask_as(Some("rtk_guess"), "GET", "/api/v1/flow-runs", "");
        server.ask_as(None, "POST", "/api/v1/session", r#"{"token":"guess"}"#);
    }
    let audit = server.ask("GET", "/api/v1/audit", "").json();
    let refused: Vec<&Value> =
        audit["items"].as_array().unwrap().iter().filter(|it| it["action"] == "refused").collect();
    let of = |status: u16| refused.iter().filter(|it| it["details"]["status"] == status).count();
    assert_eq!((of(403), of(401)), (1, 1), "{refused:#?}");
    let forbidden = refused.iter().find(|it| it["details"]["status"] == 403).unwrap();
    assert_eq!((&forbidden["actor"], &forbidden["subject"]), (&"looks".into(), &"DELETE /api/v1/tokens/{name}".into()));
}

/// What `retake ui` hands to a browser is good once, for a minute, and for nothing but signing in.
#[test]
fn a_code_signs_in_once_and_does_nothing_else() {
    let _alone = crate::watch::alone();
    let retake = Retake::new();
    let server = Server::start(&retake);
    let code = server.ask("POST", "/api/v1/session/code", "").json()["code"].as_str().unwrap().to_owned();
    assert_eq!(server.ask_as(Some(&code), "GET", "/api/v1/flow-runs", "").status, 401);
    let port = server.address.rsplit_once(':').unwrap().1;
    let cookie = format!("Cookie: retake-session-{port}={code}\r\nX-Retake: 1\r\n");
    assert_eq!(server.ask_bare(&cookie, "POST", "/api/v1/tokens/more", r#"{"role":"admin"}"#).status, 401);
    let body = format!(r#"{{"token":"{code}"}}"#);
    assert_eq!(server.ask_as(None, "POST", "/api/v1/session", &body).status, 200);
    assert_eq!(server.ask_as(None, "POST", "/api/v1/session", &body).status, 401);
    // A session is no token, and gives out no code.
    let signed = server.ask_as(None, "POST", "/api/v1/session", &format!(r#"{{"token":"{}"}}"#, server.token));
    let key = signed.header("set-cookie").unwrap().split([';', '=']).nth(1).unwrap().to_owned();
    let cookie = format!("Cookie: retake-session-{port}={key}\r\nX-Retake: 1\r\n");
    assert_eq!(server.ask_bare(&cookie, "POST", "/api/v1/session/code", "").status, 409);
    assert_eq!(server.ask_as(None, "POST", "/api/v1/session", &format!(r#"{{"token":"{key}"}}"#)).status, 401);
}
