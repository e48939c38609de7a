//! A component whose metadata is nonsense: every number too large, every text wrong.

use retake::bindings::exports::retake::flow::plugin::Guest;
use retake::bindings::retake::flow::types::{
    Action, Capability, ComponentInfo, Delay, Exponential, Failure, FlowInfo, Limits, RetryPolicy, Rule, WhenExhausted,
};

struct Component;

impl Guest for Component {
    fn describe() -> ComponentInfo {
        let mut info = sensible();
        let nonsense = &mut info.flows[0];
        nonsense.name = "a/b\u{7}\u{1b}[31m".to_owned();
        nonsense.description = "x".repeat(1 << 20);
        nonsense.parameters = "{\"type\": ".to_owned();
        nonsense.returns = Some(r#"{"type": "no such type"}"#.to_owned());
        nonsense.retry = RetryPolicy {
            retries: 4_000_000_000,
            delay: Delay::Exponential(Exponential { initial: 1_000_000_000_000_000_000, factor_permille: 1 }),
            delay_max: Some(u64::MAX),
            jitter: u16::MAX,
            give_up_after: Some(u64::MAX),
            rules: (0..1000).map(|_| wild_rule()).collect(),
            when_exhausted: WhenExhausted::Park,
        };
        nonsense.limits = Limits { memory_bytes: Some(u64::MAX), cpu_time: Some(0), timeout: Some(u64::MAX) };
        nonsense.capabilities = vec![
            Capability::Http("https://*/../%00".to_owned()),
            Capability::Http("*".to_owned()),
            Capability::Secret(String::new()),
        ];
        nonsense.extensions = Some("not JSON".to_owned());
        // The same name twice.
        info.flows.push(info.flows[0].clone());
        info.version = "\n".repeat(1000);
        info
    }

    fn run_flow(_: String, _: String) -> Result<String, Failure> {
        Ok("null".to_owned())
    }

    fn run_task(_: String, _: String) -> Result<String, Failure> {
        Ok("null".to_owned())
    }
}

/// Returns a rule that matches nothing sensible.
fn wild_rule() -> Rule {
    Rule { codes: vec!["*.*".to_owned(), String::new()], action: Action::Retry(None) }
}

/// Returns the metadata that the host would take.
fn sensible() -> ComponentInfo {
    let only = FlowInfo {
        name: "only".to_owned(),
        description: String::new(),
        parameters: r#"{"type": "object"}"#.to_owned(),
        returns: None,
        retry: retake::Policy::retries(0).into_wire(),
        limits: Limits { memory_bytes: None, cpu_time: None, timeout: None },
        capabilities: Vec::new(),
        log_prints: false,
        persist_result: None,
        extensions: None,
    };
    ComponentInfo {
        name: "nonsense-metadata".to_owned(),
        version: "1.0.0".to_owned(),
        description: String::new(),
        flows: vec![only],
        tasks: Vec::new(),
    }
}

retake::bindings::export_component!(Component with_types_in retake::bindings);
