//! The settings, their defaults and the checks between them.

use super::api_keys::{self, ApiKey};
use super::value::{self, AdminUrl, Network, Origin, Secret, Url};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The settings of all roles. Each role uses only some of them.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The public HTTP API.
    pub http: HttpSettings,
    /// The admin port.
    pub admin: AdminSettings,
    /// RabbitMQ.
    pub broker: BrokerSettings,
    /// PostgreSQL.
    pub database: DatabaseSettings,
    /// The role `standalone`.
    pub standalone: StandaloneSettings,
    /// The workers of the consumer.
    pub consumer: ConsumerSettings,
    /// The events for other services.
    pub events: EventSettings,
    /// The history of contacts.
    pub history: HistorySettings,
    /// Retries of commands that wait for another command.
    pub retry: RetrySettings,
    /// The graceful shutdown.
    pub shutdown: ShutdownSettings,
    /// The log.
    pub log: LogSettings,
    /// Traces.
    pub trace: TraceSettings,
}

/// `http.*`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Address and port of the API. With port 0 the system chooses a free port, which the log names. Default
    /// `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// API keys for `Authorization: Bearer` or `X-API-Key`: each a plain key, or `NAME:SCOPES:sha256:HEX` with
    /// the SHA-256 of the key and the scopes `read`, `write` and `subjects`, joined by `+`. A list, or one text with commas. Default none: without keys and without tokens, `listen` must be a loopback address.
    #[serde(deserialize_with = "value::deserialize_secrets")]
    pub api_keys: Vec<Secret>,
    /// Allow a public address without keys and tokens. Default `false`.
    pub allow_anonymous: bool,
    /// HTTP threads; 0 means one for each core. Default 0.
    pub workers: usize,
    /// The largest request body, in bytes. Default 16384.
    pub body_limit: usize,
    /// The largest body of an import, in bytes. Default 268435456.
    pub import_limit: usize,
    /// How long the request line and headers may take to arrive, and how long the body. Default `5s`.
    #[serde(with = "humantime_serde")]
    pub read_timeout: Duration,
    /// How long a write may wait for its publisher confirm, and a read for the database. Then the answer is 503.
    /// Default `5s`.
    #[serde(with = "humantime_serde")]
    pub accept_timeout: Duration,
    /// How long a caller may leave an answer unread. Then the service closes the connection. Default `30s`.
    #[serde(with = "humantime_serde")]
    pub write_timeout: Duration,
    /// How long a connection may be idle between two requests. The default is longer than the usual value of
    /// load balancers, so that they close connections first. Default `1m 15s`.
    #[serde(with = "humantime_serde")]
    pub keep_alive: Duration,
    /// The longest path and query, in bytes. Default 8192.
    pub max_uri: usize,
    /// Requests a second for each caller; 0 means no limit. Default 0.
    pub rate_limit: u32,
    /// How many requests a caller may send at once; 0 means the same number as `rate_limit`. Default 0.
    pub rate_burst: u32,
    /// Addresses or networks of proxies. The service believes `X-Forwarded-For` or `Forwarded` from these only. Default
    /// none.
    #[serde(deserialize_with = "value::deserialize_list")]
    pub trusted_proxies: Vec<Network>,
    /// Origins of web pages that may call the API from a browser. Default none.
    #[serde(deserialize_with = "value::deserialize_list")]
    pub cors_origins: Vec<Origin>,
    /// The most streams of changes (Server-Sent Events) of one process. Default 100.
    pub change_streams: usize,
    /// How long a stream of changes may send nothing. Then it sends a line that clients ignore. At least 1 s.
    /// Default `15s`.
    #[serde(with = "humantime_serde")]
    pub stream_heartbeat: Duration,
    /// Tokens of an identity provider.
    pub jwt: JwtSettings,
}

impl HttpSettings {
    /// The keys of `api_keys`. An error names an entry by its position.
    pub fn keys(&self) -> Result<Vec<ApiKey>, String> {
        api_keys::parse(&self.api_keys).map_err(|error| format!("http.api_keys: {error}"))
    }

    /// Whether callers need a key or a token.
    pub fn requires_authentication(&self) -> bool {
        !self.api_keys.is_empty() || self.jwt.jwks_file.is_some()
    }

