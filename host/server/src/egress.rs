//! Where messages may be sent: anywhere but to addresses that only machines answer for themselves, such as those at which
//! a cloud tells a machine its own credentials.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Metadata services outside of the link-local networks: Alibaba's, Oracle's and Amazon's.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Whether nothing is sent to an address.
fn is_refused(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let is_link_local = match address {
        // RFC 3927, and "this network" of RFC 1122, which leads to this machine.
        IpAddr::V4(it) => it.is_link_local() || it.octets()[0] == 0 || it.is_broadcast() || it.is_multicast(),
        IpAddr::V6(it) => it.is_unicast_link_local() || it.is_unspecified() || it.is_multicast(),
    };
    is_link_local || METADATA.contains(&address)
}

/// Whether an address is written in numbers, and nothing is sent there.
pub(crate) fn is_refused_as_written(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']').parse().is_ok_and(is_refused)
}

/// Looks names up, and leaves out what nothing is sent to, whatever name leads there.
pub(crate) struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|it| !is_refused(it.ip())).collect();
            match allowed.is_empty() {
                false => Ok(Box::new(allowed.into_iter()) as Addrs),
                true => Err("the name leads to no address that messages are sent to".into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_machine_answers_for_itself_is_refused() {
        for refused in [
            "http://169.254.169.254/latest",
            "http://0xA9FEA9FE/",
            "http://2852039166/",
            "http://169.254.43518/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            "http://100.100.100.200/",
            "http://0/",
            "http://[::]/",
            "http://224.0.0.1/",
        ] {
            assert!(is_refused_as_written(&Url::parse(refused).unwrap()), "{refused}");
        }
        for allowed in ["http://127.0.0.1:80/", "https://example.com/", "http://10.0.0.1/", "http://[2001:db8::1]/"] {
            assert!(!is_refused_as_written(&Url::parse(allowed).unwrap()), "{allowed}");
        }
    }
}
