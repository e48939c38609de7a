//! Who may stay when more connections come than there are places.
//!
//! A connection is proven once a request with a valid token came over it. Whoever comes is let in: when the places are
//! taken, the connection that came first of those that have proven nothing gives way, of the address that has the most of
//! them. So whoever only holds connections open meets themselves, and a request that is sent at once is answered (A05).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Connections at once.
pub(crate) const CONNECTIONS: usize = 1024;
/// Of them, those that have proven nothing, of one address.
const OF_A_PEER: usize = 512;
/// Those that are proven; the others are left for whoever comes.
const PROVEN: usize = 896;
/// Those of one token.
const OF_A_TOKEN: usize = 256;

/// The places, and who has them.
#[derive(Debug, Default)]
pub(crate) struct Places(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    /// Later ones have higher numbers.
    next: u64,
    connections: HashMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    peer: IpAddr,
    /// The token that it is proven by.
    token: Option<String>,
    leave: Arc<Notify>,
}

impl Taken {
    fn unproven(&self) -> impl Iterator<Item = (u64, &Connection)> {
        self.connections.iter().filter(|(_, it)| it.token.is_none()).map(|(number, it)| (*number, it))
    }

    /// Returns which connection gives way to one of `peer`, if one has to.
    fn gives_way(&self, peer: IpAddr) -> Option<u64> {
        if self.connections.len() < OF_A_PEER {
            return None;
        }
        let mut of_peers: HashMap<IpAddr, usize> = HashMap::new();
        self.unproven().for_each(|(_, it)| *of_peers.entry(it.peer).or_default() += 1);
        let peer = match of_peers.get(&peer).is_some_and(|it| *it >= OF_A_PEER) {
            true => peer,
            false if self.connections.len() < CONNECTIONS => return None,
            false => of_peers.into_iter().max_by_key(|(peer, count)| (*count, *peer))?.0,
        };
        self.unproven().filter(|(_, it)| it.peer == peer).map(|(number, _)| number).min()
    }
}

impl Places {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a connection from an address.
    pub(crate) fn take(self: &Arc<Self>, peer: IpAddr) -> Arc<Place> {
        let (peer, leave) = (network_of(peer), Arc::new(Notify::new()));
        let mut taken = self.taken();
        if let Some(number) = taken.gives_way(peer)
            && let Some(it) = taken.connections.remove(&number)
        {
            it.leave.notify_one();
            tracing::debug!(%peer, "a connection gave way to another");
        }
        let number = taken.next;
        taken.next += 1;
        taken.connections.insert(number, Connection { peer, token: None, leave: leave.clone() });
        Arc::new(Place { places: self.clone(), number, leave })
    }
}

/// Whose addresses are one peer's: those that share the first half of an address of IPv6, since anybody has all of them.
fn network_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(it) => Ipv6Addr::from_bits(it.to_bits() >> 64 << 64).into(),
        it @ IpAddr::V4(_) => it,
    }
}

/// The place of a connection.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
    leave: Arc<Notify>,
}

impl Place {
    /// Waits until this connection is to give way to another.
    pub(crate) async fn given_away(&self) {
        self.leave.notified().await;
    }

    /// A valid token was sent over this connection: it need not give way, unless that token has many already.
    pub(crate) fn prove(&self, token: &str) {
        let mut taken = self.places.taken();
        let proven = || taken.connections.values().filter_map(|it| it.token.as_deref());
        let may = taken.connections.len() <= OF_A_TOKEN
            || (proven().count() < PROVEN && proven().filter(|it| *it == token).count() < OF_A_TOKEN);
        if let Some(it) = taken.connections.get_mut(&self.number).filter(|it| may && it.token.is_none()) {
            it.token = Some(token.to_owned());
        }
    }

    /// A request has come over this connection that anybody may send, or that was refused: it has to prove itself anew.
    pub(crate) fn disprove(&self) {
        if let Some(it) = self.places.taken().connections.get_mut(&self.number) {
            it.token = None;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn peer(n: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, n).into()
    }

    fn is_given_away(place: &Place) -> bool {
        !place.places.taken().connections.contains_key(&place.number)
    }

    #[test]
    fn whoever_holds_the_most_gives_way() {
        let places = Arc::new(Places::default());
        let early = places.take(peer(9));
        let flood: Vec<_> = (0..CONNECTIONS).map(|n| places.take(peer(n as u8 % 3))).collect();
        assert!(!is_given_away(&early), "it has fewer than those that flood");
        let kept = flood.iter().filter(|it| !is_given_away(it)).count();
        assert_eq!(kept, CONNECTIONS - 1);
        assert!(is_given_away(&flood[0]) || is_given_away(&flood[1]) || is_given_away(&flood[2]));
    }

    #[test]
    fn one_address_has_half_of_the_places_at_most() {
        let places = Arc::new(Places::default());
        let all: Vec<_> = (0..OF_A_PEER + 10).map(|_| places.take(peer(1))).collect();
        assert!(all[..10].iter().all(|it| is_given_away(it)));
        assert!(all[10..].iter().all(|it| !is_given_away(it)));
        // All addresses of one network of IPv6 are one peer's.
        let one = |n: u16| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, n));
        let all: Vec<_> = (0..OF_A_PEER as u16 + 1).map(|n| places.take(one(n))).collect();
        assert!(is_given_away(&all[0]));
    }

    #[test]
    fn what_is_proven_stays_and_a_token_has_a_share() {
        let places = Arc::new(Places::default());
        let proven: Vec<_> = (0..OF_A_TOKEN + 1).map(|_| places.take(peer(1))).collect();
        proven.iter().for_each(|it| it.prove("people"));
        let _flood: Vec<_> = (0..CONNECTIONS * 2).map(|n| places.take(peer(n as u8))).collect();
        assert!(proven[..OF_A_TOKEN].iter().all(|it| !is_given_away(it)));
        assert!(is_given_away(&proven[OF_A_TOKEN]), "one more than its share");
        proven[0].disprove();
        let _more: Vec<_> = (0..CONNECTIONS * 2).map(|_| places.take(peer(1))).collect();
        assert!(is_given_away(&proven[0]), "and what asks for something else has to prove itself anew");
        // However many are proven, whoever comes is let in.
        let many: Vec<_> = (0..CONNECTIONS).map(|_| places.take(peer(2))).collect();
        many.iter().enumerate().for_each(|(n, it)| it.prove(&format!("token-{}", n / 200)));
        assert!(!is_given_away(&places.take(peer(3))));
    }
}
