use retake::prelude::*;

#[flow(retries = 5, delay = "5 minutess")]
fn pages() {}

fn main() {}
