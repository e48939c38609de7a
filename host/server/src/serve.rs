//! Connections: how many, how long they may take, and how they end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use crate::pace::Paced;
use crate::places::{Place, Places};
use crate::tls::Tls;

/// Connections that wait to be accepted: whoever comes in a flood of them is not to try again a second later.
const BACKLOG: u32 = 4096;
/// How long the head of a request may take, on a new connection and on one that is kept, and TLS before it (A05).
const HEAD: Duration = Duration::from_secs(10);
/// How long an answer may lie unread (A05).
const UNREAD: Duration = Duration::from_secs(30);
/// How long requests that are being answered may take once the server is to end.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// A server that has its address.
pub struct Bound {
    listener: TcpListener,
    /// Where it listens.
    pub address: SocketAddr,
    tls: Option<Tls>,
}

impl Bound {
    /// Takes an address, to speak TLS at where there is a certificate.
    pub async fn to(address: SocketAddr, tls: Option<Tls>) -> std::io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // As the library does it: what an earlier server left behind does not keep the address.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, tls })
    }

    /// The address as a client of this machine is given it.
    pub fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        }
        format!("{}://{address}", if self.tls.is_some() { "https" } else { "http" })
    }

    /// The certificate with which it speaks TLS.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.tls.as_ref().map(Tls::certificate)
    }
}

/// Serves, over TLS where there is a certificate, until `shutdown`, and then until what is being answered is answered.
pub async fn serve(bound: Bound, router: Router, shutdown: impl Future<Output = ()>) {
    let places = Arc::new(Places::default());
    // Told when the server is to end.
    let (ending, ends) = watch::channel(());
    let mut shutdown = pin!(shutdown);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = bound.listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (router, ends, tls) = (router.clone(), ends.clone(), bound.tls.clone());
                let (place, peer) = (places.take(peer.ip()), Peer(peer.ip()));
                while connections.try_join_next().is_some() {}
                connections.spawn(async move {
                    let _ = stream.set_nodelay(true);
                    let served = async {
                        match tls {
                            None => connection(stream, peer, &place, router, ends).await,
                            Some(tls) => secured(stream, peer, &place, router, ends, &tls).await,
                        }
                    };
                    tokio::select! {
                        () = served => {}
                        () = place.given_away() => {}
                    }
                });
            }
            Err(error) => {
                // Too many files are open, say: it goes on when others have been closed.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    let _ = ending.send(());
    let answered = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST_ANSWERS, answered).await;
}

/// The address at the other end of the connection that a request came over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Serves a connection once both sides have agreed on its keys.
async fn secured(
    stream: TcpStream,
    peer: Peer,
    place: &Arc<Place>,
    router: Router,
    ends: watch::Receiver<()>,
    tls: &Tls,
) {
    let Peer(address) = peer;
    match tokio::time::timeout(HEAD, tls.acceptor.accept(stream)).await {
        Ok(Ok(stream)) => connection(stream, peer, place, router, ends).await,
        Ok(Err(error)) => tracing::debug!(%error, peer = %address, "no TLS connection came of it"),
        Err(_) => tracing::debug!(peer = %address, "took too long to make a TLS connection"),
    }
}

async fn connection<S>(stream: S, peer: Peer, place: &Arc<Place>, router: Router, mut ends: watch::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let place = place.clone();
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(place.clone());
        router.clone().oneshot(request.map(Paced::new))
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_headers(64);
    // Whoever does not read what it asked for does not keep its place.
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(UNREAD));
    let connection = http.serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut connection = pin!(connection);
    tokio::select! {
        _ = &mut connection => {}
        _ = ends.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
