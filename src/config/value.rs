//! Types for values that affect security: secrets, URLs with a password, networks of proxies, and origins.

use ipnet::IpNet;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

const HIDDEN: &str = "***";

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Secret {
    /// The secret itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

/// A URL whose password is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Url(String);

impl From<&str> for Url {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Url {
    /// The URL with its password, for the one place that connects.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The URL once for each of its hosts: `amqp://u:p@a:1,b:2/x` is `amqp://u:p@a:1/x` and `amqp://u:p@b:2/x`.
    pub fn for_each_host(&self) -> Vec<Self> {
        let HostList { before, hosts, after } = HostList::of(&self.0);
        hosts.split(',').map(|host| Self(format!("{before}{host}{after}"))).collect()
    }

    /// Whether it looks like a list of hosts that is written in another way.
    pub(super) fn has_wrong_list(&self) -> bool {
        let hosts: Vec<&str> = HostList::of(&self.0).hosts.split(',').collect();
        let is_wrong = |host: &&str| host.is_empty() || host.ends_with(':') || host.contains(char::is_whitespace);
        hosts.len() > 1 && hosts.iter().any(is_wrong)
    }

    /// Changes the URL as a URL with one host, and keeps its list of hosts. `None` if it is not a URL.
    pub fn map(&self, change: impl FnOnce(&mut url::Url) -> Option<()>) -> Option<Self> {
        let all: Vec<url::Url> =
            self.for_each_host().iter().map(|one| url::Url::parse(&one.0)).collect::<Result<_, _>>().ok()?;
        let mut first = all.into_iter().next()?;
        change(&mut first)?;
        let (HostList { before, after, .. }, HostList { hosts, .. }) =
            (HostList::of(first.as_str()), HostList::of(&self.0));
        Some(Self(format!("{before}{hosts}{after}")))
    }

    fn hide_password(&self) -> Option<Self> {
        self.map(|url| {
            if !url.has_host() && url.scheme() != "sqlite" {
                return None;
            }
            if url.password().is_some() {
                url.set_password(Some(HIDDEN)).ok()?;
            }
            // libpq also accepts the password as a parameter.
            if url.query_pairs().any(|(name, _)| name.to_lowercase().contains("password")) {
                url.set_query(Some(HIDDEN));
            }
            Some(())
        })
    }
}

/// A URL in three parts. Brokers and databases accept several hosts, `a:1,b:2`, which RFC 3986 does not.
struct HostList<'a> {
    before: &'a str,
    hosts: &'a str,
    after: &'a str,
}

impl<'a> HostList<'a> {
    fn of(url: &'a str) -> Self {
        let Some(scheme) = url.find("://") else { return Self { before: url, hosts: "", after: "" } };
        let start = scheme + 3;
        let rest = url.get(start..).unwrap_or_default();
        let end = start + rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = url.get(start..end).unwrap_or_default();
        let start = start + authority.rfind('@').map_or(0, |at| at + 1);
        let part = |range: std::ops::Range<usize>| url.get(range).unwrap_or_default();
        Self { before: part(0..start), hosts: part(start..end), after: part(end..url.len()) }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A text that is no URL may be a secret.
        f.write_str(self.hide_password().as_ref().map_or(HIDDEN, |shown| &shown.0))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A network, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Whether the network contains the address. The address must be canonical (`IpAddr::to_canonical`).
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let network = text.parse::<IpNet>().or_else(|_not_a_network| text.parse::<IpAddr>().map(IpNet::from));
        let network =
            network.map_err(|_not_an_address| "expected addresses or networks, for example 10.0.0.0/8 or ::1")?;
        // A network with such bits is ambiguous, and a mistake here would let the service believe a wrong address.
        if network.trunc() == network {
            Ok(Self(network))
        } else {
            Err("a network must not have bits after its prefix")
        }
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The origin of a web page, as browsers send it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Origin(String);

impl Origin {
    /// `https://host`, with the port if it is not the default port.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let origin = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        // Browsers send an origin in exactly one form, and the service compares it byte by byte.
        match origin.map(|url| url.origin().ascii_serialization()) {
            Some(origin) if origin == text => Ok(Self(origin)),
            _ => Err(
                "expected origins as browsers send them, for example https://app.example.com or http://localhost:3000",
            ),
        }
    }
}

/// The address of an admin port: `http://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct AdminUrl(String);

impl AdminUrl {
    /// The host, or its address, and the port: `HOST:PORT`.
    pub fn authority(&self) -> &str {
        self.0.strip_prefix("http://").unwrap_or(&self.0)
    }
}

impl FromStr for AdminUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = url::Url::parse(text).ok().filter(|url| url.scheme() == "http" && url.username().is_empty());
        let authority = url
            .filter(|url| url.path() == "/" && url.query().is_none() && url.fragment().is_none())
            .and_then(|url| Some(format!("http://{}:{}", url.host_str()?, url.port_or_known_default()?)));
        authority.map(Self).ok_or("expected addresses of admin ports, for example http://contacts-consumer:8081")
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(String),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// Reads a list, or one text with commas or line breaks. Environment variables and files contain such texts.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>
    where
        T: DeserializeOwned,
    {
        Self::deserialize(deserializer)
    }
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty())
}

/// Reads a list of secrets.
pub(super) fn deserialize_secrets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Secret>, D::Error> {
    match OneOrMany::read(deserializer)? {
        OneOrMany::Many(many) => Ok(many),
        OneOrMany::One(text) => {
            let keys: Vec<Secret> = split(&text).map(Secret::from).collect();
            // An empty file must not open the API to everyone.
            if keys.is_empty() {
                Err(D::Error::custom("contains no key: remove this setting if there is no key"))
            } else {
                Ok(keys)
            }
        }
    }
}

/// Reads a list of values that are parsed from text.
pub(super) fn deserialize_list<'de, D: Deserializer<'de>, T: FromStr<Err = &'static str>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let texts = match OneOrMany::<String>::read(deserializer)? {
        OneOrMany::Many(many) => many,
        OneOrMany::One(text) => split(&text).map(str::to_owned).collect(),
    };
    texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_have_several_hosts() {
        let each = |url: &str| -> Vec<String> { Url::from(url).for_each_host().into_iter().map(|url| url.0).collect() };
        assert_eq!(
            each("amqp://u:p%2C@a:1,[::1]:2,c/%2f"),
            ["amqp://u:p%2C@a:1/%2f", "amqp://u:p%2C@[::1]:2/%2f", "amqp://u:p%2C@c/%2f"]
        );
        assert_eq!(each("postgres://a,b?x=1,2"), ["postgres://a?x=1,2", "postgres://b?x=1,2"]);
        assert_eq!(each("sqlite:/a,b"), ["sqlite:/a,b"]);
        assert_eq!(each("amqp://u:p@h"), ["amqp://u:p@h"]);
    }

    #[test]
    fn a_shown_url_has_all_hosts_and_no_password() {
        let shown = |url: &str| Url::from(url).to_string();
        assert_eq!(shown("amqp://u:hunter2@a:1,b:2/%2f"), "amqp://u:***@a:1,b:2/%2f");
        assert_eq!(shown("postgres://u:hunter2@a:1,b/x?y=1"), "postgres://u:***@a:1,b/x?y=1");
        for url in [
            "amqp://u:hunter2@a:x,b",
            "amqp://u:hunter2@a,b:x",
            "postgres://u@a,b/x?password=hunter2",
            "amqp://u:hunter2@",
        ] {
            assert!(!shown(url).contains("hunter2"), "{}", shown(url));
        }
    }
}
