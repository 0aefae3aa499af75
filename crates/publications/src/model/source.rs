//! Who publishes an event: a URI-reference (RFC 3986) that is not the platform's own.

use kernel::cause::controls;
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
    if hides(text) {
        return Err(
            "the source holds escapes of characters that nobody sees: leave them out".into(),
        );
    }
    if leads_away(text, &url) {
        return Ok(());
    }
    // Who undoes them sooner or later than others reads another path.
    if misleads(text) {
        return Err(
            "a source without a host holds no escapes of blanks, of `/`, `\\`, `.`, `%`, `?` and `#`, or of what is no UTF-8: write it without them, or as a URI of a host of yours"
                .into(),
        );
    }
    // However it is written: in capitals, with escapes, around corners, as a host.
    let first = url.path().split('/').find(|word| !word.is_empty());
    if [first, url.host_str()].into_iter().flatten().any(is_ours) {
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
    // What has no scheme has no colon before its first slash (4.2).
    let first = text.split(['/', '?', '#']).next().unwrap_or_default();
    !text.is_empty() && (!first.contains(':') || after_scheme(text).is_some())
}

/// What follows the scheme (RFC 3986, 3.1), where there is one.
fn after_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let is_scheme =
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(good);
    is_scheme.then_some(rest)
}

/// Whether it is a URI of a host that it names, or of no place at all: `urn:...`, `mailto:...`. A scheme alone
/// does not do: `https:/towpath/1` leads to whichever host it is read at.
fn leads_away(text: &str, url: &Url) -> bool {
    let Some(rest) = after_scheme(text) else {
        return false;
    };
    let names_host = rest.starts_with("//") && !rest.starts_with("///");
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    url.cannot_be_a_base() || (names_host && has_host)
}

/// Whether it holds what nobody sees, however often that is escaped.
fn hides(text: &str) -> bool {
    let mut plain = text.as_bytes().to_vec();
    loop {
        let plainer = unescaped(&plain);
        // Each escape that is undone makes it shorter.
        if plainer.len() == plain.len() {
            break;
        }
        plain = plainer;
    }
    String::from_utf8_lossy(&plain).chars().any(is_unseen)
}

/// Whether a character is not seen: a control, a blank other than a space, or what Unicode has programs leave out
/// where they do not know it (`Default_Ignorable_Code_Point`, and what annotates lines).
fn is_unseen(c: char) -> bool {
    controls(c)
        || (c != ' ' && c.is_whitespace())
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Whether it holds escapes by which it leads elsewhere once they are undone.
fn misleads(text: &str) -> bool {
    let leads = |byte: u8| byte.is_ascii_control() || b" /\\.%?#".contains(&byte);
    let escaped = text.split('%').skip(1);
    escaped.filter_map(|text| hex(text.as_bytes())).any(leads)
        || String::from_utf8(unescaped(text.as_bytes())).is_err()
}

/// Whether a word of a path, or a host, reads as the platform's: with whatever is no letter after it, such as the
/// parameters of `towpath;v=1` or the dot at the end of a host. `towpath-ci` and `towpath.example` are others' words.
fn is_ours(word: &str) -> bool {
    let plain = String::from_utf8_lossy(&unescaped(word.as_bytes())).into_owned();
    let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '~' | '.');
    let end = plain.find(|c| !goes_on(c)).unwrap_or(plain.len());
    plain[..end]
        .trim_end_matches('.')
        .eq_ignore_ascii_case(OURS)
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
            "https://ci.example.com/towpath/x",
            "https://ci.example.com/job/a%20b%2Fmain/%252e",
            "svn+ssh://ci.example.com/towpath",
            "//ci.example.com:8443/7",
            "/towpath-ci/1",
            "towpath.example/1",
            "/scanners/pr%C3%BCfer;v=1",
            "/a/1:/b",
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
            "/towpath%2F0199",
            "/%2Ftowpath/0199",
            "%2Ftowpath/0199",
            "/a/..%2ftowpath/1",
            "/a%2f../towpath/1",
            "/x%2fa/../towpath/1",
            "/x%2fa/%2e%2e/towpath/1",
            "/%3f/../towpath/1",
            "/a%5c../towpath/1",
            "/towpath%00/0199",
            "/towpath%20/0199",
            "/towpath%C2%A0/0199",
            "/towpath;a/0199",
            "/towpath,a/0199",
            "/TOWPATH./1",
            "/tow%C2%ADpath/1",
            "/tow%E2%80%8Bpath/1",
            "/tow%25C2%25ADpath/1",
            "/tow%ffpath/1",
            "/%2574owpath/0199",
            "/%25252574owpath/0199",
            "//TOWPATH./1",
            "//ci@towpath:80/1",
            ".:/towpath/1",
            "1:/towpath/x",
            "a_b:/towpath/x",
            ":/towpath/x",
            "x:/towpath/1",
            "https:/towpath/1",
            "https:towpath/1",
            "https:///towpath/1",
            "file:///towpath/1",
            "https://ci.example.com/a%0Ab",
            "https://ci.example.com/a%25E2%2580%258Bb",
            &"a".repeat(513),
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
