//! Verifies token signatures: implements the interface of `jsonwebtoken` with `ring`.
//!
//! Rule of this file: it verifies and does not sign, and it has no symmetric algorithm.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::signature::{Error, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

/// The algorithms for RSA keys.
pub(crate) const RSA_ALGORITHMS: &[Algorithm] =
    &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// Verifies signatures with one key and one algorithm.
struct SignatureVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for SignatureVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for SignatureVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
        let result = match self.key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => rsa_parameters(self.algorithm)
                .map(|parameters| RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)),
            DecodingKeyKind::SecretOrDer(key) => curve_algorithm(self.algorithm)
                .map(|curve| UnparsedPublicKey::new(curve, key).verify(message, signature)),
        };
        if let Some(Ok(())) = result { Ok(()) } else { Err(Error::new()) }
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::RS256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Some(&RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Some(&RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

fn curve_algorithm(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    match algorithm {
        Algorithm::ES256 => Some(&ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Some(&ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Some(&ED25519),
        _ => None,
    }
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: |algorithm, key| {
        if algorithm.family() == key.family() {
            Ok(Box::new(SignatureVerifier { algorithm: *algorithm, key: key.clone() }))
        } else {
            Err(ErrorKind::InvalidAlgorithm.into())
        }
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// Installs this implementation. Call it before the first verification, or the library panics.
pub(crate) fn install() {
    // Only the first call has an effect.
    let _ = PROVIDER.install_default();
}
