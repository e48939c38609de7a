//! A component whose schema is written into its bytes by whoever attacks, and that says a secret wherever it may say
//! something.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is one of the ways")]

use retake::bindings::exports::retake::flow::plugin::Guest;
use retake::bindings::retake::flow::types::{
    Action, Capability, ComponentInfo, Failure, FlowInfo, Limits, RetryAdvice, RetryPolicy, Rule, TaskInfo,
};
use retake::bindings::retake::flow::{log, tasks, values};
use retake::serde_json::{Value, from_str, json};

/// Room for a schema, which is found by how it begins. What follows the schema is blank, as JSON allows.
const ROOM: usize = 250_000;
static SCHEMA: [u8; ROOM] = {
    let mut room = [b' '; ROOM];
    let (marked, mut at) = (br#"{"description":"the schema of an attacker"}"#, 0);
    while at < marked.len() {
        room[at] = marked[at];
        at += 1;
    }
    room
};

fn schema() -> String {
    String::from_utf8_lossy(std::hint::black_box(&SCHEMA)).trim_end().to_owned()
}

struct Component;

fn policy() -> RetryPolicy {
    retake::Policy::retries(0).into_wire()
}

fn flow(name: &str, parameters: String) -> FlowInfo {
    FlowInfo {
        name: name.to_owned(),
        description: String::new(),
        parameters,
        returns: None,
        retry: policy(),
        limits: Limits { memory_bytes: None, cpu_time: None, timeout: None },
        capabilities: vec![Capability::Secret("shop-token".to_owned())],
        log_prints: true,
        persist_result: None,
        extensions: None,
    }
}

impl Guest for Component {
    fn describe() -> ComponentInfo {
        let attacked = TaskInfo {
            name: "attacked".to_owned(),
            description: String::new(),
            version: "1".to_owned(),
            input: schema(),
            returns: None,
            retry: policy(),
            limits: Limits { memory_bytes: None, cpu_time: None, timeout: None },
            capabilities: Vec::new(),
            log_prints: false,
            persist_result: None,
            tags: Vec::new(),
            extensions: None,
        };
        let any = || r#"{"type":"object"}"#.to_owned();
        ComponentInfo {
            name: "attacker".to_owned(),
            version: "1.0.0".to_owned(),
            description: String::new(),
            flows: vec![flow("attacked", schema()), flow("inside", any()), flow("tell", any()), flow("own", any())],
            tasks: vec![attacked],
        }
    }

    fn run_flow(name: String, parameters: String) -> Result<String, Failure> {
        let parameters: Value = from_str(&parameters).unwrap_or_default();
        match name.as_str() {
            "inside" => Ok(inside(&parameters)),
            "tell" => tell(parameters["where"].as_str().unwrap_or_default()),
            // What only this code's deployment is granted.
            "own" => values::secret("shop-token").map(|it| json!(it.len()).to_string()),
            _ => Ok("null".to_owned()),
        }
    }

    fn run_task(_: String, _: String) -> Result<String, Failure> {
        Ok("null".to_owned())
    }
}

fn options() -> tasks::Options {
    tasks::Options { key: None, name: None, retry: None }
}

/// Calls its own task so many times with an input. Returns the code of the last answer.
fn inside(parameters: &Value) -> String {
    let (input, times) = (parameters["input"].to_string(), parameters["times"].as_u64().unwrap_or(1));
    let mut code = "null".to_owned();
    for n in 0..times {
        let options = tasks::Options { key: Some(n.to_string()), ..options() };
        code = match tasks::submit("attacked", &input, &options).outcome() {
            Ok(_) => "null".to_owned(),
            Err(failure) => json!(failure.code).to_string(),
        };
    }
    code
}

/// Says the secret in a text that the contract has. Whatever comes of it, something else is returned.
fn tell(place: &str) -> Result<String, Failure> {
    let secret = values::secret("shop-token")?;
    let quoted = json!({ "x": secret }).to_string();
    let failure = |code: &str, message: &str, details: Option<String>| {
        Err(Failure { code: code.to_owned(), message: message.to_owned(), retry: RetryAdvice::Never, details })
    };
    let ask = |name: &str, input: &str, options: tasks::Options| {
        let _ = tasks::submit(name, input, &options).outcome();
    };
    match place {
        "submit.task" => ask(&secret, "{}", options()),
        "submit.input" => ask("attacked", &quoted, options()),
        "submit-flow.flow" => drop(tasks::submit_flow(&secret, "{}", &options()).outcome()),
        "submit-flow.parameters" => drop(tasks::submit_flow("inside", &quoted, &options()).outcome()),
        "options.key" => ask("attacked", "{}", tasks::Options { key: Some(secret), ..options() }),
        "options.name" => ask("attacked", "{}", tasks::Options { name: Some(secret), ..options() }),
        "rule.codes" => {
            let rules = vec![Rule { codes: vec![secret], action: Action::Fail }];
            ask("attacked", "{}", tasks::Options { retry: Some(RetryPolicy { rules, ..policy() }), ..options() });
        }
        "write.message" => log::write(log::Level::Info, &secret, "{}"),
        "write.fields" => log::write(log::Level::Info, "fields", &quoted),
        "secret.name" => drop(values::secret(&secret)),
        "variable.name" => drop(values::variable(&secret)),
        "failure.code" => return failure(&secret, "said", None),
        "failure.message" => return failure("said", &secret, None),
        "failure.details" => return failure("said", "said", Some(quoted)),
        "secret.name told" => return values::secret(&secret),
        "outcome told" => return tasks::submit(&secret, "{}", &options()).outcome(),
        "result" => return Ok(quoted),
        "result as a key" => return Ok(json!({ secret: 1 }).to_string()),
        "stdout" => println!("{secret}"),
        "stdout in pieces" => secret.chars().for_each(|it| print!("{it}")),
        "stderr" => eprintln!("{secret}"),
        "panic" => panic!("{secret}"),
        _ => return failure("attack.unknown", place, None),
    }
    Ok("null".to_owned())
}

retake::bindings::export_component!(Component with_types_in retake::bindings);
