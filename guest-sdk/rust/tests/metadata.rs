//! What the attributes say, as a host reads it.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use retake::bindings::retake::flow::types::{Action, Capability, Delay, RetryAdvice, WhenExhausted};
use retake::macro_support::{ComponentInfo, Runnable, describe, run};
use retake::prelude::*;
use retake::serde_json::{Value, json};

/// A page.
#[data]
struct Page {
    url: String,
    #[serde(default)]
    links: Vec<String>,
}

/// Fetches one page.
///
/// The outside world is flaky.
#[task(
    retries = 5,
    backoff = "1s",
    factor = 1.5,
    delay_max = "1h",
    jitter = 0.25,
    give_up_after = "1d",
    rules(retry("http.429", "http.503", retries = 10, delay = ["1m", "5m"]), retry("io.*"), fail("http.404"), park("quota.*")),
    when_exhausted = "park",
    timeout = "30s",
    cpu = "2s",
    memory = "64MiB",
    allow_http = ["api.example.com", "*.example.org:8443"],
    secrets = ["token"],
    variables = ["batch-size"],
    read_dirs = ["in"],
    write_dirs = ["out"],
    persist_result = false,
    version = "2",
    tags = ["web", "slow"],
)]
fn fetch(
    /// Where it is.
    url: String,
    #[default(3)] depth: u32,
    #[default("nobody")] referrer: String,
    #[default] pages: Vec<Page>,
    r#type: Option<String>,
) -> Result<Page> {
    if url.is_empty() {
        return Err(Failure::permanent("no.url", "there is no url"));
    }
    let links = vec![referrer, r#type.unwrap_or_default(), depth.to_string(), pages.len().to_string()];
    Ok(Page { url, links })
}

#[task]
fn nothing() {}

#[task]
fn plain(a: u8, b: u8) -> u16 {
    u16::from(a) + u16::from(b)
}

#[flow(name = "Manual retry", retries = 5, delay = "5m", log_prints)]
fn main_flow(mut urls: Vec<String>) -> Result<usize, std::num::ParseIntError> {
    urls.sort();
    urls.first().map_or(Ok(0), |url| url.parse())
}

/// Everything compiles that can be said of a call.
#[flow(shared)]
fn every_way() -> Result<Vec<u16>> {
    nothing()?;
    plain(1, 2)?;
    plain::with_key("k").named("n").call(1, 2)?;
    plain::retry(Policy::retries(1)).submit(1, 2).outcome()?;
    nothing::submit().outcome()?;
    main_flow::submit(vec![]).cancel();
    plain::named("n").map([(1, 2)])?;
    plain::map([(1, 2), (3, 4)])
}

retake::component!(flows: [main_flow], tasks: [fetch, nothing, plain]);

fn info() -> ComponentInfo {
    describe("pages", "1.0.0", "", &[main_flow::declare, every_way::declare], &[fetch::declare, nothing::declare])
}

fn schema(text: &str) -> Value {
    retake::serde_json::from_str(text).unwrap()
}

#[test]
fn doc_comment_is_the_description() {
    let info = info();
    assert_eq!(info.tasks[0].description, "Fetches one page.\n\nThe outside world is flaky.");
    assert_eq!(info.flows[0].description, "");
}

#[test]
fn arguments_become_a_schema() {
    let input = schema(&info().tasks[0].input);
    assert_eq!(
        input,
        json!({
            "type": "object",
            "properties": {
                "url": { "type": "string", "description": "Where it is." },
                "depth": { "type": "integer", "format": "uint32", "minimum": 0, "default": 3 },
                "referrer": { "type": "string", "default": "nobody" },
                "pages": { "type": "array", "items": { "$ref": "#/$defs/Page" }, "default": [] },
                "type": { "type": ["string", "null"] },
            },
            "required": ["url"],
            "additionalProperties": false,
            "$defs": {
                "Page": {
                    "type": "object",
                    "description": "A page.",
                    "properties": {
                        "url": { "type": "string" },
                        "links": { "type": "array", "items": { "type": "string" }, "default": [] },
                    },
                    "required": ["url"],
                },
            },
        }),
    );
}

#[test]
fn result_becomes_a_schema() {
    let info = info();
    assert_eq!(schema(info.flows[0].returns.as_ref().unwrap())["type"], "integer");
    assert_eq!(schema(info.tasks[0].returns.as_ref().unwrap())["title"], "Page");
    assert_eq!(schema(info.tasks[1].returns.as_ref().unwrap())["type"], "null");
}

#[test]
fn policy_is_what_the_attribute_says() {
    let info = info();
    let policy = &info.tasks[0].retry;
    assert_eq!((policy.retries, policy.jitter), (5, 250));
    assert!(matches!(&policy.delay, Delay::Exponential(e) if (e.initial, e.factor_permille) == (1000, 1500)));
    assert_eq!((policy.delay_max, policy.give_up_after), (Some(3_600_000), Some(86_400_000)));
    assert!(matches!(policy.when_exhausted, WhenExhausted::Park));
    assert_eq!(policy.rules.len(), 4);
    assert_eq!(policy.rules[0].codes, ["http.429", "http.503"]);
    assert!(matches!(&policy.rules[0].action, Action::Retry(Some(own))
        if own.retries == 10 && matches!(&own.delay, Delay::Listed(l) if *l == [60_000, 300_000])));
    assert!(matches!(policy.rules[1].action, Action::Retry(None)));
    assert!(matches!(policy.rules[2].action, Action::Fail));
    assert!(matches!(policy.rules[3].action, Action::Park));
    let policy = &info.flows[0].retry;
    assert!(matches!((policy.retries, &policy.delay), (5, Delay::Fixed(300_000))));
}

#[test]
fn limits_and_capabilities_are_what_the_attribute_says() {
    let info = info();
    let task = &info.tasks[0];
    assert_eq!(task.limits.memory_bytes, Some(64 << 20));
    assert_eq!((task.limits.cpu_time, task.limits.timeout), (Some(2000), Some(30_000)));
    assert_eq!((task.version.as_str(), task.persist_result), ("2", Some(false)));
    assert_eq!(task.tags, ["web", "slow"]);
    assert!(!task.log_prints && info.flows[0].log_prints);
    let said: Vec<String> = task
        .capabilities
        .iter()
        .map(|capability| match capability {
            Capability::Http(host) => format!("http {host}"),
            Capability::Dir(dir) => format!("dir {} {}", dir.name, dir.writable),
            Capability::Secret(name) => format!("secret {name}"),
            Capability::Variable(name) => format!("variable {name}"),
        })
        .collect();
    assert_eq!(
        said,
        [
            "http api.example.com",
            "http *.example.org:8443",
            "dir in false",
            "dir out true",
            "secret token",
            "variable batch-size",
        ]
    );
    assert!(info.tasks[1].capabilities.is_empty());
}

#[test]
fn call_reads_json_and_returns_json() {
    let page = fetch::run(r#"{"url": "u", "type": "html", "depth": 7}"#).unwrap();
    assert_eq!(page, r#"{"url":"u","links":["nobody","html","7","0"]}"#);
    assert_eq!(nothing::run("{}").unwrap(), "null");
    assert_eq!(plain::run(r#"{"b": 2, "a": 1}"#).unwrap(), "3");
}

#[test]
fn error_becomes_a_failure() {
    let failure = fetch::run(r#"{"url": ""}"#).unwrap_err();
    assert!(failure.is_permanent());
    let failure = main_flow::run(r#"{"urls": ["x"]}"#).unwrap_err();
    assert_eq!(failure.code(), "ParseIntError");
    let failure = run(&[("fetch", fetch::run)], "fetch", r#"{"url": ""}"#).unwrap_err();
    assert!(matches!(failure.retry, RetryAdvice::Never));
    let failure = run(&[("fetch", fetch::run)], "fetsh", "{}").unwrap_err();
    assert_eq!(failure.message, "this component has no `fetsh`");
}

#[test]
fn body_runs_natively() {
    assert_eq!(plain::inline(1, 2), 3);
}
