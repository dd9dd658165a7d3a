//! The security headers of every page that this program serves, and the check of the header `Host`.

use actix_web::http::header::{
    CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use std::net::{IpAddr, SocketAddr};

/// The policy of our pages: they load files only from this origin, and no other page may embed them. Style sheets may
/// contain images.
pub(crate) const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Each header with its value.
pub(crate) const SECURITY_HEADERS: [(HeaderName, &str); 4] = [
    (CONTENT_SECURITY_POLICY, CONTENT_POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Whether the header `Host` names this machine.
pub(crate) fn is_loopback(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else { return false };
    let is_loopback_address = |address: IpAddr| address.to_canonical().is_loopback();
    if let Ok(address) = host.parse::<SocketAddr>() {
        return is_loopback_address(address.ip());
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
        return is_loopback_address(address);
    }
    // Names below localhost lead to this machine, too (RFC 6761, section 6.3).
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name.parse().is_ok_and(is_loopback_address) || name == "localhost" || name.ends_with(".localhost")
}
