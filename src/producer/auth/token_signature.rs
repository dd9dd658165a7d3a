//! How signatures are checked: `ring` behind the interface of `jsonwebtoken`.
//!
//! The rule this file keeps: it can check and cannot sign, and knows no symmetric algorithm.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::signature::{Error, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

/// The algorithms of RSA keys.
pub(crate) const RSA: &[Algorithm] =
    &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// A key, and the algorithm it is used with.
struct Check(Algorithm, DecodingKey);

impl JwtVerifier for Check {
    fn algorithm(&self) -> Algorithm {
        self.0
    }
}

impl Verifier<Vec<u8>> for Check {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
        let result = match self.1.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                rsa(self.0).map(|how| RsaPublicKeyComponents { n, e }.verify(how, message, signature))
            }
            DecodingKeyKind::SecretOrDer(key) => {
                curve(self.0).map(|how| UnparsedPublicKey::new(how, key).verify(message, signature))
            }
        };
        if let Some(Ok(())) = result { Ok(()) } else { Err(Error::new()) }
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
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

fn curve(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
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
            Ok(Box::new(Check(*algorithm, key.clone())))
        } else {
            Err(ErrorKind::InvalidAlgorithm.into())
        }
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// To be called before anything is checked: without it the library panics.
pub(crate) fn install() {
    // Only the first call has something to do.
    let _ = PROVIDER.install_default();
}
