//! Makes `guest-sdk/rust/src/bindings.rs` from `wit/next`, or checks that it is what would be made.
#![allow(clippy::print_stderr, reason = "a tool that talks to people")]

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use wit_bindgen_core::{Files, WorldGenerator, wit_parser::Resolve};

const CONTRACT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/next");
const BINDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-sdk/rust/src/bindings.rs");

fn main() -> ExitCode {
    match bindings(std::env::args().any(|it| it == "--check")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bindings(check: bool) -> Result<()> {
    let made = generate()?;
    let there = std::fs::read_to_string(BINDINGS).unwrap_or_default();
    if made == there {
        eprintln!("guest-sdk/rust/src/bindings.rs is current");
    } else if check {
        bail!("guest-sdk/rust/src/bindings.rs is not what wit/next says; `cargo xtask bindings` makes it");
    } else {
        std::fs::write(BINDINGS, made)?;
        eprintln!("guest-sdk/rust/src/bindings.rs was made anew");
    }
    Ok(())
}

/// Returns the bindings that the SDK is built on.
fn generate() -> Result<String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(CONTRACT)?;
    let world = resolve.select_world(&[package], Some("flow"))?;
    let options = wit_bindgen_rust::Opts {
        format: true,
        pub_export_macro: true,
        export_macro_name: Some("export_component".into()),
        default_bindings_module: Some("::retake::bindings".into()),
        ..Default::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files)?;
    let (_, bytes) = files.iter().next().context("nothing was made")?;
    Ok(String::from_utf8(bytes.to_vec())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bindings_are_what_the_contract_says() {
        let there = std::fs::read_to_string(BINDINGS).unwrap();
        assert!(generate().unwrap() == there, "run `cargo xtask bindings`");
    }
}
