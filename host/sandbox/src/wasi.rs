//! What WASI means inside: closed, except for printing, clocks and randomness.
//!
//! In a flow's body the clocks tell the run's own time and random numbers are seeded from the run and its attempt, so
//! that a resumed attempt sees what it saw before. In a task both are real, clocks in steps of a millisecond (T27).

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use retake_core::failure::Failure;
use retake_core::time::Timestamp;
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::sockets::tcp::TcpSocket;
use wasmtime_wasi::p2::bindings::sockets::udp::UdpSocket;
use wasmtime_wasi::p2::bindings::sockets::{ip_name_lookup, network, tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::p2::{DynPollable, Pollable, SocketError, SocketResult, subscribe};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::abi::Program;
use crate::attempt::{Host, State};
use crate::trap::Stop;

/// Most random bytes that a guest may ask for at once.
const RANDOM_BYTES: u64 = 64 << 10;
/// Most entries of a guest's table of host resources: handles of streams, pollables and calls.
pub(crate) const TABLE_ENTRIES: usize = 16 << 10;

/// Adds WASI 0.2, with clocks of our own.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    ip_name_lookup::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    tcp_create_socket::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    udp_create_socket::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    monotonic_clock::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    wall_clock::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    linker.allow_shadowing(false);
    Ok(())
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Made when the guest first asks for anything of it: most tasks never do.
        if self.wasi.is_none() {
            self.wasi = Some(closed(self));
        }
        let ctx = self.wasi.as_mut().expect("was made just now");
        WasiCtxView { ctx, table: &mut self.table }
    }
}

/// A context that may do nothing but print and draw random numbers.
fn closed(state: &State) -> WasiCtx {
    let mut builder = WasiCtx::builder();
    builder
        .stdout(state.sink.stdout())
        .stderr(state.sink.stderr())
        .max_random_size(RANDOM_BYTES)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .socket_addr_check(|_, _| Box::pin(async { false }));
    if let Some(Program { arguments, stdin }) = &state.program {
        // The first is the name by which a program is called.
        builder.arg("program").args(arguments).stdin(MemoryInputPipe::new(stdin.clone()));
    }
    if let Some(seed) = state.seed {
        builder
            .secure_random(StdRng::seed_from_u64(seed))
            .insecure_random(StdRng::seed_from_u64(seed ^ 1))
            .insecure_random_seed(u128::from(seed) << 64 | u128::from(seed.rotate_left(32)));
    }
    builder.build()
}

/// One millisecond, in the nanoseconds that WASI counts in.
const MILLISECOND: u64 = 1_000_000;

impl State {
    /// Nanoseconds since the Unix epoch, in whole milliseconds.
    fn nanos(&self) -> u64 {
        self.now().as_unix_ms().saturating_mul(MILLISECOND)
    }

    /// Nanoseconds by which the clock that only measures is ahead.
    fn slept_before(&self) -> u64 {
        match &self.host {
            Host::Flow(host) => u64::try_from(host.slept_before().as_nanos()).unwrap_or(u64::MAX),
            Host::Task(_) | Host::Describe(_) => 0,
        }
    }

    fn wait_until(&mut self, due: Timestamp) -> wasmtime::Result<Resource<DynPollable>> {
        let wait = match &self.host {
            Host::Flow(host) => Wait::Durable { host: host.clone(), due },
            Host::Task(_) => Wait::Ordinary(tokio::time::Instant::now() + due.since(self.now())),
            Host::Describe(_) => Wait::Over,
        };
        let wait = self.table.push(wait)?;
        subscribe(&mut self.table, wait)
    }
}

impl wall_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let millis = State::now(self).as_unix_ms();
        let nanoseconds = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
        Ok(wall_clock::Datetime { seconds: millis / 1000, nanoseconds })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1_000_000 })
    }
}

impl monotonic_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.nanos().saturating_add(self.slept_before()))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(MILLISECOND)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let when = when.saturating_sub(self.slept_before());
        self.wait_until(Timestamp::from_unix_ms(when.div_ceil(MILLISECOND)))
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        // From the exact instant, not from the one that the guest's clock shows: a sleep is never shorter than asked.
        self.wait_until(State::now(self) + Duration::from_nanos(duration))
    }
}

/// Who looks a name up wants to reach a host: nothing that the guest could do with a refusal is worth the confusion that
/// its library makes of one.
impl ip_name_lookup::Host for State {
    fn resolve_addresses(
        &mut self,
        _: Resource<network::Network>,
        name: String,
    ) -> SocketResult<Resource<ip_name_lookup::ResolveAddressStream>> {
        Err(SocketError::trap(Stop::Failed(Failure::no_network(Some(&name)))))
    }
}

impl network::Host for State {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<network::ErrorCode> {
        error.downcast()
    }

    fn network_error_code(&mut self, _: Resource<wasmtime::Error>) -> wasmtime::Result<Option<network::ErrorCode>> {
        Ok(None)
    }
}

impl network::HostNetwork for State {
    fn drop(&mut self, network: Resource<network::Network>) -> wasmtime::Result<()> {
        self.table.delete(network)?;
        Ok(())
    }
}

/// No look-up is ever begun.
impl ip_name_lookup::HostResolveAddressStream for State {
    fn resolve_next_address(
        &mut self,
        _: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> SocketResult<Option<network::IpAddress>> {
        Err(network::ErrorCode::AccessDenied.into())
    }

    fn subscribe(
        &mut self,
        _: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        Err(Stop::Failed(Failure::no_network(None)).into())
    }

    fn drop(&mut self, stream: Resource<ip_name_lookup::ResolveAddressStream>) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}

/// A socket is refused and not more: libraries make one only to see whether they could.
impl tcp_create_socket::Host for State {
    fn create_tcp_socket(&mut self, _: network::IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        self.wanted_socket = true;
        Err(network::ErrorCode::AccessDenied.into())
    }
}

impl udp_create_socket::Host for State {
    async fn create_udp_socket(&mut self, _: network::IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        self.wanted_socket = true;
        Err(network::ErrorCode::AccessDenied.into())
    }
}

/// A wait that a guest asked WASI for.
enum Wait {
    /// In a flow's body: the same as the contract's `timers.sleep`.
    Durable { host: std::sync::Arc<dyn retake_core::port::FlowHost>, due: Timestamp },
    /// In a task.
    Ordinary(tokio::time::Instant),
    /// While describing itself a component waits for nothing.
    Over,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Wait {
    async fn ready(&mut self) {
        match self {
            Self::Durable { host, due } => host.sleep_until(*due).await,
            Self::Ordinary(due) => tokio::time::sleep_until(*due).await,
            Self::Over => {}
        }
    }
}

/// How long a task sleeps that asks for `duration`.
pub(crate) fn ordinary_sleep(duration: Duration) -> tokio::time::Sleep {
    tokio::time::sleep(duration.min(retake_core::limits::SLEEP))
}
