//! A flow whose tasks say what they do and with what value, so that a test can keep books of it outside.
#![allow(clippy::print_stdout, reason = "what is printed is the effect")]

use std::time::Duration;

use retake::prelude::*;
use retake::serde_json::json;
use retake::{Call, Options, submit_task};

/// Does one step, which prints `effect KEY/NUMBER VALUE`, another value each time.
#[task(name = "step", tags = ["steps"], log_prints)]
fn step(key: String, number: u32, pause_ms: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(pause_ms));
    let value = retake::random() >> 12;
    println!("effect {key}/{number} {value}");
    value
}

/// Does `steps` steps, the first half one after the other and the rest side by side, and returns their values.
#[flow(name = "effects", retries = 1000, delay = "0s")]
fn effects(key: String, #[default(8)] steps: u32, #[default(5)] pause_ms: u64) -> Result<Vec<u64>> {
    let submit = |number: u32| -> Call<u64> {
        let input = json!({ "key": key, "number": number, "pause_ms": pause_ms });
        submit_task("step", &input, Options::default().named(format!("{key}/{number}")))
    };
    let half = steps / 2;
    let mut values = Vec::new();
    for number in 0..half {
        values.push(submit(number).outcome()?);
    }
    let calls: Vec<_> = (half..steps).map(submit).collect();
    for call in &calls {
        values.push(call.outcome()?);
    }
    Ok(values)
}

retake::component!(flows: [effects], tasks: [step]);
