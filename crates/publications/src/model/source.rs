//! Who publishes an event: a URI-reference (RFC 3986) that is not the platform's own.

use url::Url;

use super::longest;

/// What the platform's own source begins with: `/towpath/<platform id>`.
const OURS: &str = "towpath";
/// Where references are taken from, to see where they lead.
const HERE: &str = "https://here.invalid/";

/// Whether `text` is a URI-reference, and leads nowhere near the platform's own source.
pub(super) fn check(text: &str) -> Result<(), String> {
    longest(text, 512)?;
    if !is_reference(text) {
        return Err(
            "a source is a URI, or a reference to one, without blanks: `https://ci.example.com/pipelines/7`, `/scanners/trivy`"
                .into(),
        );
    }
    let base = Url::parse(HERE).map_err(|error| error.to_string())?;
    let url = base
        .join(text)
        .map_err(|error| format!("the source is no URI: {error}"))?;
    // However it is written: in capitals, with escapes, around corners, as a host.
    let first = url.path().split('/').find(|word| !word.is_empty());
    let near = [first, url.host_str()];
    let is_ours = near.into_iter().flatten().any(|word| decoded(word) == OURS);
    if is_ours && !has_scheme(text) {
        return Err(
            "sources that begin with `/towpath` are the platform's own: say by a URI of yours who publishes it"
                .into(),
        );
    }
    Ok(())
}

/// The characters of RFC 3986, with whole escapes.
fn is_reference(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let good = match byte {
            b'%' => {
                let mut hex = || bytes.next().is_some_and(|b| b.is_ascii_hexdigit());
                hex() && hex()
            }
            _ => byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(&byte),
        };
        if !good {
            return false;
        }
    }
    !text.is_empty()
}

fn has_scheme(text: &str) -> bool {
    let scheme = text.split([':', '/', '?', '#']).next().unwrap_or_default();
    text[scheme.len()..].starts_with(':') && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// A word of a path without escapes, in small letters.
fn decoded(word: &str) -> String {
    String::from_utf8_lossy(&unescaped(word.as_bytes())).to_ascii_lowercase()
}

/// A text without percent-encoding (RFC 3986, 2.1); what is no escape stays.
pub(crate) fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = if byte == b'%' { hex(after) } else { None };
        plain.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() {
            &after[2..]
        } else {
            after
        };
    }
    plain
}

/// The byte that two digits say.
fn hex(digits: &[u8]) -> Option<u8> {
    let digits = digits.get(..2)?;
    // `+4` is a number to Rust.
    let digits = std::str::from_utf8(digits)
        .ok()
        .filter(|_| digits.iter().all(u8::is_ascii_hexdigit))?;
    u8::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_anybodys_but_the_platforms() {
        for good in [
            "https://ci.example.com/pipelines/7?run=1#end",
            "/scanners/trivy",
            "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
            "mailto:cncf-wg-serverless@lists.cncf.io",
            "acme-scanner",
            "towpaths",
            "https://acme.example/towpath/1",
            "https://github.com/acme/towpath",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a b",
            "a\nb",
            "%zz",
            "%4",
            "名前",
            "/towpath/0199",
            "/Towpath/0199",
            "towpath/0199",
            "towpath",
            "//towpath/0199",
            "///towpath/0199",
            "/./towpath/0199",
            "/a/../towpath/0199",
            "/%74owpath/0199",
            "/%54OWPATH/0199",
            "/%2e/towpath",
            "a/%2e%2e/towpath/1",
            &"a".repeat(513),
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
