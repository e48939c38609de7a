use retake::prelude::*;

#[flow]
fn pages<T>(urls: Vec<T>) {}

fn main() {}
