//! Signatures as Standard Webhooks has them: HMAC-SHA-256 over id, time and body.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kernel::{Error, Result, Secret, bytes::random};
use ring::hmac;

/// What secrets begin with where people see them.
pub const PREFIX: &str = "whsec_";
/// Bytes of a secret that we draw.
const DRAWN: usize = 32;
/// Bytes of a secret that is given, by the standard.
const GIVEN: std::ops::RangeInclusive<usize> = 24..=64;

/// Draws a secret; as people see it.
pub fn draw() -> Result<Secret> {
    let bytes = random::<DRAWN>()?;
    Ok(Secret::from(format!("{PREFIX}{}", STANDARD.encode(bytes))))
}

/// The key that a secret stands for. The error does not show it.
pub fn key(secret: &Secret) -> Result<Secret> {
    let text = secret.text()?;
    let text = text.strip_prefix(PREFIX).unwrap_or(text);
    match STANDARD.decode(text) {
        Ok(bytes) if GIVEN.contains(&bytes.len()) => Ok(Secret::new(bytes)),
        _ => Err(Error::invalid(
            "the secret is not 24 to 64 bytes in base64, with or without `whsec_` before them",
        )
        .remedy(
            "leave it out, and one is drawn; or: printf whsec_; head -c 32 /dev/urandom | base64",
        )),
    }
}

/// One signature: what follows `v1,` included.
pub fn signature(key: &Secret, id: &str, timestamp: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose());
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{id}.{timestamp}.").as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign()))
}

/// The header: a signature by each key that is valid, the newest first.
pub fn signatures(keys: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let all: Vec<String> = keys
        .iter()
        .map(|key| signature(key, id, timestamp, body))
        .collect();
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the standard's own reference libraries.
    #[test]
    fn it_signs_as_the_standard_says() {
        let key = key(&Secret::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let signed = signature(
            &key,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_has_its_form() {
        let drawn = draw().unwrap();
        assert_eq!(key(&drawn).unwrap().expose().len(), 32);
        for bad in ["", "whsec_", "whsec_canary", "canary canary canary canary"] {
            let error = key(&Secret::from(bad)).unwrap_err();
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }
}
