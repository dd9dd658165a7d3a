//! Verifies JSON Web Tokens (RFC 7519) of an identity provider, as RFC 8725 requires.
//!
//! Rule of this file: the key decides the algorithm, not the token. Only public keys are stored. A missing claim is an
//! error. The log may contain the client id of a token and nothing else: a subject may be a person's e-mail address.

use crate::config::{ApiKey, JwtSettings, Scopes};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Validation, decode, decode_header};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// How far the clock of the identity provider may differ from ours, in seconds.
const LEEWAY_SECONDS: u64 = 30;
/// The minimum length of an RSA modulus in bytes: 2048 bits.
const MIN_RSA_BYTES: usize = 256;

/// Verifies tokens with the token keys of one file.
pub(crate) struct TokenVerifier {
    keys: Vec<VerificationKey>,
    /// The content of the file, to detect a change.
    file: Vec<u8>,
}

struct VerificationKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
    validation: Validation,
}

/// The caller that a token identifies.
pub(crate) struct TokenIdentity {
    /// A digest of the issuer and the subject.
    pub(crate) digest: [u8; 32],
    /// The name in the log: the client id.
    pub(crate) name: String,
    pub(crate) scopes: Scopes,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    scope: Option<ScopeClaim>,
    scp: Option<ScopeClaim>,
    roles: Option<ScopeClaim>,
    azp: Option<String>,
    client_id: Option<String>,
    appid: Option<String>,
}

/// Scopes as a text with spaces (RFC 8693), or as a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum ScopeClaim {
    Text(String),
    List(Vec<String>),
}

impl TokenVerifier {
    /// Reads the file. Returns `None` if tokens are not configured.
    pub(crate) fn read(settings: &JwtSettings) -> Result<Option<Self>, String> {
        let JwtSettings { jwks_file: Some(path), issuer: Some(issuer), audience: Some(audience) } = settings else {
            return Ok(None);
        };
        let with_path = |why: String| format!("http.jwt.jwks_file {}: {why}", path.display());
        let file = std::fs::read(path).map_err(|error| with_path(error.to_string()))?;
        Self::parse(file, issuer, audience).map(Some).map_err(with_path)
    }

    fn parse(file: Vec<u8>, issuer: &str, audience: &str) -> Result<Self, String> {
        super::token_signature::install();
        let value: serde_json::Value =
            serde_json::from_slice(&file).map_err(|error| format!("is not JSON: line {}", error.line()))?;
        let members = value.get("keys").and_then(|keys| keys.as_array()).into_iter().flatten();
        // Whoever has a symmetric key can create tokens. A private key must not be in this file.
        if members.clone().any(|key| ["k", "d"].iter().any(|secret| key.get(secret).is_some())) {
            return Err("contains a secret or private key: use public keys only".into());
        }
        let set: JwkSet =
            serde_json::from_value(value).map_err(|_quotes_the_file| "is not a JWK Set (RFC 7517)".to_owned())?;
        let mut keys = Vec::new();
        for jwk in &set.keys {
            // A key for another use or of an unknown type is not an error: other services may use it.
            let Some(algorithm) = key_algorithm(jwk) else { continue };
            keys.push(VerificationKey::new(jwk, algorithm, issuer, audience)?);
        }
        if keys.is_empty() { Err("contains no key that can verify signatures".into()) } else { Ok(Self { keys, file }) }
    }

    pub(crate) const fn key_count(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        self.file == other.file
    }

    /// Verifies the token. Returns its caller if the token is valid.
    pub(crate) fn verify(&self, token: &[u8]) -> Option<TokenIdentity> {
        let header = decode_header(token).ok()?;
        // `crit` lists extensions that must be understood (RFC 7515, section 4.1.11). We understand none.
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
        Some(claims.into_identity())
    }
}

