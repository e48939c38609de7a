use retake::prelude::*;

#[flow(retries = 4_000_000_000)]
fn pages() {}

fn main() {}
