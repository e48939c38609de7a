//! A component that traps when it describes itself.

use retake::bindings::exports::retake::flow::plugin::Guest;
use retake::bindings::retake::flow::types::{ComponentInfo, Failure, FlowInfo, Limits};

struct Component;

impl Guest for Component {
    fn describe() -> ComponentInfo {
        let mut info = sensible();
        info.description = std::hint::black_box(None).expect("the description is missing");
        info
    }

    fn run_flow(_: String, _: String) -> Result<String, Failure> {
        Ok("null".to_owned())
    }

    fn run_task(_: String, _: String) -> Result<String, Failure> {
        Ok("null".to_owned())
    }
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
        name: "describe-traps".to_owned(),
        version: "1.0.0".to_owned(),
        description: String::new(),
        flows: vec![only],
        tasks: Vec::new(),
    }
}

retake::bindings::export_component!(Component with_types_in retake::bindings);
