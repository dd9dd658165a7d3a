//! Rate limits: requests per second, and failed authentication attempts. Each process counts on its own.
//!
//! Rule of this file: failed attempts are always limited, whatever the settings say. The number of stored clients is
//! bounded.

use super::client_address::Client;
use crate::config::HttpSettings;
use crate::producer::problems::Kind;
use crate::producer::problems::Problem;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failed attempts per second that one address may make.
const FAILED_ATTEMPT_RATE: NonZeroU32 = NonZeroU32::new(10).unwrap();
/// Failed attempts that one address may make at once.
const FAILED_ATTEMPT_BURST: NonZeroU32 = NonZeroU32::new(50).unwrap();
/// How many clients are counted separately.
const MAX_CLIENTS: usize = 100_000;
/// How often idle clients are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

type KeyedLimiter = RateLimiter<Client, HashMapStateStore<Client>, DefaultClock, StateInformationMiddleware>;

/// The counters of all clients. All threads share them.
pub(crate) struct RateLimits {
    requests: Option<ClientLimiter>,
    failed_attempts: ClientLimiter,
    /// When a blocked client may try to authenticate again.
    blocked_until: Mutex<HashMap<Client, Instant>>,
}

/// A leaky bucket for each client. It drains at `rate` requests per second.
struct ClientLimiter {
    policy: &'static str,
    rate: NonZeroU32,
    limiter: KeyedLimiter,
    last_sweep: Mutex<Instant>,
}

/// The state of a client's limit, for the headers of draft-ietf-httpapi-ratelimit-headers-11.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateLimitStatus {
    policy: &'static str,
    rate: NonZeroU32,
    remaining: u32,
    seconds: u64,
}

impl RateLimits {
    pub(crate) fn new(settings: &HttpSettings) -> Self {
        let burst = NonZeroU32::new(settings.rate_burst);
        let requests = NonZeroU32::new(settings.rate_limit);
        Self {
            requests: requests.map(|rate| ClientLimiter::new("default", rate, burst.unwrap_or(rate))),
            failed_attempts: ClientLimiter::new("authentication", FAILED_ATTEMPT_RATE, FAILED_ATTEMPT_BURST),
            blocked_until: Mutex::default(),
        }
    }

    /// Counts a request and returns the client's limit. `None`: requests are not limited.
    pub(crate) fn count(&self, client: &Client) -> Result<Option<RateLimitStatus>, Problem> {
        let Some(requests) = &self.requests else { return Ok(None) };
        requests
            .count(client)
            .map(Some)
            .map_err(|status| status.too_many_requests("This caller sends too many requests."))
    }

    /// Returns an error while the client is blocked because of failed attempts.
    pub(crate) fn check_not_blocked(&self, client: &Client) -> Result<(), Problem> {
        let mut blocked_until = self.blocked_until.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(until) = blocked_until.get(client).copied() else { return Ok(()) };
        let wait = until.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            blocked_until.remove(client);
            return Ok(());
        }
        Err(self.failed_attempts.status(0, wait).too_many_requests("This address sent too many invalid keys."))
    }

    /// Counts a failed attempt, and blocks the client after too many.
    pub(crate) fn record_failed_attempt(&self, client: &Client) {
        if let Err(status) = self.failed_attempts.count(client) {
            let (now, wait) = (Instant::now(), Duration::from_secs(status.seconds));
            let mut blocked_until = self.blocked_until.lock().unwrap_or_else(PoisonError::into_inner);
            if blocked_until.len() >= MAX_CLIENTS {
                blocked_until.retain(|_, until| *until > now);
            }
            if blocked_until.len() < MAX_CLIENTS {
                blocked_until.insert(client.clone(), now + wait);
            }
        }
    }
}

impl ClientLimiter {
    fn new(policy: &'static str, rate: NonZeroU32, burst: NonZeroU32) -> Self {
        let limiter = RateLimiter::hashmap(Quota::per_second(rate).allow_burst(burst)).with_middleware();
        Self { policy, rate, limiter, last_sweep: Mutex::new(Instant::now()) }
    }

