//! The nodes of the broker and the credentials for them. The library's errors for URLs show the password, so the
//! library never gets the URL.

use super::super::QueueError;
use crate::config::Url;
use amiquip::Auth;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A node that failed is tried last for this time.
const AVOID_FOR: Duration = Duration::from_secs(30);

/// The nodes of a broker: the hosts of `broker.url`.
pub(super) struct Endpoints(Vec<Arc<Endpoint>>);

impl Endpoints {
    /// Parses `broker.url`.
    pub(super) fn parse(url: &Url) -> Result<Self, QueueError> {
        let nodes = url.for_each_host();
        Ok(Self(nodes.iter().map(|url| Endpoint::parse(url).map(Arc::new)).collect::<Result<_, _>>()?))
    }

    /// All nodes, in random order, so that the connections spread over them. Nodes that failed are last.
    pub(super) fn in_random_order(&self) -> Vec<Arc<Endpoint>> {
        let mut nodes = self.0.clone();
        fastrand::shuffle(&mut nodes);
        nodes.sort_by_cached_key(|node| node.is_avoided());
        nodes
    }
}

/// One node of a broker.
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) virtual_host: String,
    pub(super) tls: bool,
    pub(super) auth: Auth,
    /// When a connection to this node failed last.
    failed: Mutex<Option<Instant>>,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Endpoint {
    /// Parses `amqp[s]://user:password@host:port/vhost`, percent-encoded as in RFC 3986.
    fn parse(url: &Url) -> Result<Self, QueueError> {
        let misconfigured = |problem: &str| {
            QueueError::Misconfigured(format!(
                "broker.url {problem}; it looks like amqp://user:password@host:5672/%2f, with commas between several hosts"
            ))
        };
        let parsed = url::Url::parse(url.reveal()).map_err(|error| misconfigured(&format!("is not a URL: {error}")))?;
        let tls = match parsed.scheme() {
            "amqp" => false,
            "amqps" => true,
            _ => return Err(misconfigured("must begin with amqp:// or amqps://")),
        };
        if parsed.query().is_some() {
            return Err(misconfigured("takes no parameters"));
        }
        let host = parsed.host_str().filter(|host| !host.is_empty()).ok_or_else(|| misconfigured("names no host"))?;
        let virtual_host = match parsed.path() {
            "" | "/" => "/".to_owned(),
            path => unescape(path.trim_start_matches('/')),
        };
        let (username, password) = match (parsed.username(), parsed.password()) {
            ("", None) => ("guest".to_owned(), "guest".to_owned()),
            (user, password) => (unescape(user), unescape(password.unwrap_or_default())),
        };
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: parsed.port().unwrap_or(if tls { 5671 } else { 5672 }),
            virtual_host,
            tls,
            auth: Auth::Plain { username, password },
            failed: Mutex::default(),
        })
    }

    /// Records that a connection to this node failed. The next connections try the other nodes first.
    pub(super) fn avoid(&self) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_avoided(&self) -> bool {
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|failed| failed.elapsed() < AVOID_FOR)
    }
}

fn unescape(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_rabbitmq_are_parsed() {
        let parsed = |url: &str| {
            let endpoint = Endpoint::parse(&Url::from(url)).unwrap();
            let Auth::Plain { username, password } = endpoint.auth.clone() else { panic!("not plain") };
            (endpoint.to_string(), endpoint.virtual_host, endpoint.tls, username, password)
        };
        let expected = |host: &str, vhost: &str, tls, user: &str, password: &str| {
            (host.to_owned(), vhost.to_owned(), tls, user.to_owned(), password.to_owned())
        };
        assert_eq!(parsed("amqp://127.0.0.1"), expected("127.0.0.1:5672", "/", false, "guest", "guest"));
        assert_eq!(parsed("amqp://u:p@h:1/%2f"), expected("h:1", "/", false, "u", "p"));
        assert_eq!(parsed("amqps://u:p%40%2F@h/my%2Fhost"), expected("h:5671", "my/host", true, "u", "p@/"));
        assert_eq!(parsed("amqp://u:p@[::1]:5672/x"), expected("::1:5672", "x", false, "u", "p"));
    }

    #[test]
    fn a_node_that_failed_is_tried_last() {
        let nodes = Endpoints::parse(&Url::from("amqp://u:p@a,b:1,c/x")).unwrap();
        let order = || nodes.in_random_order().iter().map(|node| node.host.clone()).collect::<Vec<_>>();
        let first: std::collections::BTreeSet<String> = (0..200).map(|_| order().swap_remove(0)).collect();
        assert_eq!(first.len(), 3, "each node is tried first at times");
        let left = nodes.in_random_order().into_iter().find(|node| node.host == "b").unwrap();
        left.avoid();
        for _ in 0..200 {
            let mut order = order();
            assert_eq!(order.pop().unwrap(), "b");
            order.sort();
            assert_eq!(order, ["a", "c"]);
        }
    }

    #[test]
    fn an_error_does_not_show_the_password() {
        for url in [
            "",
            "amqp",
            "http://u:hunter2@h",
            "amqp://u:hunter2@h/?heartbeat=1",
            "amqp://u:hunter2@h:99999",
            "amqp://u:hunter2@a,,b",
        ] {
            let error = Endpoints::parse(&Url::from(url)).err().unwrap().to_string();
            assert!(error.starts_with("broker.url") && !error.contains("hunter2"), "{error}");
        }
    }
}
