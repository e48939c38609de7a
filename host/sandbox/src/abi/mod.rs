//! How a component is called and what it may call, for each version of the contract.
//!
//! There is one version so far. The next gets a module beside it and is chosen once, when a component is loaded.

mod v0_1;

pub(crate) use v0_1::{GuestFailure, Loaded, linker};

/// What a component must export to be one of ours.
pub(crate) const PLUGIN: &str = "retake:flow/plugin@0.1.0";