    pub(super) fn check(&self) -> Result<(), String> {
        self.keys()?;
        if self.rate_burst > 0 && self.rate_limit == 0 {
            return Err("http.rate_burst needs http.rate_limit".into());
        }
        let JwtSettings { jwks_file, issuer, audience } = &self.jwt;
        let set = [jwks_file.is_some(), issuer.is_some(), audience.is_some()];
        if set.contains(&true) && set.contains(&false) {
            return Err("http.jwt needs all of http.jwt.jwks_file, http.jwt.issuer and http.jwt.audience".into());
        }
        // With an empty setting, a token with an empty issuer or audience would be accepted.
        if [issuer, audience].into_iter().flatten().any(|text| text.trim().is_empty()) {
            return Err("http.jwt.issuer and http.jwt.audience must not be empty".into());
        }
        Ok(())
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            api_keys: Vec::new(),
            allow_anonymous: false,
            workers: 0,
            body_limit: 16 * 1024,
            import_limit: 256 << 20,
            read_timeout: Duration::from_secs(5),
            accept_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            max_uri: 8 * 1024,
            rate_limit: 0,
            rate_burst: 0,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            change_streams: 100,
            stream_heartbeat: Duration::from_secs(15),
            jwt: JwtSettings::default(),
        }
    }
}

/// `http.jwt.*`: set all of them or none.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct JwtSettings {
    /// A file with the public keys for tokens (JWK Set, RFC 7517). Default none: tokens are not accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// The required value of `iss` in a token. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The value that `aud` of a token must have or contain. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

/// `admin.*`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminSettings {
    /// Address and port of `/livez`, `/readyz` and `/metrics`. Default `127.0.0.1:8081`.
    pub listen: SocketAddr,
    /// Serve the operator's console under `/console`. The role `console` always does. Default `false`.
    pub console: bool,
    /// Keys for the console: each `NAME:SCOPES:sha256:HEX` with the SHA-256 of the key and the scopes `read` or
    /// `read+write`. Default none: without keys, `listen` must be a loopback address.
    #[serde(deserialize_with = "value::deserialize_secrets")]
    pub console_keys: Vec<Secret>,
    /// Admin ports of other processes that the console shows, for example `http://contacts-consumer:8081`. A name with
    /// several addresses means several processes. Default none.
    #[serde(deserialize_with = "value::deserialize_list")]
    pub console_targets: Vec<AdminUrl>,
}

impl AdminSettings {
    /// The keys of `console_keys`. An error names an entry by its position.
    pub fn keys(&self) -> Result<Vec<ApiKey>, String> {
        api_keys::parse_operators(&self.console_keys).map_err(|error| format!("admin.console_keys: {error}"))
    }
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            console: false,
            console_keys: Vec::new(),
            console_targets: Vec::new(),
        }
    }
}

/// `broker.*`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrokerSettings {
    /// `amqp://user:password@host:port/vhost`, or `amqps://`. Several nodes: `host:port,host:port`. Default
    /// `amqp://guest:guest@127.0.0.1:5672/%2f`.
    pub url: Url,
    /// Text before every queue name, so that several environments can share a broker. Default empty.
    pub prefix: String,
    /// How long opening a connection to a node may take. Default `5s`.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// The most changes that are published and not yet confirmed. Default 4096.
    pub max_in_flight: usize,
    /// The most changes in one message of the work queue. 1 publishes each change as a message of its own. Default 64.
    pub pack_max: usize,
    /// The most changes that wait to be published. The API answers further writes with 503 at once. Default 4096.
    pub max_waiting: usize,
}

impl Default for BrokerSettings {
    fn default() -> Self {
        Self {
            url: Url::from("amqp://guest:guest@127.0.0.1:5672/%2f"),
            prefix: String::new(),
            connect_timeout: Duration::from_secs(5),
            max_in_flight: 4096,
            pack_max: 64,
            max_waiting: 4096,
        }
    }
}

/// `database.*`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseSettings {
    /// `postgres://user:password@host:port/database`, or `sqlite:PATH` for `migrate`, `prune` and
    /// `dlq-drain`. Several hosts: `host:port,host:port`. Default `postgres://localhost/contacts`.
    pub url: Url,
    /// The database for reads, for example a replica. Default: the same as `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_url: Option<Url>,
    /// The most connections of one process to each database. In addition, one connection is used only to check the
    /// database, and each pool opens one more when it starts. Default 8.
    pub max_connections: u32,
    /// How long to wait for a connection. Default `5s`.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long a statement may run. A server that does not answer is left a second later. Default `30s`.
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self {
            url: Url::from("postgres://localhost/contacts"),
            read_url: None,
            max_connections: 8,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
        }
    }
}

/// `standalone.*`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct StandaloneSettings {
    /// The folder of the database and the queue. It is created with mode 0700. Default `./contacts-data`.
    pub data_dir: PathBuf,
}