/// The algorithm of a key. `None` if the key cannot verify signatures with a supported algorithm.
fn key_algorithm(jwk: &Jwk) -> Option<Algorithm> {
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let named = jwk.common.key_algorithm.map(Algorithm::try_from);
    let (usual, allowed): (Algorithm, &[Algorithm]) = match &jwk.algorithm {
        // The default of OpenID Connect is RS256.
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, super::token_signature::RSA_ALGORITHMS),
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

impl VerificationKey {
    fn new(jwk: &Jwk, algorithm: Algorithm, issuer: &str, audience: &str) -> Result<Self, String> {
        let id = jwk.common.key_id.clone();
        let key_name = || id.as_deref().unwrap_or("without an id").escape_debug().to_string();
        let unreadable = |_quotes_the_file| format!("the key {} cannot be read", key_name());
        let key = DecodingKey::from_jwk(jwk).map_err(unreadable)?;
        if let DecodingKeyKind::RsaModulusExponent { n, .. } = key.kind()
            && n.iter().skip_while(|byte| **byte == 0).count() < MIN_RSA_BYTES
        {
            return Err(format!("the key {} has fewer than 2048 bits", key_name()));
        }
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        // Without this line the library accepts a token that has no such claim.
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        Ok(Self { id, algorithm, key, validation })
    }
}

impl Claims {
    fn into_identity(self) -> TokenIdentity {
        let mut digest = Sha256::new().chain_update("jwt");
        for part in [&self.iss, &self.sub] {
            // The length keeps issuer and subject apart: different pairs never give the same bytes.
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let id = self.azp.or(self.client_id).or(self.appid).filter(|id| ApiKey::check_name(id).is_ok());
        // Only the first claim that is present counts: the roles of a user must not widen the scopes of a client.
        let scopes = self.scope.or(self.scp).or(self.roles);
        let has = |scope: &str| match &scopes {
            Some(ScopeClaim::Text(text)) => text.split(' ').any(|word| word == scope),
            Some(ScopeClaim::List(list)) => list.iter().any(|word| word == scope),
            None => false,
        };
        TokenIdentity {
            digest: digest.finalize().into(),
            // The name of an API key never contains a colon.
            name: id.map_or_else(|| "jwt".to_owned(), |id| format!("jwt:{id}")),
            scopes: Scopes { read: has(Scopes::READ), write: has(Scopes::WRITE), subjects: has(Scopes::SUBJECTS) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const JWKS: &str = include_str!("../../../tests/fixtures/jwks.json");

    fn parse(text: &str) -> Result<TokenVerifier, String> {
        TokenVerifier::parse(text.as_bytes().to_vec(), "https://login.example", "contacts")
    }

    #[test]
    fn each_key_has_one_algorithm() {
        let tokens = parse(JWKS).unwrap();
        let algorithms: Vec<Algorithm> = tokens.keys.iter().map(|key| key.algorithm).collect();
        assert_eq!(algorithms, [Algorithm::ES256, Algorithm::RS256]);
        let named = JWKS.replace("\"kty\": \"RSA\",", "\"kty\": \"RSA\", \"alg\": \"PS512\",");
        assert_eq!(parse(&named).unwrap().keys[1].algorithm, Algorithm::PS512);
        let foreign = JWKS.replace("\"kty\": \"RSA\",", "\"kty\": \"RSA\", \"alg\": \"ES256\",");
        assert_eq!(parse(&foreign).unwrap().key_count(), 1, "the algorithm does not fit the key");
        let encryption = JWKS.replace("\"sig\"", "\"enc\"");
        assert!(parse(&encryption).is_err());
    }

    #[test]
    fn only_public_keys_of_sufficient_length_are_accepted() {
        let set = |key: serde_json::Value| json!({ "keys": [key] }).to_string();
        for (text, part) in [
            ("{".to_owned(), "JSON"),
            ("{}".into(), "JWK Set"),
            (json!({ "keys": [] }).to_string(), "no key"),
            (set(json!({ "kty": "oct", "k": "hunter2" })), "secret"),
            (JWKS.replace("\"crv\"", "\"d\": \"hunter2\", \"crv\""), "secret"),
            (set(json!({ "kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB" })), "2048"),
            (set(json!({ "kty": "RSA", "kid": "bad", "n": "hunter2 !", "e": "AQAB" })), "cannot be read"),
            (set(json!({ "kty": "quantum" })), "no key"),
        ] {
            let error = parse(&text).err().unwrap();
            assert!(error.contains(part) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn scopes_are_read_from_all_known_claims() {
        let identity = |more: serde_json::Value| {
            let mut claims = json!({ "iss": "i", "sub": "ana@example.com" });
            claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value::<Claims>(claims).unwrap().into_identity()
        };
        let read = Scopes { read: true, ..Scopes::NONE };
        for (claims, expected) in [
            (json!({ "scope": "openid contacts:read" }), read),
            (json!({ "scp": "contacts:read contacts:write" }), Scopes::CONTACTS),
            (json!({ "scp": ["contacts:read"] }), read),
            (json!({ "roles": ["contacts:read", "contacts:write"] }), Scopes::CONTACTS),
            (json!({ "scp": "contacts:read", "roles": ["contacts:write"] }), read),
            (json!({ "scope": "contacts:readers Contacts:write" }), Scopes::NONE),
            (json!({ "scope": "contacts:subjects" }), Scopes { subjects: true, ..Scopes::NONE }),
            (json!({}), Scopes::NONE),
        ] {
            assert_eq!(identity(claims.clone()).scopes, expected, "{claims}");
        }
        assert_eq!(identity(json!({ "azp": "web-shop" })).name, "jwt:web-shop");
        assert_eq!(identity(json!({ "azp": "ana@example.com" })).name, "jwt", "it may be a person");
        assert_eq!(identity(json!({})).name, "jwt");
        let digest = |iss: &str, sub: &str| identity(json!({ "iss": iss, "sub": sub })).digest;
        assert_ne!(digest("a", "bc"), digest("ab", "c"));
    }
}
