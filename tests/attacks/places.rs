//! Whoever holds on to what others need: connections, streams, uploads, readers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use retake_tests::http::Server;
use retake_tests::{Retake, path};

use crate::watch::Watch;
use crate::{much, token};

/// Opens connections and sends the beginning of a request over each.
fn held(server: &Server, count: usize, beginning: &str) -> Vec<TcpStream> {
    let beginning = beginning.replace("HOST", &server.address);
    let open = |_| {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        let _ = stream.write_all(beginning.as_bytes());
        stream
    };
    (0..count).map(open).collect()
}

/// Answers as soon as it should, for this token.
#[track_caller]
fn is_answered(server: &Server, token: &str, path: &str) {
    let began = Instant::now();
    let answer = server.ask_as(Some(token), "GET", path, "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn whoever_sends_slowly_keeps_nobody_out() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    let watch = Watch::over(&server);
    let body = "POST /api/v1/session HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\nContent-Length: 2000000\r\n\r\n{";
    for beginning in [
        // A body, a head, a chunk, nothing at all, a body that is asked to be awaited.
        body.to_owned(),
        "GET / HTTP/1.1\r\nHost: HOST\r\nX-A: ".to_owned(),
        "POST /api/v1/session HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{".to_owned(),
        String::new(),
        body.replace("\r\n\r\n{", "\r\nExpect: 100-continue\r\n\r\n"),
    ] {
        let mut held = held(&server, much(1100, 3000), &beginning);
        let until = Instant::now() + Duration::from_secs(much(3, 40) as u64);
        while Instant::now() < until {
            is_answered(&server, &server.token, "/api/v1/flow-runs");
            is_answered(&server, &server.token, "/readyz");
            // A byte now and then.
            held.iter_mut().step_by(7).for_each(|it| drop(it.write_all(b" ")));
            std::thread::sleep(Duration::from_millis(300));
        }
    }
    watch.was_well();
}

/// A body that comes too slowly is refused, of whatever request; what may be sent without a token is small.
#[test]
fn a_body_has_a_least_rate_and_open_routes_take_little() {
    let _alone = crate::watch::alone();
    let retake = Retake::new();
    let server = Server::start(&retake);
    let large = format!(r#"{{"token":"{}"}}"#, "x".repeat(5000));
    let answer = server.ask_as(None, "POST", "/api/v1/session", &large);
    assert_eq!(answer.status, 413, "{}", answer.body);
    let authorized =
        format!("Host: {}\r\nAuthorization: Bearer {}\r\nContent-Length: 100000\r\n\r\n", server.address, server.token);
    let slow: Vec<_> = ["POST /api/v1/flow-runs", "PUT /api/v1/variables/v", "POST /api/v1/components"]
        .iter()
        .map(|route| {
            let mut stream = TcpStream::connect(&server.address).unwrap();
            stream.write_all(format!("{route} HTTP/1.1\r\n{authorized}").as_bytes()).unwrap();
            std::thread::spawn(move || {
                let began = Instant::now();
                stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
                let (mut answer, mut part) = (Vec::new(), [0; 1000]);
                while began.elapsed() < Duration::from_secs(45) {
                    let _ = stream.write_all(b" ");
                    match stream.read(&mut part) {
                        Ok(0) => break,
                        Ok(length) => answer.extend_from_slice(&part[..length]),
                        Err(_) => {}
                    }
                }
                (String::from_utf8_lossy(&answer).into_owned(), began.elapsed())
            })
        })
        .collect();
    for it in slow {
        let (answer, took) = it.join().unwrap();
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        assert!(took < Duration::from_secs(40), "{took:?}");
    }
}

#[test]
fn a_token_has_its_share_and_no_more() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    retake.expect(0, &["run", &path("family"), "--flow", "crowd", "-p", "ms=0", "-w"]);
    let (viewer, deployer) = (token(&retake, "looks", "viewer"), token(&retake, "uploads", "deployer"));
    let watch = Watch::over(&server);
    let with = |token: &str, request: &str, more: &str| {
        format!("{request} HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer {token}\r\n{more}\r\n")
    };
    // Streams without end.
    let streams = held(&server, much(120, 400), &with(&viewer, "GET /api/v1/events/stream", ""));
    std::thread::sleep(Duration::from_millis(500));
    let mut own = held(&server, 1, &with(&server.token, "GET /api/v1/events/stream", "")).remove(0);
    own.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut head = [0; 12];
    own.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200", "the admin has a stream");
    drop(streams);
    // Uploads that stand still.
    let uploads = held(&server, 20, &with(&deployer, "POST /api/v1/components", "Content-Length: 1000000\r\n"));
    std::thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    let answer = server.upload(&std::fs::read(retake_tests::component("family")).unwrap());
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    drop(uploads);
    // Searches, and answers that nobody reads.
    let searches = held(&server, much(30, 200), &with(&viewer, "GET /api/v1/flow-runs?text=nothing&limit=200", ""));
    let unread = held(&server, much(30, 200), &with(&viewer, "GET /api/v1/components", ""));
    for place in ["/api/v1/flow-runs", "/api/v1/components", "/api/v1/flow-runs?text=crowd", "/api/v1/deployments"] {
        is_answered(&server, &server.token, place);
    }
    drop((searches, unread));
    watch.was_well();
}

/// A stream ends when its token is revoked, also while it tells something all the time.
#[test]
fn a_revoked_token_ends_its_streams_at_once() {
    let _alone = crate::watch::alone();
    let retake = Retake::new();
    let server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("family"), "--flow", "crowd", "-n", "dev"]);
    let run = retake.expect(0, &["run", "crowd/dev", "-p", "ms=60000", "-o", "id"]).out.trim().to_owned();
    let viewer = token(&retake, "looks", "viewer");
    let stream = |place: &str| {
        format!("GET {place} HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer {viewer}\r\nConnection: close\r\n\r\n")
    };
    let mut open = held(&server, 1, &stream(&format!("/api/v1/flow-runs/{run}/logs/stream")));
    open.extend(held(&server, 1, &stream(&format!("/api/v1/flow-runs/{run}/events/stream"))));
    open.extend(held(&server, 1, &stream("/api/v1/events/stream")));
    std::thread::sleep(Duration::from_millis(500));
    retake.expect(0, &["tokens", "rm", "looks"]);
    let began = Instant::now();
    for mut it in open {
        it.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
        let mut all = Vec::new();
        it.read_to_end(&mut all).ok();
        let all = String::from_utf8_lossy(&all);
        // The last chunk says that nothing follows.
        assert!(all.ends_with("0\r\n\r\n"), "{all}");
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

/// What is defined is bounded, so that lists of all of it are, also where nobody reads them.
#[test]
fn lists_of_what_is_large_do_not_fill_the_memory() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    let family = server.upload(&std::fs::read(retake_tests::component("family")).unwrap());
    let component = family.json()["digest"].as_str().unwrap().to_owned();
    let watch = Watch::over(&server);
    let large = "x".repeat(1_000_000);
    let body = format!(r#"{{"component":"{component}","parameters":{{"day":"{large}"}}}}"#);
    let made = (0..40).filter(|n| {
        let answer = server.ask("PUT", &format!("/api/v1/deployments/region/d{n}"), &body);
        assert!(answer.status == 200 || answer.status == 409, "{}", answer.body);
        answer.status == 200
    });
    let made = made.count();
    assert!((20..40).contains(&made), "{made} were made");
    // A component may say 4 MiB of itself, most of it in its schemas.
    for n in 0..much(12, 40) {
        let schema =
            serde_json::json!({ "properties": { "a": { "description": format!("{n}{}", "y".repeat(200_000)) } } });
        let answer = server.upload(&crate::attacker(&schema));
        assert!(answer.status == 201 || answer.status == 409, "{}", answer.body);
    }
    let others = [token(&retake, "one", "viewer"), token(&retake, "two", "viewer"), server.token.clone()];
    let mut unread = Vec::new();
    for (n, place) in ["deployments", "components", "flows", "schedules"].iter().cycle().take(much(24, 200)).enumerate()
    {
        let request =
            format!("GET /api/v1/{place} HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer {}\r\n\r\n", others[n % 2]);
        unread.extend(held(&server, 1, &request));
    }
    std::thread::sleep(Duration::from_secs(3));
    is_answered(&server, &others[2], "/api/v1/flow-runs");
    watch.was_well();
}