impl Default for StandaloneSettings {
    fn default() -> Self {
        Self { data_dir: PathBuf::from("./contacts-data") }
    }
}

/// `consumer.*`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsumerSettings {
    /// Workers, each with its own connections to the queue and to SQL. `standalone` has one. Default 2.
    pub workers: usize,
    /// The most changes in one transaction. Default 1024.
    pub batch_max: usize,
    /// The most unacknowledged messages of a worker. Each holds up to `broker.pack_max` changes. Default 256.
    pub prefetch: u16,
    /// How long a worker keeps its messages while SQL is unavailable. Then it defers them. Default `10s`.
    #[serde(with = "humantime_serde")]
    pub hold: Duration,
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        Self { workers: 2, batch_max: 1_024, prefetch: 256, hold: Duration::from_secs(10) }
    }
}

/// `history.*`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HistorySettings {
    /// Keep the values that a change replaces, with its operation, until the operation is pruned. They are personal data,
    /// also after the contact was deleted. `consumer` and `standalone` do it. Default `false`.
    pub values: bool,
}

/// `events.*`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventSettings {
    /// Publish an event to the exchange `contato.events` for each applied change. `consumer` and `standalone` do it.
    /// Default `false`.
    pub enabled: bool,
    /// Put the contact into each event. Its name, phone number and e-mail address are personal data. Default `false`.
    pub include_contact: bool,
    /// The attribute `source` of the events, a URI reference. Default `/contacts`.
    pub source: String,
}

impl Default for EventSettings {
    fn default() -> Self {
        Self { enabled: false, include_contact: false, source: "/contacts".into() }
    }
}

/// `retry.*`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetrySettings {
    /// How many attempts a command has that waits for another command. Then it fails. Default 30.
    pub max_attempts: u32,
    /// The time between two attempts. Default `1s`.
    #[serde(with = "humantime_serde")]
    pub delay: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self { max_attempts: 30, delay: Duration::from_secs(1) }
    }
}

/// `shutdown.*`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownSettings {
    /// How long a graceful shutdown may take. Default `25s`.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
}

impl Default for ShutdownSettings {
    fn default() -> Self {
        Self { grace: Duration::from_secs(25) }
    }
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, otherwise JSON.
    #[default]
    Auto,
    /// Text, for people.
    Text,
    /// JSON, for programs.
    Json,
}

/// `log.*`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// `error`, `warn`, `info`, `debug` or `trace`. Default `info`.
    pub level: String,
    /// `auto`, `text` or `json`. Default `auto`.
    pub format: LogFormat,
    /// Log a line for each request and each batch, at level `info`, with its trace id and operation ids. Default
    /// `true`.
    pub traffic: bool,
    /// The share of the requests that get a line, from 0 to 1. A request that failed (status 400 or higher) or took longer
    /// than a second always gets one. Default 1.
    pub traffic_sample: f64,
    /// A folder for log files in addition to standard error: JSON, a new file each day (UTC). Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// How many log files of one process to keep. Default 7.
    pub keep: usize,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Auto, traffic: true, traffic_sample: 1.0, dir: None, keep: 7 }
    }
}

/// `trace.*`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceSettings {
    /// Where to send spans by OTLP over HTTP, for example `http://collector:4318/v1/traces`. Needs a build with
    /// `--features otlp`. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_url: Option<Url>,
    /// The share of traces to record, 0 to 1, for traces that begin in this process. Other traces are recorded if
    /// their `traceparent` says so. Default 1.0.
    pub sample_ratio: f64,
}

impl Default for TraceSettings {
    fn default() -> Self {
        Self { otlp_url: None, sample_ratio: 1.0 }
    }
}

