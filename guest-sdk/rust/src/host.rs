//! The other side: the host that a component runs in. Outside of WebAssembly it is the one of a test, or nobody.

use crate::Result;
use crate::declaration::Declaration;
use crate::macro_support::{Kind, Runnable};

/// What is asked for: a task or a flow.
pub(crate) struct Target<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: &'a str,
    /// What a test runs; absent where only a name is known.
    #[cfg_attr(target_family = "wasm", allow(dead_code, reason = "a host has the component"))]
    pub(crate) body: Option<Body>,
}

/// A flow or a task, as a test runs it.
#[derive(Clone, Copy)]
#[cfg_attr(target_family = "wasm", allow(dead_code, reason = "a host has the component"))]
pub(crate) struct Body {
    pub(crate) declare: fn() -> Declaration,
    pub(crate) run: fn(&str) -> Result<String>,
}

impl Body {
    pub(crate) fn of<R: Runnable>() -> Self {
        Self { declare: R::declare, run: R::run }
    }
}

impl<'a> Target<'a> {
    pub(crate) fn of<R: Runnable>() -> Self {
        let body = if cfg!(target_family = "wasm") { None } else { Some(Body::of::<R>()) };
        Self { kind: R::KIND, name: R::NAME, body }
    }

    pub(crate) fn named(kind: Kind, name: &'a str) -> Self {
        Self { kind, name, body: None }
    }
}

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::boundary::{
    Handle, current, log, secret, sleep, sleep_until, submit, variable, wait_any,
};
#[cfg(target_family = "wasm")]
pub(crate) use component::{Handle, current, log, secret, sleep, sleep_until, submit, variable, wait_any};

#[cfg(target_family = "wasm")]
mod component {
    use super::{Kind, Target};
    pub(crate) use crate::bindings::retake::flow::context::current;
    pub(crate) use crate::bindings::retake::flow::log::write as log;
    use crate::bindings::retake::flow::tasks;
    pub(crate) use crate::bindings::retake::flow::tasks::Call as Handle;
    pub(crate) use crate::bindings::retake::flow::timers::{sleep, sleep_until};
    pub(crate) use crate::bindings::retake::flow::values::{secret, variable};

    pub(crate) fn submit(target: &Target<'_>, input: &str, options: &tasks::Options) -> Handle {
        match target.kind {
            Kind::Flow => tasks::submit_flow(target.name, input, options),
            Kind::Task => tasks::submit(target.name, input, options),
        }
    }

    pub(crate) fn wait_any(handles: &[&Handle]) -> usize {
        tasks::wait_any(handles) as usize
    }
}
