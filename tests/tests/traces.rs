//! Traces, as an OpenTelemetry collector gets them.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use retake_tests::http::{Received, Server, receiver};
use retake_tests::{Retake, path};

/// Reads spans until there is one of this run, and returns all.
fn spans(told: &Receiver<Received>, run: &str) -> Vec<Span> {
    let (mut spans, began) = (Vec::new(), Instant::now());
    while of_run(&spans, run).is_none() {
        assert!(began.elapsed() < Duration::from_secs(30), "none of {run} in {spans:?}");
        let received = told.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(received.head.starts_with("POST /v1/traces "), "{}", received.head);
        let request = ExportTraceServiceRequest::decode(received.bytes.as_slice()).unwrap();
        for of in request.resource_spans {
            let service = of.resource.unwrap().attributes;
            assert!(service.iter().any(|it| it.key == "service.name"), "{service:?}");
            spans.extend(of.scope_spans.into_iter().flat_map(|it| it.spans));
        }
    }
    spans
}

/// Returns the span of a whole run.
fn of_run<'a>(spans: &'a [Span], run: &str) -> Option<&'a Span> {
    spans
        .iter()
        .find(|it| it.attributes.iter().any(|it| it.key == "retake.run.id") && attribute(it, "retake.run.id") == run)
}

/// Returns the span of a call.
fn of_call<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let is_it = |it: &&Span| it.name == name && it.attributes.iter().any(|it| it.key == "retake.call");
    spans.iter().find(is_it).unwrap_or_else(|| panic!("no `{name}` in {spans:?}"))
}

/// Returns the span of an attempt of what another is of.
fn of_attempt<'a>(spans: &'a [Span], above: &Span, number: u32) -> &'a Span {
    let is_it = |it: &&Span| it.parent_span_id == above.span_id && it.name == format!("attempt {number}");
    spans.iter().find(is_it).unwrap_or_else(|| panic!("no attempt {number} of {} in {spans:?}", above.name))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

fn attribute(span: &Span, name: &str) -> String {
    let found = span.attributes.iter().find(|it| it.key == name).and_then(|it| it.value.clone()?.value);
    match found {
        Some(Value::StringValue(it)) => it,
        Some(Value::IntValue(it)) => it.to_string(),
        other => panic!("{name} is {other:?} of {}", span.name),
    }
}

/// A run with its attempts and calls is one trace: the caller's, where the caller names one.
#[test]
fn a_run_is_a_trace_of_its_attempts_and_calls() {
    let retake = Retake::new();
    let (url, told) = receiver(vec![]);
    let collector = url.strip_suffix("/hook").unwrap();
    let server = Server::start_with(&retake, &["--otlp-endpoint", collector]);
    let set = ["-p", "customer=acme", "-p", "load=fail-once", "-p", "enrich_fails=1"];
    retake.expect(0, &[&["deploy", &path("orders"), "-n", "dev"], &set[..]].concat());

    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let head = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n");
    let made = server.ask_with(&head, "POST", "/api/v1/flow-runs", r#"{"deployment": "orders/dev"}"#).json();
    assert_eq!(made["overrides"]["traceparent"], head.split_once(": ").unwrap().1.trim());
    let run = made["id"].as_str().unwrap();
    retake.expect(1, &["watch", run, "-w"]);
    let first = spans(&told, run);
    for span in &first {
        assert_eq!(hex(&span.trace_id), trace, "{}", span.name);
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
    }
    let whole = of_run(&first, run).unwrap();
    assert_eq!((whole.name.as_str(), hex(&whole.parent_span_id)), ("orders", "00f067aa0ba902b7".into()));
    assert_eq!(attribute(whole, "error.type"), "load.refused");
    let attempt = of_attempt(&first, whole, 1);
    for name in ["extract", "enrich", "load"] {
        assert_eq!(of_call(&first, name).parent_span_id, attempt.span_id, "{name}");
    }
    let load = of_call(&first, "load");
    assert_eq!(load.status.as_ref().unwrap().message, "the warehouse refused the orders");
    let enrich = of_call(&first, "enrich");
    assert_eq!(attribute(enrich, "retake.call.attempts"), "2");
    assert_eq!(attribute(of_attempt(&first, enrich, 1), "error.type"), "http.503");
    of_attempt(&first, enrich, 2);
    assert_eq!(first.len(), 7, "and nothing else: {first:?}");

    // A manual retry is another span of the same trace, with what ran again and nothing else.
    retake.expect(0, &["retry", run, "-w"]);
    let second = spans(&told, run);
    let again = of_run(&second, run).unwrap();
    assert_eq!((hex(&again.trace_id), second.len()), (trace.into(), 3), "{second:?}");
    assert_ne!(again.span_id, whole.span_id);
    assert_eq!(of_call(&second, "load").parent_span_id, of_attempt(&second, again, 2).span_id);
}

/// Child runs stand below the call that asked for them; a caller that keeps no trace gets none.
#[test]
fn children_are_below_their_call() {
    let retake = Retake::new();
    let (url, told) = receiver(vec![]);
    let collector = url.strip_suffix("/hook").unwrap();
    let server = Server::start_with(&retake, &["--otlp-endpoint", collector]);
    retake.expect(0, &["deploy", &path("retry_it"), "-n", "dev"]);
    retake.expect(0, &["deploy", &path("parent"), "-n", "dev"]);
    let ask = |flags: &str| {
        let head = format!("traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}\r\n");
        let made = server.ask_with(&head, "POST", "/api/v1/flow-runs", r#"{"deployment": "parent/dev"}"#).json();
        let run = made["id"].as_str().unwrap_or_else(|| panic!("{made:#}")).to_owned();
        retake.say(&["watch", &run, "-w"]);
        run
    };
    ask("00");
    let run = ask("01");
    let spans = spans(&told, &run);
    let shown = retake.json(&["show", &run]);
    let children = shown["children"].as_array().unwrap();
    assert_eq!(children.len(), 2);
    // None is of the run that was not to be kept.
    let mut found = 0;
    for child in children.iter().filter_map(|it| of_run(&spans, it["id"].as_str().unwrap())) {
        found += 1;
        let call = spans.iter().find(|it| it.span_id == child.parent_span_id).unwrap();
        assert_eq!((call.name.as_str(), attribute(call, "retake.call.kind")), ("child", "flow".into()));
    }
    assert_eq!(found, 2, "{spans:?}");
    assert_eq!(spans.iter().filter(|it| it.name == "parent").count(), 1, "{spans:?}");
}
