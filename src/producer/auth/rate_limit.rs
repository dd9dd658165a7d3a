//! How much one caller may ask for: requests a second, wrong keys, the size of a head.
//!
//! The rule this file keeps: who guesses keys is slowed down whatever the settings say, and what is remembered of callers
//! has a bound. Each process counts alone. It must not know what a request asks for.

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

/// Wrong keys that one address may try in a second, and at once.
const GUESSES: (NonZeroU32, NonZeroU32) = (NonZeroU32::new(10).unwrap(), NonZeroU32::new(50).unwrap());
/// The most callers that are told apart.
const MOST: usize = 100_000;
/// How often those are forgotten that have not called for a while.
const SWEEP: Duration = Duration::from_secs(60);

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

type Limiter = RateLimiter<Client, HashMapStateStore<Client>, DefaultClock, StateInformationMiddleware>;

/// What is counted of callers; one for all threads.
pub(crate) struct RateLimits {
    requests: Option<Buckets>,
    guesses: Buckets,
    /// Until when nothing that these send is looked at.
    shut: Mutex<HashMap<Client, Instant>>,
}

/// A bucket for each caller: empty at first, `rate` flow out in a second.
struct Buckets {
    policy: &'static str,
    rate: NonZeroU32,
    limiter: Limiter,
    swept: Mutex<Instant>,
}

/// Where a caller stands, as draft-ietf-httpapi-ratelimit-headers-11 tells it.
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
            requests: requests.map(|rate| Buckets::new("default", rate, burst.unwrap_or(rate))),
            guesses: Buckets::new("authentication", GUESSES.0, GUESSES.1),
            shut: Mutex::default(),
        }
    }

    /// Counts a request; where the caller stands, if that is limited.
    pub(crate) fn count(&self, client: &Client) -> Result<Option<RateLimitStatus>, Problem> {
        let Some(requests) = &self.requests else { return Ok(None) };
        requests
            .take(client)
            .map(Some)
            .map_err(|standing| standing.refusal("This is more than one caller may ask for."))
    }

    /// Refuses to answer more wrong keys from where too many came.
    pub(crate) fn may_try(&self, client: &Client) -> Result<(), Problem> {
        let mut shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(until) = shut.get(client).copied() else { return Ok(()) };
        let wait = until.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            shut.remove(client);
            return Ok(());
        }
        Err(self.guesses.standing(0, wait).refusal("Too many wrong keys came from this address."))
    }

    /// Counts a wrong key.
    pub(crate) fn tried_in_vain(&self, client: &Client) {
        if let Err(standing) = self.guesses.take(client) {
            let (now, wait) = (Instant::now(), Duration::from_secs(standing.seconds));
            let mut shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
            if shut.len() >= MOST {
                shut.retain(|_, until| *until > now);
            }
            if shut.len() < MOST {
                shut.insert(client.clone(), now + wait);
            }
        }
    }
}

impl Buckets {
    fn new(policy: &'static str, rate: NonZeroU32, burst: NonZeroU32) -> Self {
        let limiter = RateLimiter::hashmap(Quota::per_second(rate).allow_burst(burst)).with_middleware();
        Self { policy, rate, limiter, swept: Mutex::new(Instant::now()) }
    }

    fn take(&self, client: &Client) -> Result<RateLimitStatus, RateLimitStatus> {
        let full = self.limiter.len() >= MOST;
        self.sweep(full);
        // There are few keys and many addresses: only these can fill the memory, and then share what is left.
        let client = if full && !matches!(client, Client::Key(_)) { &Client::Rest } else { client };
        match self.limiter.check_key(client) {
            Ok(state) => Ok(self.standing(state.remaining_burst_capacity(), Duration::ZERO)),
            Err(refused) => Err(self.standing(0, refused.wait_time_from(self.limiter.clock().now()))),
        }
    }

    fn standing(&self, remaining: u32, wait: Duration) -> RateLimitStatus {
        let wait = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let seconds = wait.max(u64::from(remaining.div_ceil(self.rate.get()))).max(1);
        RateLimitStatus { policy: self.policy, rate: self.rate, remaining, seconds }
    }

    fn sweep(&self, full: bool) {
        let Ok(mut swept) = self.swept.try_lock() else { return };
        if swept.elapsed() > if full { Duration::from_secs(1) } else { SWEEP } {
            *swept = Instant::now();
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

    /// Tells the caller in an answer.
    pub(crate) fn add_headers(self, headers: &mut HeaderMap) {
        for (name, value) in self.headers() {
            headers.insert(name, value);
        }
    }

    /// Tells the caller in a problem.
    pub(crate) fn with_headers(self, problem: Problem) -> Problem {
        self.headers().fold(problem, |problem, (name, value)| problem.with_header(name, value))
    }

    fn refusal(self, why: &str) -> Problem {
        let seconds = self.seconds;
        let problem = Problem::new(Kind::RateLimited, format!("{why} Try again in {seconds} s."));
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
    fn a_caller_has_its_own_bucket() {
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
    fn where_one_guesses_nothing_is_looked_at() {
        let limits = RateLimits::new(&HttpSettings::default());
        let mut tried = 0;
        while limits.may_try(&address(1)).is_ok() {
            limits.tried_in_vain(&address(1));
            tried += 1;
            assert!(tried < 1_000);
        }
        assert!(tried > 50, "{tried}");
        assert!(limits.may_try(&address(2)).is_ok());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let limits = RateLimits::new(&HttpSettings { rate_limit: 1, ..HttpSettings::default() });
        for number in 0..=u32::try_from(MOST).unwrap() + 1_000 {
            let _ = limits.count(&Client::Address(number.to_be_bytes().into()));
        }
        assert!(limits.requests.unwrap().limiter.len() <= MOST + 1);
    }
}
