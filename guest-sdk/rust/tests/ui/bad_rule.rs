use retake::prelude::*;

#[flow(retries = 5, rules(ignore("http.404")))]
fn pages() {}

fn main() {}
