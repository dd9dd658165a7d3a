//! Which caller a request counts for, when no key says it: its address.
//!
//! The rule this file keeps: a header is believed only as far as trusted proxies wrote it, so nobody can choose to be
//! somebody else. An address is never written to a log.

use crate::config::Network;
use actix_web::http::header::{FORWARDED, HeaderMap, HeaderName, X_FORWARDED_FOR};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// Whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// All keys of this name.
    Key(Arc<str>),
    /// One subject of an identity provider, by its digest.
    Subject([u8; 32]),
    /// An address of version 4, or the 64 bits of version 6 that one site has.
    Address(IpAddr),
    /// All that there is no room to count.
    Rest,
}

/// The address that a request comes from.
pub(crate) fn of(peer: Option<SocketAddr>, headers: &HeaderMap, trusted: &[Network]) -> Client {
    let Some(peer) = peer.map(|peer| peer.ip().to_canonical()) else { return Client::Rest };
    Client::Address(site(origin(peer, headers, trusted)))
}

fn origin(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(peer) {
        return peer;
    }
    let walk = |name: &HeaderName, read: fn(&str) -> Option<IpAddr>| {
        let lines: Vec<&str> = headers.get_all(name).map(|value| value.to_str().unwrap_or_default()).collect();
        if lines.is_empty() {
            return None;
        }
        let mut nearest = peer;
        // The rightmost was written by the proxy that we talk to, the next by the one before it, if that one is trusted too.
        // What cannot be read ends the walk: to the left of it anybody may have written anything.
        for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            let Some(address) = read(hop.trim()) else { break };
            nearest = address;
            if !is_trusted(address) {
                break;
            }
        }
        Some(nearest)
    };
    match (walk(&X_FORWARDED_FOR, plain), walk(&FORWARDED, forwarded)) {
        (Some(address), None) | (None, Some(address)) => address,
        (Some(one), Some(other)) if one == other => one,
        // Only one of them is the proxy's; the other may be the caller's own.
        (Some(_), Some(_)) | (None, None) => peer,
    }
}

/// `ADDRESS`, `ADDRESS:PORT`, `[ADDRESS]` or `[ADDRESS]:PORT`.
fn plain(text: &str) -> Option<IpAddr> {
    let address = text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::from);
    address.or_else(bare).map(|address: IpAddr| address.to_canonical())
}

/// The `for` of an element of `Forwarded` (RFC 7239).
fn forwarded(text: &str) -> Option<IpAddr> {
    let value = text.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then_some(value)
    })?;
    plain(value.trim_matches('"'))
}

/// An address without what its owner can choose: one site has 2^64 addresses of version 6.
fn site(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        let trusted: Vec<Network> =
            ["10.0.0.0/8", "2001:db8:1::/48"].iter().map(|text| text.parse().unwrap()).collect();
        let xff = "x-forwarded-for";
        for (peer, lines, expected) in [
            ("192.0.2.1", &[][..], "192.0.2.1"),
            ("192.0.2.1", &[(xff, "198.51.100.7")], "192.0.2.1"),
            ("192.0.2.1", &[("forwarded", "for=198.51.100.7")], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &[(xff, "198.51.100.7")], "198.51.100.7"),
            ("::ffff:10.0.0.1", &[(xff, "198.51.100.7:4711")], "198.51.100.7"),
            ("10.0.0.1", &[(xff, "203.0.113.9, 198.51.100.7")], "198.51.100.7"),
            ("10.0.0.1", &[(xff, "203.0.113.9"), (xff, "198.51.100.7")], "198.51.100.7"),
            ("10.0.0.1", &[(xff, "203.0.113.9, 198.51.100.7, 10.9.9.9")], "198.51.100.7"),
            ("10.0.0.1", &[(xff, "203.0.113.9, rubbish, 10.9.9.9")], "10.9.9.9"),
            ("10.0.0.1", &[(xff, "203.0.113.9, rubbish")], "10.0.0.1"),
            ("10.0.0.1", &[(xff, "203.0.113.9,")], "10.0.0.1"),
            ("10.0.0.1", &[(xff, "10.3.3.3, 10.9.9.9")], "10.3.3.3"),
            ("10.0.0.1", &[("forwarded", "for=203.0.113.9, For=\"198.51.100.7:80\";proto=https")], "198.51.100.7"),
            ("10.0.0.1", &[("forwarded", "for=unknown")], "10.0.0.1"),
            ("10.0.0.1", &[("forwarded", "for=198.51.100.7"), (xff, "198.51.100.7")], "198.51.100.7"),
            ("10.0.0.1", &[("forwarded", "for=203.0.113.9"), (xff, "198.51.100.7")], "10.0.0.1"),
            ("10.0.0.1", &[(xff, "[2001:db8:2:3:4:5:6:7]:80")], "2001:db8:2:3::"),
            ("2001:db8:1::5", &[("forwarded", "for=\"[2001:db8:2:3::9]\"")], "2001:db8:2:3::"),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            let peer = SocketAddr::new(peer.parse().unwrap(), 1);
            let expected = Client::Address(expected.parse().unwrap());
            assert_eq!(of(Some(peer), &headers, &trusted), expected, "{peer} {lines:?}");
        }
    }
}
