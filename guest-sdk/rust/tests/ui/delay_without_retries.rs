use retake::prelude::*;

#[flow(delay = "5m")]
fn pages() {}

fn main() {}
