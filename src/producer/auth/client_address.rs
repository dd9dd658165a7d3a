//! Finds the client address of a request. Rate limits count by address if the request has no valid key or token.
//!
//! Rule of this file: only header values that a trusted proxy wrote are used, so a caller cannot choose its address. An
//! address is never written to the log.

use crate::config::Network;
use actix_web::http::header::{FORWARDED, HeaderMap, HeaderName, X_FORWARDED_FOR};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// A client whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// All API keys with this name.
    Key(Arc<str>),
    /// The digest of a token's issuer and subject.
    Subject([u8; 32]),
    /// An IPv4 address, or the first 64 bits of an IPv6 address.
    Address(IpAddr),
    /// All clients that are not counted separately.
    Other,
}

/// The client of a request, by its address.
pub(crate) fn client_of(peer: Option<SocketAddr>, headers: &HeaderMap, trusted: &[Network]) -> Client {
    let Some(peer) = peer.map(|peer| peer.ip().to_canonical()) else { return Client::Other };
    Client::Address(network_of(client_ip(peer, headers, trusted)))
}

fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(peer) {
        return peer;
    }
    let client_from = |name: &HeaderName, parse: fn(&str) -> Option<IpAddr>| {
        let lines: Vec<&str> = headers.get_all(name).map(|value| value.to_str().unwrap_or_default()).collect();
        if lines.is_empty() {
            return None;
        }
        let mut client = peer;
        // The proxy that connects to us wrote the rightmost entry, the proxy before it the next one, and so on. The
        // search stops at an untrusted or unreadable entry: anyone may have written the entries to the left of it.
        for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            let Some(address) = parse(hop.trim()) else { break };
            client = address;
            if !is_trusted(address) {
                break;
            }
        }
        Some(client)
    };
    match (client_from(&X_FORWARDED_FOR, parse_address), client_from(&FORWARDED, parse_forwarded)) {
        (Some(address), None) | (None, Some(address)) => address,
        (Some(one), Some(other)) if one == other => one,
        // The proxy wrote only one of the two headers. The caller may have sent the other.
        (Some(_), Some(_)) | (None, None) => peer,
    }
}

/// Parses `ADDRESS`, `ADDRESS:PORT`, `[ADDRESS]` or `[ADDRESS]:PORT`.
fn parse_address(text: &str) -> Option<IpAddr> {
    let address = text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::from);
    address.or_else(bare).map(|address: IpAddr| address.to_canonical())
}

/// Parses the `for` parameter of an element of `Forwarded` (RFC 7239).
fn parse_forwarded(text: &str) -> Option<IpAddr> {
    let value = text.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then_some(value)
    })?;
    parse_address(value.trim_matches('"'))
}

/// An IPv6 address without its last 64 bits, which its owner can choose. An IPv4 address is not changed.
fn network_of(address: IpAddr) -> IpAddr {
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
    fn only_addresses_that_trusted_proxies_wrote_are_used() {
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
            ("10.0.0.1", &[(xff, "203.0.113.9, malformed, 10.9.9.9")], "10.9.9.9"),
            ("10.0.0.1", &[(xff, "203.0.113.9, malformed")], "10.0.0.1"),
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
            assert_eq!(client_of(Some(peer), &headers, &trusted), expected, "{peer} {lines:?}");
        }
    }
}
