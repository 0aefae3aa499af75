//! Secrets: sealed before they reach the store, and shown by nothing. See [`crate::Sealer`].

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::{Error, Result, bytes::random};

/// Bytes that must not be seen. `Debug` and `Display` print `[secret]`; there is no `Serialize`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes `bytes` into care.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for the one place that hands them over. Name that place in review.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// `length` bytes that follow from these and from `info` (HKDF-SHA-256, RFC 5869).
    ///
    /// # Panics
    /// Where `length` exceeds 8160 bytes, the most that HKDF-SHA-256 gives.
    #[must_use]
    pub fn derive(&self, info: &str, length: usize) -> Self {
        let mut bytes = vec![0; length];
        hkdf::Hkdf::<Sha256>::new(None, &self.0)
            .expand(info.as_bytes(), &mut bytes)
            .expect("length is within what HKDF-SHA-256 gives");
        Self(bytes)
    }

    /// The same as text, for where nothing but a text will do.
    ///
    /// # Errors
    /// `Invalid` where the bytes are not UTF-8: in the place of a password nothing else may stand, least of
    /// all the empty one.
    pub fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.0).map_err(|error| {
            Error::invalid("a secret that is needed as text is not UTF-8")
                .remedy("write it anew, as text")
                .caused_by(error)
        })
    }

    /// The same as text, for where bytes will do as well; `None` where they are not UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

/// A secret that is text: a password, say, or a token. Shown by nothing either.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// The text, for the one place that hands it over. Name that place in review.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<SecretText> for Secret {
    fn from(secret: SecretText) -> Self {
        Self::from(secret.0)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Whether two are the same, in a time that tells nothing of where they differ: digests are compared, and
/// every byte of them.
pub fn same(one: impl AsRef<[u8]>, other: impl AsRef<[u8]>) -> bool {
    let (one, other) = (Sha256::digest(one), Sha256::digest(other));
    let differences = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(differences) == 0
}

/// A text of 256 random bits, as base64url: nobody guesses it.
///
/// # Errors
/// `Internal` where the system gives no random bytes.
pub fn random_token() -> Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(random::<32>()?))
}

/// The SHA-256 of a token, as base64url: what it is kept by, so that the token does not follow from it.
pub fn digest(token: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(token))
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_refused_and_not_taken_for_the_empty_text() {
        assert_eq!(Secret::from("pass").text().ok(), Some("pass"));
        let error = Secret::new([0xff, 0xfe]).text().unwrap_err();
        assert_eq!(error.kind, crate::ErrorKind::Invalid);
        assert!(!error.chain().contains("255"), "{}", error.chain());
    }
}
