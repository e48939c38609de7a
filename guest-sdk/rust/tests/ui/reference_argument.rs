use retake::prelude::*;

#[flow]
fn pages(url: &str) {}

fn main() {}
