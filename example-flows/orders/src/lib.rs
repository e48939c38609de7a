//! Three tasks in a row, each with a policy of its own.
//!
//! It shows what is not run again. When `load` fails the run fails; after a retry the flow's body
//! runs from its beginning, but `extract` and `enrich` have succeeded, so their results are fed
//! back from the store and only `load` is run.
#![allow(clippy::print_stdout, reason = "what a flow prints becomes its log")]

use std::time::Duration;

use retake::prelude::*;

/// One order of a customer.
#[data]
struct Order {
    id: String,
    cents: u64,
    /// Filled in by `enrich`.
    #[serde(default)]
    country: Option<String>,
}

/// What becomes of the last step.
#[data]
#[serde(rename_all = "kebab-case")]
enum Load {
    /// It succeeds.
    Ok,
    /// It fails, however often it is tried.
    Fail,
    /// It fails in its first attempt, and succeeds when the flow is retried.
    FailOnce,
}

/// What was loaded.
#[data]
struct Receipt {
    customer: String,
    orders: usize,
    cents: u64,
    /// Which attempt of `load` did it.
    load_attempt: u32,
}

/// Reads the customer's orders.
#[task(log_prints)]
fn extract(customer: String, pause_ms: u64) -> Vec<Order> {
    println!("extract: attempt {}", context().attempt);
    pause(pause_ms);
    let order = |number: u64| Order { id: format!("{customer}-{number}"), cents: number * 1250, country: None };
    (1..=3).map(order).collect()
}

/// Looks up what the orders lack, at a service that is sometimes away.
///
/// Its two retries are used up within this task run: the flow does not notice them.
#[task(retries = 2, delay = "1s", log_prints)]
fn enrich(orders: Vec<Order>, fails: u32, pause_ms: u64) -> Result<Vec<Order>> {
    let attempt = context().attempt;
    println!("enrich: attempt {attempt}");
    pause(pause_ms);
    if attempt <= fails {
        return Err(Failure::new("http.503", format!("the service is away, attempt {attempt}")));
    }
    let country = Some("NL".to_owned());
    Ok(orders.into_iter().map(|order| Order { country: country.clone(), ..order }).collect())
}

/// Writes the orders to where they belong. Without retries: a failure here fails the flow.
#[task(log_prints)]
fn load(customer: String, orders: Vec<Order>, outcome: Load, pause_ms: u64) -> Result<Receipt> {
    // Counted over the whole life of the task run, so that it goes on after a manual retry.
    let load_attempt = context().attempt;
    println!("load: attempt {load_attempt}");
    pause(pause_ms);
    let fails = match outcome {
        Load::Ok => false,
        Load::Fail => true,
        Load::FailOnce => load_attempt == 1,
    };
    if fails {
        return Err(Failure::new("load.refused", "the warehouse refused the orders"));
    }
    let cents = orders.iter().map(|order| order.cents).sum();
    Ok(Receipt { customer, orders: orders.len(), cents, load_attempt })
}

/// Takes a customer's orders from where they are to where they belong.
#[flow(log_prints)]
fn orders(
    #[default("acme")] customer: String,
    /// How many attempts of `enrich` fail before one succeeds; above 2 all of them do.
    #[default]
    enrich_fails: u32,
    #[default(Load::Ok)] load: Load,
    /// How long each task takes, so that there is time to watch it, or to pull the plug.
    #[default]
    pause_ms: u64,
) -> Result<Receipt> {
    println!("orders of {customer}: attempt {}", context().attempt);
    let found = extract(customer.clone(), pause_ms)?;
    let enriched = enrich(found, enrich_fails, pause_ms)?;
    self::load(customer, enriched, load, pause_ms)
}

fn pause(milliseconds: u64) {
    if milliseconds > 0 {
        retake::sleep(Duration::from_millis(milliseconds));
    }
}

retake::component!(name: "orders", flows: [orders], tasks: [extract, enrich, load]);
