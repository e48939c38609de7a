//! A flow that tries to reach the network, which no sandbox lets it.
//!
//! It is a component of its own because it imports `wasi:sockets`: a host may refuse it as a whole.

use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

use retake::prelude::*;
use retake::serde_json::{Value, json};

/// Tries to connect, to listen, to send and to look up a name. Returns what came of it.
#[flow(name = "reach-out")]
fn reach_out(#[default(1)] port: u16) -> Value {
    let told = |outcome: std::io::Result<()>| match outcome {
        Ok(()) => json!("worked"),
        Err(error) => json!({ "error": error.to_string() }),
    };
    json!({
        "connect": told(TcpStream::connect(("127.0.0.1", port)).map(drop)),
        "listen": told(TcpListener::bind(("127.0.0.1", 0)).map(drop)),
        "send": told(UdpSocket::bind(("127.0.0.1", 0)).map(drop)),
        "look_up": told(("localhost", port).to_socket_addrs().map(drop)),
    })
}

retake::component!(flows: [reach_out]);