impl Settings {
    /// Checks ranges, and settings that depend on each other.
    pub(super) fn check(&self) -> Result<(), String> {
        let counts = [
            ("http.workers", self.http.workers, 0..=1024),
            ("http.body_limit", self.http.body_limit, 1..=16 << 20),
            ("http.import_limit", self.http.import_limit, 1..=1 << 40),
            // The HTTP library does not read a longer request line.
            ("http.max_uri", self.http.max_uri, 64..=65_534),
            ("http.rate_limit", self.http.rate_limit as usize, 0..=1_000_000),
            ("http.rate_burst", self.http.rate_burst as usize, 0..=1_000_000),
            ("http.change_streams", self.http.change_streams, 0..=100_000),
            ("consumer.workers", self.consumer.workers, 1..=256),
            // SQLite allows at most 32766 values in a statement; the ids of a batch must fit.
            ("consumer.batch_max", self.consumer.batch_max, 1..=8_000),
            ("consumer.prefetch", self.consumer.prefetch.into(), 1..=65_535),
            ("broker.max_in_flight", self.broker.max_in_flight, 1..=1_000_000),
            ("broker.pack_max", self.broker.pack_max, 1..=1_000),
            ("broker.max_waiting", self.broker.max_waiting, 1..=1_000_000),
            ("database.max_connections", self.database.max_connections as usize, 1..=10_000),
            ("retry.max_attempts", self.retry.max_attempts as usize, 1..=1_000_000),
            ("log.keep", self.log.keep, 1..=10_000),
        ];
        for (name, value, allowed) in counts {
            if !allowed.contains(&value) {
                return Err(format!("{name} must be from {} to {}", allowed.start(), allowed.end()));
            }
        }
        let (millisecond, day) = (Duration::from_millis(1), Duration::from_secs(24 * 60 * 60));
        let times = [
            ("http.read_timeout", self.http.read_timeout),
            ("http.accept_timeout", self.http.accept_timeout),
            ("http.write_timeout", self.http.write_timeout),
            ("http.keep_alive", self.http.keep_alive),
            ("broker.connect_timeout", self.broker.connect_timeout),
            ("database.connect_timeout", self.database.connect_timeout),
            ("database.statement_timeout", self.database.statement_timeout),
            ("consumer.hold", self.consumer.hold),
            ("retry.delay", self.retry.delay),
            ("shutdown.grace", self.shutdown.grace),
        ];
        for (name, value) in times {
            if !(millisecond..=day).contains(&value) {
                return Err(format!("{name} must be from 1ms to 24h"));
            }
        }
        // A shorter time would only load the network: the line keeps a connection alive and has no news.
        if !(Duration::from_secs(1)..=day).contains(&self.http.stream_heartbeat) {
            return Err("http.stream_heartbeat must be from 1s to 24h".into());
        }
        if self.shutdown.grace <= self.http.read_timeout.max(self.http.accept_timeout) {
            return Err(
                "shutdown.grace must be longer than http.read_timeout and http.accept_timeout, because a request may \
                 take that long"
                    .into(),
            );
        }
        let schemes = [
            ("broker.url", Some(&self.broker.url), &["amqp://", "amqps://"][..]),
            ("database.url", Some(&self.database.url), &["postgres://", "postgresql://", "sqlite:"]),
            ("database.read_url", self.database.read_url.as_ref(), &["postgres://", "postgresql://"]),
            ("trace.otlp_url", self.trace.otlp_url.as_ref(), &["http://", "https://"]),
        ];
        for (name, url, allowed) in schemes {
            if url.is_some_and(|url| !allowed.iter().any(|scheme| url.reveal().starts_with(scheme))) {
                return Err(format!("{name} must begin with {}", allowed.join(" or ")));
            }
            if url.is_some_and(Url::has_wrong_list) {
                return Err(format!(
                    "{name} must have one scheme and then its hosts, with commas and without blanks: \
                     scheme://user:password@a:1234,b:1234/name"
                ));
            }
        }
        if self.database.max_connections as usize <= self.consumer.workers {
            return Err(format!(
                "database.max_connections ({}) must be greater than consumer.workers ({}): each worker needs one connection",
                self.database.max_connections, self.consumer.workers
            ));
        }
        if self.events.enabled && self.database.max_connections as usize <= self.consumer.workers + 1 {
            return Err(format!(
                "database.max_connections ({}) must be greater than consumer.workers + 1 ({}): events.enabled needs one more \
                 connection",
                self.database.max_connections,
                self.consumer.workers + 1
            ));
        }
        let source = &self.events.source;
        if source.is_empty() || source.len() > 200 || !source.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("events.source must be a URI reference: 1 to 200 visible ASCII characters".into());
        }
        if !["error", "warn", "info", "debug", "trace"].contains(&self.log.level.as_str()) {
            return Err("log.level must be error, warn, info, debug or trace".into());
        }
        if !(0.0..=1.0).contains(&self.log.traffic_sample) {
            return Err("log.traffic_sample must be from 0 to 1".into());
        }
        if !(0.0..=1.0).contains(&self.trace.sample_ratio) {
            return Err("trace.sample_ratio must be from 0 to 1".into());
        }
        self.http.check()?;
        self.admin.keys()?;
        if self.broker.prefix.len() > 100 || self.broker.prefix.contains(char::is_control) {
            return Err("broker.prefix must have at most 100 bytes and no control characters".into());
        }
        Ok(())
    }

    /// The settings as TOML. Secrets are hidden.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }
}
