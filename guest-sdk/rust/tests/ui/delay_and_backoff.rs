use retake::prelude::*;

#[flow(retries = 5, delay = "5m", backoff = "1s")]
fn pages() {}

fn main() {}
