//! How a component is called and what it may call, for each version of the contract.
//!
//! There is one version so far. The next gets a module beside it and is chosen once, when a component is loaded. A
//! component without any of them has the bare door.

mod bare;
mod v0_1;
mod values;

use std::sync::Arc;

use retake_core::component::ComponentInfo;
use retake_core::failure::Failure;
use retake_core::retry::BadField;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, Store};

use crate::Made;
use crate::attempt::State;
pub(crate) use bare::Program;
pub(crate) use v0_1::linker;

/// What a component exports to be one of ours.
pub(crate) const PLUGIN: &str = "retake:flow/plugin@0.1.0";

/// A component ready for instances: linked once, its exports looked up once.
pub(crate) struct Loaded {
    pre: InstancePre<State>,
    door: Door,
    made: Arc<Made>,
}

/// How a component is called.
enum Door {
    V0_1(v0_1::Plugin),
    Bare(bare::Bare),
}

/// Why a component cannot be called.
pub(crate) enum Unloadable {
    /// It does not link.
    Link(String),
    /// It exports nothing that could be a flow: why not.
    NoFlow(String),
}

impl Loaded {
    pub(crate) fn new(
        engine: &Engine,
        linker: &Linker<State>,
        component: &Component,
        made: Arc<Made>,
    ) -> Result<Self, Unloadable> {
        let link = |error: wasmtime::Error| Unloadable::Link(format!("{error:#}"));
        let door = match v0_1::Plugin::of(component).map_err(link)? {
            Some(plugin) => Door::V0_1(plugin),
            None => Door::Bare(bare::Bare::new(engine, component).map_err(Unloadable::NoFlow)?),
        };
        Ok(Self { pre: linker.instantiate_pre(component).map_err(link)?, door, made })
    }

    pub(crate) async fn run_flow(
        &self,
        store: &mut Store<State>,
        flow: &str,
        parameters: &str,
    ) -> wasmtime::Result<Result<String, Failure>> {
        match &self.door {
            Door::V0_1(plugin) => plugin.run_flow(&self.pre, &self.made, store, flow, parameters).await,
            Door::Bare(bare) => bare.run(&self.pre, &self.made, store, flow, parameters).await,
        }
    }

    pub(crate) async fn run_task(
        &self,
        store: &mut Store<State>,
        task: &str,
        input: &str,
    ) -> wasmtime::Result<Result<String, Failure>> {
        match &self.door {
            Door::V0_1(plugin) => plugin.run_task(&self.pre, &self.made, store, task, input).await,
            Door::Bare(_) => Err(wasmtime::Error::msg("a component with the bare door has no tasks")),
        }
    }

    pub(crate) async fn describe(&self, store: &mut Store<State>) -> wasmtime::Result<Result<ComponentInfo, BadField>> {
        match &self.door {
            Door::V0_1(plugin) => plugin.describe(&self.pre, store).await,
            Door::Bare(bare) => Ok(Ok(bare.info())),
        }
    }
}
