//! A flow with two tasks: `retake run . -p name=Ann` builds it and runs it.

use retake::prelude::*;

/// What the flow returns. `#[data]` is for types that flows and tasks take and return.
#[data]
struct Receipt {
    greeting: String,
    /// Which attempt it was that succeeded.
    attempt: u32,
}

/// Writes the greeting.
///
/// A task runs in a sandbox of its own, and its result is kept. When the flow is retried, by its policy or by you, a
/// task that has succeeded is not run again: its result is fed back.
#[task(log_prints)]
fn compose(name: String) -> String {
    // With `log_prints`, this is in `retake logs RUN`.
    println!("writing to {name}");
    format!("Hello, {name}!")
}

/// Sends it. The outside world is flaky, so up to two more attempts are made, the first after 1 s and the next after
/// 2 s.
#[task(retries = 2, delay = ["1s", "2s"], log_prints)]
fn send(greeting: String, fails: u32) -> Result<Receipt> {
    // Counted from 1 over the whole life of the run, also when you retry it.
    let attempt = context().attempt;
    if attempt <= fails {
        // The first text is a code: rules of a policy, filters and notifications go by it.
        return Err(Failure::new("mail.busy", format!("the mail server is busy, attempt {attempt}")));
    }
    println!("sent: {greeting}");
    Ok(Receipt { greeting, attempt })
}

/// Greets somebody.
///
/// The arguments are the parameters of a run, and these comments describe them. When the body fails it is run again
/// from its beginning, once, after 5 s: `compose` is answered with its kept result, `send` is tried again.
#[flow(name = "@name@", retries = 1, delay = "5s", log_prints)]
fn greet(
    /// Whom to greet.
    name: String,
    /// How many attempts to send fail, so that there is something to see. With 6 all attempts are used up.
    #[default(1)]
    fails: u32,
) -> Result<Receipt> {
    let greeting = compose(name)?;
    send(greeting, fails)
}

// Whatever the component has is listed here.
retake::component!(flows: [greet], tasks: [compose, send]);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use retake::serde_json::json;
    use retake::testing::{Host, State};

    use super::*;

    /// `inline` runs a task's body right here, without a host: `cargo test`.
    #[test]
    fn a_greeting_names_whom_it_greets() {
        assert_eq!(compose::inline("Ann".to_owned()), "Hello, Ann!");
    }

    /// A host for tests runs the whole flow, with its retries, on a clock that waits for nothing.
    #[test]
    fn a_retry_sends_again_and_does_not_write_again() {
        // Both rounds of `send` fail: its three attempts in the flow's first attempt, and three in its second.
        let mut run = Host::new().fail("send", 6).run::<greet>(&json!({"name": "Ann", "fails": 0}));
        assert_eq!(run.state(), State::Failed);
        assert_eq!(run.call("send").waits(), [1, 2, 5, 1, 2].map(Duration::from_secs));
        run.retry();
        assert_eq!(run.state(), State::Completed);
        assert!(run.call("compose").is_fed_back());
        assert_eq!(run.call("compose").attempts().len(), 1);
    }
}
