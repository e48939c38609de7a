use retake::prelude::*;

#[flow]
async fn pages() {}

fn main() {}
