//! A flow whose tasks have secrets and variables, and tell them where they should not.
#![allow(clippy::print_stdout, clippy::panic, reason = "what is told is what is tested")]

use retake::prelude::*;

/// Uses a secret and a variable, and leaks the secret as `leak` says.
#[task(secrets = ["shop-token"], variables = ["batch-size"], log_prints)]
fn send(leak: String) -> Result<String> {
    let token = retake::secret("shop-token")?;
    let size: u32 = retake::variable("batch-size")?;
    match leak.as_str() {
        "print" => println!("the token is {token}, really"),
        "log" => retake::log::info(&format!("sending with {token}")),
        "fail" => return Err(Failure::permanent("shop.refused", format!("the shop refused {token}"))),
        "panic" => panic!("{token} is wrong"),
        "result" => return Ok(token),
        _ => {}
    }
    let sum: u32 = token.bytes().map(u32::from).sum();
    Ok(format!("{} bytes, sum {sum}, batches of {size}", token.len()))
}

/// Asks for what its metadata does not name.
#[task]
fn peek() -> Result<String> {
    retake::secret("shop-token")
}

/// Takes a token from its flow, which it should not.
#[task]
fn handed(token: String) -> usize {
    token.len()
}

/// Sends once, with what the deployment grants.
#[flow(secrets = ["flow-token"])]
fn values(#[default("")] leak: String) -> Result<String> {
    match leak.as_str() {
        "peek" => peek(),
        "input" => Ok(handed(retake::secret("flow-token")?)?.to_string()),
        "child" => below("".to_owned()),
        _ => send(leak),
    }
}

/// Has what the run above it is granted.
#[flow]
fn below(leak: String) -> Result<String> {
    send(leak)
}

retake::component!(flows: [values, below], tasks: [send, peek, handed]);
