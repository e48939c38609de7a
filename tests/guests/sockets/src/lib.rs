//! A flow that tries to reach the network, which no sandbox lets it.
//!
//! It is a component of its own because it imports `wasi:sockets`: a host may refuse it as a whole. It goes straight to
//! that interface, because not every C library for the target has sockets, and `std::net` would not link with those.

use retake::prelude::*;
use retake::serde_json::{Value, json};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp_create_socket::create_udp_socket;

/// Tries to connect, to listen and to send, or to look up a name. Returns what came of it.
#[flow(name = "reach-out", retries = 2)]
fn reach_out(#[default(1)] port: u16, #[default] by_name: bool) -> Value {
    if by_name {
        return json!({ "look_up": told(look_up()) });
    }
    json!({
        "connect": told(connect(port)),
        "listen": told(listen()),
        "send": told(send()),
    })
}

fn connect(port: u16) -> std::result::Result<(), ErrorCode> {
    let socket = create_tcp_socket(IpAddressFamily::Ipv4)?;
    socket.start_connect(&instance_network(), localhost(port))?;
    socket.subscribe().block();
    socket.finish_connect().map(drop)
}

fn listen() -> std::result::Result<(), ErrorCode> {
    let socket = create_tcp_socket(IpAddressFamily::Ipv4)?;
    socket.start_bind(&instance_network(), localhost(0))?;
    socket.finish_bind()?;
    socket.start_listen()?;
    socket.finish_listen()
}

fn send() -> std::result::Result<(), ErrorCode> {
    let socket = create_udp_socket(IpAddressFamily::Ipv4)?;
    socket.start_bind(&instance_network(), localhost(0))?;
    socket.finish_bind()
}

fn look_up() -> std::result::Result<(), ErrorCode> {
    let answers = resolve_addresses(&instance_network(), "localhost")?;
    answers.subscribe().block();
    answers.resolve_next_address().map(drop)
}

fn localhost(port: u16) -> IpSocketAddress {
    IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (127, 0, 0, 1) })
}

fn told(outcome: std::result::Result<(), ErrorCode>) -> Value {
    match outcome {
        Ok(()) => json!("worked"),
        Err(code) => json!({ "error": code.name() }),
    }
}

retake::component!(flows: [reach_out]);
