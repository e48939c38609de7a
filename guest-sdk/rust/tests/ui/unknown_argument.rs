use retake::prelude::*;

#[flow(retry = 5)]
fn pages() {}

fn main() {}
