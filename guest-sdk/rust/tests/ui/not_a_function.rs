use retake::prelude::*;

#[flow]
struct Pages;

fn main() {}
