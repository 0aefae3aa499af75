//! Bytes: from where nobody guesses them, and as text.

use std::fmt::Write as _;

use rand::{TryRngCore as _, rngs::OsRng};

use crate::{Error, Result};

/// Fills `bytes` from the system's source of randomness: for keys, tokens and salts.
///
/// # Errors
/// Where the system has none to give: nothing weaker takes its place.
pub fn fill_random(bytes: &mut [u8]) -> Result<()> {
    OsRng
        .try_fill_bytes(bytes)
        .map_err(|error| Error::internal("the system gave no random bytes", error))
}

/// So many random bytes, as [`fill_random`] gives them.
///
/// # Errors
/// As [`fill_random`].
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    fill_random(&mut bytes)?;
    Ok(bytes)
}

/// `bytes` in lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let text = String::with_capacity(2 * bytes.len());
    bytes.iter().fold(text, |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_two_digits() {
        assert_eq!(hex(&[0, 1, 0x0f, 0xa0, 0xff]), "00010fa0ff");
        assert_eq!(hex(&[]), "");
    }

    #[test]
    fn no_two_drawings_are_the_same() {
        assert_ne!(random::<32>().unwrap(), random::<32>().unwrap());
    }
}
