//! Tokens of an identity provider: JSON Web Tokens (RFC 7519), checked as RFC 8725 asks.
//!
//! The rule this file keeps: the key decides the algorithm, never the token; only public keys are held; what is missing is
//! refused. Nothing of a token but the id of its client may be shown: a subject may be a person's e-mail address.

use crate::config::{ApiKey, JwtSettings, Scopes};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Validation, decode, decode_header};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// How far the clocks of the identity provider and ours may differ, in seconds.
const LEEWAY: u64 = 30;
/// The fewest bytes of an RSA modulus: 2048 bits.
const SHORTEST_RSA: usize = 256;

/// The keys that tokens are signed with, and what tokens must say.
pub(crate) struct Tokens {
    keys: Vec<Key>,
    /// The file as it was read, to know when it changes.
    file: Vec<u8>,
}

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
    validation: Validation,
}

/// Whom a token speaks of.
pub(crate) struct Bearer {
    /// A digest of issuer and subject.
    pub(crate) digest: [u8; 32],
    /// The client's id.
    pub(crate) name: String,
    pub(crate) scopes: Scopes,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    scope: Option<Words>,
    scp: Option<Words>,
    roles: Option<Words>,
    azp: Option<String>,
    client_id: Option<String>,
    appid: Option<String>,
}

/// As RFC 8693 writes scopes, or as a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Many(Vec<String>),
}

impl Tokens {
    /// Reads the file; nothing if tokens are not configured.
    pub(crate) fn read(settings: &JwtSettings) -> Result<Option<Self>, String> {
        let JwtSettings { jwks_file: Some(path), issuer: Some(issuer), audience: Some(audience) } = settings else {
            return Ok(None);
        };
        let cannot = |why: String| format!("http.jwt.jwks_file {}: {why}", path.display());
        let file = std::fs::read(path).map_err(|error| cannot(error.to_string()))?;
        Self::parse(file, issuer, audience).map(Some).map_err(cannot)
    }

    fn parse(file: Vec<u8>, issuer: &str, audience: &str) -> Result<Self, String> {
        super::token_signature::install();
        let value: serde_json::Value =
            serde_json::from_slice(&file).map_err(|error| format!("is not JSON: line {}", error.line()))?;
        let members = value.get("keys").and_then(|keys| keys.as_array()).into_iter().flatten();
        // With a symmetric key whoever can check a token can make one; a private key has no business here at all.
        if members.clone().any(|key| ["k", "d"].iter().any(|secret| key.get(secret).is_some())) {
            return Err("holds a secret or private key: give it public keys only".into());
        }
        let set: JwkSet =
            serde_json::from_value(value).map_err(|_quotes_it| "is not a JWK Set (RFC 7517)".to_owned())?;
        let mut keys = Vec::new();
        for jwk in &set.keys {
            // Keys for something else, or of a kind we do not know, are no mistake: others may use them.
            let Some(algorithm) = algorithm(jwk) else { continue };
            keys.push(Key::new(jwk, algorithm, issuer, audience)?);
        }
        if keys.is_empty() {
            Err("holds no key that signatures can be checked with".into())
        } else {
            Ok(Self { keys, file })
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn is_of(&self, other: &Self) -> bool {
        self.file == other.file
    }

    /// Whom the token speaks of, if everything about it is right.
    pub(crate) fn check(&self, token: &[u8]) -> Option<Bearer> {
        let header = decode_header(token).ok()?;
        // An extension that must be understood, and we understand none (RFC 7515, section 4.1.11).
        if header.crit.is_some() {
            return None;
        }
        // A token for another purpose may be signed with the same key (RFC 8725, section 3.11).
        let kind = header.typ.as_deref().map(|typ| typ.to_ascii_lowercase());
        if kind.is_some_and(|typ| !matches!(typ.trim_start_matches("application/"), "jwt" | "at+jwt")) {
            return None;
        }
        let key = match (&header.kid, self.keys.as_slice()) {
            (None, [only]) => only,
            (None, _) => return None,
            (Some(id), keys) => keys.iter().find(|key| key.id.as_ref() == Some(id) && key.algorithm == header.alg)?,
        };
        let claims = decode::<Claims>(token, &key.key, &key.validation).ok()?.claims;
        Some(claims.bearer())
    }
}

/// The one algorithm that a key is used with; none if it is not for signatures that we can check.
fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let named = jwk.common.key_algorithm.map(Algorithm::try_from);
    let (usual, allowed): (Algorithm, &[Algorithm]) = match &jwk.algorithm {
        // Where a set does not say it, RS256 is what OpenID Connect prescribes.
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, super::token_signature::RSA),
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => (Algorithm::ES256, &[Algorithm::ES256]),
            EllipticCurve::P384 => (Algorithm::ES384, &[Algorithm::ES384]),
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, &[Algorithm::EdDSA])
        }
        _ => return None,
    };
    let algorithm = match named {
        None => usual,
        Some(named) => named.ok()?,
    };
    allowed.contains(&algorithm).then_some(algorithm)
}