    fn count(&self, client: &Client) -> Result<RateLimitStatus, RateLimitStatus> {
        let full = self.limiter.len() >= MAX_CLIENTS;
        self.sweep(full);
        // There are few API keys, so keys cannot fill the table. When it is full, other new clients share one bucket.
        let client = if full && !matches!(client, Client::Key(_)) { &Client::Other } else { client };
        match self.limiter.check_key(client) {
            Ok(state) => Ok(self.status(state.remaining_burst_capacity(), Duration::ZERO)),
            Err(refused) => Err(self.status(0, refused.wait_time_from(self.limiter.clock().now()))),
        }
    }

    fn status(&self, remaining: u32, wait: Duration) -> RateLimitStatus {
        let wait = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let seconds = wait.max(u64::from(remaining.div_ceil(self.rate.get()))).max(1);
        RateLimitStatus { policy: self.policy, rate: self.rate, remaining, seconds }
    }

    fn sweep(&self, full: bool) {
        let Ok(mut last_sweep) = self.last_sweep.try_lock() else { return };
        if last_sweep.elapsed() > if full { Duration::from_secs(1) } else { SWEEP_INTERVAL } {
            *last_sweep = Instant::now();
            self.limiter.retain_recent();
        }
    }
}

impl RateLimitStatus {
    fn headers(self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let Self { policy, rate, remaining, seconds } = self;
        let texts = [
            (RATELIMIT_POLICY, format!("\"{policy}\";q={rate};w=1")),
            (RATELIMIT, format!("\"{policy}\";r={remaining};t={seconds}")),
        ];
        texts.into_iter().filter_map(|(name, text)| Some((name, HeaderValue::try_from(text).ok()?)))
    }

    /// Adds the limit to an answer.
    pub(crate) fn add_headers(self, headers: &mut HeaderMap) {
        for (name, value) in self.headers() {
            headers.insert(name, value);
        }
    }

    /// Adds the limit to a problem.
    pub(crate) fn with_headers(self, problem: Problem) -> Problem {
        self.headers().fold(problem, |problem, (name, value)| problem.with_header(name, value))
    }

    fn too_many_requests(self, reason: &str) -> Problem {
        let seconds = self.seconds;
        let problem = Problem::new(Kind::RateLimited, format!("{reason} Try again in {seconds} s."));
        self.with_headers(problem.with_header(RETRY_AFTER, HeaderValue::from(seconds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Client {
        Client::Address([192, 0, 2, last].into())
    }

    #[test]
    fn each_client_has_its_own_bucket() {
        let limits = RateLimits::new(&HttpSettings { rate_limit: 1, rate_burst: 3, ..HttpSettings::default() });
        for remaining in [2, 1, 0] {
            assert_eq!(limits.count(&address(1)).unwrap().unwrap().remaining, remaining);
        }
        let refused = limits.count(&address(1)).unwrap_err();
        assert_eq!(refused.kind(), Kind::RateLimited);
        assert_eq!(limits.count(&address(2)).unwrap().unwrap().remaining, 2);
        assert_eq!(limits.count(&Client::Key("shop".into())).unwrap().unwrap().remaining, 2);
        assert!(RateLimits::new(&HttpSettings::default()).count(&address(1)).unwrap().is_none());
    }

    #[test]
    fn a_client_is_blocked_after_too_many_failed_attempts() {
        let limits = RateLimits::new(&HttpSettings::default());
        let mut attempts = 0;
        while limits.check_not_blocked(&address(1)).is_ok() {
            limits.record_failed_attempt(&address(1));
            attempts += 1;
            assert!(attempts < 1_000);
        }
        assert!(attempts > 50, "{attempts}");
        assert!(limits.check_not_blocked(&address(2)).is_ok());
    }

    #[test]
    fn the_number_of_counted_clients_is_bounded() {
        let limits = RateLimits::new(&HttpSettings { rate_limit: 1, ..HttpSettings::default() });
        for number in 0..=u32::try_from(MAX_CLIENTS).unwrap() + 1_000 {
            let _ = limits.count(&Client::Address(number.to_be_bytes().into()));
        }
        assert!(limits.requests.unwrap().limiter.len() <= MAX_CLIENTS + 1);
    }
}
