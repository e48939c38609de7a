use retake::prelude::*;

#[flow(retries = 5, delay = 300)]
fn pages() {}

fn main() {}