impl Key {
    fn new(jwk: &Jwk, algorithm: Algorithm, issuer: &str, audience: &str) -> Result<Self, String> {
        let id = jwk.common.key_id.clone();
        let shown = || id.as_deref().unwrap_or("without an id").escape_debug().to_string();
        let key = DecodingKey::from_jwk(jwk).map_err(|_quotes_it| format!("the key {} cannot be read", shown()))?;
        if let DecodingKeyKind::RsaModulusExponent { n, .. } = key.kind()
            && n.iter().skip_while(|byte| **byte == 0).count() < SHORTEST_RSA
        {
            return Err(format!("the key {} has fewer than 2048 bits", shown()));
        }
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        // Without this a claim is checked only if it is there.
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        Ok(Self { id, algorithm, key, validation })
    }
}

impl Claims {
    fn bearer(self) -> Bearer {
        let mut digest = Sha256::new().chain_update("jwt");
        for part in [&self.iss, &self.sub] {
            // With its length, so that no other issuer and subject make the same bytes.
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let id = self.azp.or(self.client_id).or(self.appid).filter(|id| ApiKey::check_name(id).is_ok());
        // The first that is there: a user's roles do not widen what the user granted to a client.
        let words = self.scope.or(self.scp).or(self.roles);
        let has = |scope: &str| match &words {
            Some(Words::One(text)) => text.split(' ').any(|word| word == scope),
            Some(Words::Many(many)) => many.iter().any(|word| word == scope),
            None => false,
        };
        Bearer {
            digest: digest.finalize().into(),
            // With a colon, which no key's name has.
            name: id.map_or_else(|| "jwt".to_owned(), |id| format!("jwt:{id}")),
            scopes: Scopes { read: has(Scopes::READ), write: has(Scopes::WRITE) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SET: &str = include_str!("../../../tests/fixtures/jwks.json");

    fn parsed(text: &str) -> Result<Tokens, String> {
        Tokens::parse(text.as_bytes().to_vec(), "https://login.example", "contacts")
    }

    #[test]
    fn each_key_has_one_algorithm() {
        let tokens = parsed(SET).unwrap();
        let algorithms: Vec<Algorithm> = tokens.keys.iter().map(|key| key.algorithm).collect();
        assert_eq!(algorithms, [Algorithm::ES256, Algorithm::RS256]);
        let named = SET.replace("\"kty\": \"RSA\",", "\"kty\": \"RSA\", \"alg\": \"PS512\",");
        assert_eq!(parsed(&named).unwrap().keys[1].algorithm, Algorithm::PS512);
        let foreign = SET.replace("\"kty\": \"RSA\",", "\"kty\": \"RSA\", \"alg\": \"ES256\",");
        assert_eq!(parsed(&foreign).unwrap().len(), 1, "an algorithm that is not the key's");
        let encryption = SET.replace("\"sig\"", "\"enc\"");
        assert!(parsed(&encryption).is_err());
    }

    #[test]
    fn only_public_keys_that_are_long_enough_are_taken() {
        let set = |key: serde_json::Value| json!({ "keys": [key] }).to_string();
        for (text, part) in [
            ("{".to_owned(), "JSON"),
            ("{}".into(), "JWK Set"),
            (json!({ "keys": [] }).to_string(), "no key"),
            (set(json!({ "kty": "oct", "k": "hunter2" })), "secret"),
            (SET.replace("\"crv\"", "\"d\": \"hunter2\", \"crv\""), "secret"),
            (set(json!({ "kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB" })), "2048"),
            (set(json!({ "kty": "RSA", "kid": "bad", "n": "hunter2 !", "e": "AQAB" })), "cannot be read"),
            (set(json!({ "kty": "quantum" })), "no key"),
        ] {
            let error = parsed(&text).err().unwrap();
            assert!(error.contains(part) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn scopes_are_read_wherever_providers_write_them() {
        let bearer = |more: serde_json::Value| {
            let mut claims = json!({ "iss": "i", "sub": "ana@example.com" });
            claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value::<Claims>(claims).unwrap().bearer()
        };
        let read = Scopes { read: true, write: false };
        for (claims, expected) in [
            (json!({ "scope": "openid contacts:read" }), read),
            (json!({ "scp": "contacts:read contacts:write" }), Scopes::ALL),
            (json!({ "scp": ["contacts:read"] }), read),
            (json!({ "roles": ["contacts:read", "contacts:write"] }), Scopes::ALL),
            (json!({ "scp": "contacts:read", "roles": ["contacts:write"] }), read),
            (json!({ "scope": "contacts:readers Contacts:write" }), Scopes { read: false, write: false }),
            (json!({}), Scopes { read: false, write: false }),
        ] {
            assert_eq!(bearer(claims.clone()).scopes, expected, "{claims}");
        }
        assert_eq!(bearer(json!({ "azp": "web-shop" })).name, "jwt:web-shop");
        assert_eq!(bearer(json!({ "azp": "ana@example.com" })).name, "jwt", "it may be a person");
        assert_eq!(bearer(json!({})).name, "jwt");
        let digest = |iss: &str, sub: &str| bearer(json!({ "iss": iss, "sub": sub })).digest;
        assert_ne!(digest("a", "bc"), digest("ab", "c"));
    }
}
