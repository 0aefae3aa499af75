//! The keys of our own tokens: RS256, which every OpenID client and every Kubernetes API server
//! takes without being configured to.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, encode};
use kernel::{Error, Result, Secret};
use rsa::{
    RsaPrivateKey, pkcs1::EncodeRsaPrivateKey as _, rand_core::OsRng, traits::PublicKeyParts as _,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::provider;
use crate::model::{KeyPhase, PublishedKey};

/// What NIST asks for until 2030; a larger one makes each verification dearer, here and elsewhere.
const BITS: usize = 2048;

/// Draws a key, which takes up to a second of a core. Gives both halves; the private one in PKCS#1.
pub(crate) async fn draw(slot: u8, now: Timestamp) -> Result<(PublishedKey, Secret)> {
    let drawn = tokio::task::spawn_blocking(|| RsaPrivateKey::new(&mut OsRng, BITS));
    let key = drawn
        .await
        .map_err(|error| Error::internal("a signing key could not be drawn", error))?
        .map_err(|error| Error::internal("a signing key could not be drawn", error))?;
    let private = key
        .to_pkcs1_der()
        .map_err(|error| Error::internal("a signing key could not be written", error))?;
    let n = key.n().to_bytes_be();
    let published = PublishedKey {
        kid: URL_SAFE_NO_PAD.encode(&Sha256::digest(&n)[..12]),
        n: URL_SAFE_NO_PAD.encode(&n),
        e: URL_SAFE_NO_PAD.encode(key.e().to_bytes_be()),
        phase: KeyPhase::Next,
        slot,
        since: now,
        until: None,
    };
    Ok((published, Secret::new(private.as_bytes())))
}

/// The name of a private key among the ring's secrets.
pub(crate) fn secret_name(slot: u8) -> String {
    format!("private-{slot}")
}

/// The key that signs.
pub(crate) struct SigningKey {
    kid: String,
    key: EncodingKey,
}

impl SigningKey {
    pub(crate) fn new(kid: impl Into<String>, private: &Secret) -> Self {
        Self {
            kid: kid.into(),
            key: EncodingKey::from_rsa_der(private.expose()),
        }
    }

    /// Signs `claims` as a token of type `typ`.
    pub(crate) fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String> {
        provider::install()?;
        let header = Header {
            typ: Some(typ.into()),
            kid: Some(self.kid.clone()),
            ..Header::new(Algorithm::RS256)
        };
        encode(&header, claims, &self.key)
            .map_err(|error| Error::internal("a token could not be signed", error))
    }
}

/// What verifies the tokens of a published key.
pub(crate) fn verifying(key: &PublishedKey) -> Result<DecodingKey> {
    DecodingKey::from_rsa_components(&key.n, &key.e)
        .map_err(|error| Error::internal("a published key is not readable", error))
}
