use retake::prelude::*;

#[flow]
fn pages(urls: impl IntoIterator<Item = String>) {}

fn main() {}
