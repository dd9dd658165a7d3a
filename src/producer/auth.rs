//! Who may call: API keys, compared in constant time.

use super::{Api, Problem};
use crate::config::Secret;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The digests of the keys that are let in; digests, so that all comparisons are of one length.
pub(super) struct Keys(Vec<[u8; 32]>);

/// Who called, as far as idempotency needs to know: the digest of the key, or zeros for anyone.
#[derive(Clone, Copy)]
pub(super) struct Caller(pub(super) [u8; 32]);

impl Keys {
    pub(super) fn new(keys: &[Secret]) -> Self {
        Self(keys.iter().map(|key| digest(key.reveal().as_bytes())).collect())
    }

    fn admit(&self, headers: &HeaderMap) -> Option<Caller> {
        if self.0.is_empty() {
            return Some(Caller([0; 32]));
        }
        let sent = digest(sent_key(headers)?);
        // Every key is compared, whether an earlier one matched or not.
        let known = self.0.iter().fold(Choice::from(0), |found, key| found | key.ct_eq(&sent));
        bool::from(known).then_some(Caller(sent))
    }
}

fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

fn sent_key(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(value) = headers.get("x-api-key") {
        return Some(value.as_bytes());
    }
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(key)
}

pub(super) async fn require_key(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let api = request.app_data::<web::Data<Api>>();
    match api.and_then(|api| api.keys.admit(request.headers())) {
        Some(caller) => {
            request.extensions_mut().insert(caller);
            next.call(request).await
        }
        None => Err(Problem::unauthorized().into()),
    }
}
