//! Labels that people give, by Kubernetes' rules: what carries them there can carry them here. The platform's own
//! labels name what they are about, a host or a subject, and are not under these rules.

use std::collections::BTreeMap;

use crate::{Error, Name, Result};

/// Labels of one resource, at the most.
pub const MOST: usize = 64;
/// The longest name of a label, and the longest value.
const LONGEST: usize = 63;
/// The longest prefix of a key: that of a DNS name.
const LONGEST_PREFIX: usize = 253;
/// As much of a key as an error repeats.
const SHOWN: usize = 80;

/// Refuses labels that are too many, or of which one is not as a label is.
pub fn check(labels: &BTreeMap<String, String>) -> Result<()> {
    if labels.len() > MOST {
        return Err(Error::invalid(format!(
            "there are {} labels, and a resource has {MOST} at the most",
            labels.len()
        ))
        .remedy("leave some out"));
    }
    for (key, value) in labels {
        let shown: String = key.chars().take(SHOWN).collect();
        let shown = shown.escape_debug();
        if !is_key(key) {
            return Err(
                Error::invalid(format!("the label `{shown}` has a key that is none")).remedy(
                    "use up to 63 letters, digits, `.`, `_` and `-`, beginning and ending with a letter or digit; \
                     before them, if wanted, a DNS name and a `/`",
                ),
            );
        }
        if !value.is_empty() && !is_word(value) {
            return Err(
                Error::invalid(format!("the label `{shown}` has a value that is none")).remedy(
                    "use up to 63 letters, digits, `.`, `_` and `-`, beginning and ending with a letter or digit, \
                     or nothing",
                ),
            );
        }
    }
    Ok(())
}

fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        None => is_word(key),
        Some((prefix, name)) => {
            let is_domain = prefix.split('.').all(|label| Name::new(label).is_ok());
            prefix.len() <= LONGEST_PREFIX && is_domain && is_word(name)
        }
    }
}

fn is_word(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
    let outer = |c: char| c.is_ascii_alphanumeric();
    (1..=LONGEST).contains(&text.len())
        && text.chars().all(inner)
        && text.starts_with(outer)
        && text.ends_with(outer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &str, value: &str) -> Result<()> {
        check(&[(key.to_owned(), value.to_owned())].into())
    }

    #[test]
    fn what_kubernetes_takes_is_taken() {
        let (longest, prefix) = ("a".repeat(63), "a.".repeat(126) + "b");
        for key in ["a", "Tier", "a_b.c-9", "acme.example/tier", &longest] {
            one(key, "").unwrap();
            one(key, "SHOP-17").unwrap();
            one(key, &longest).unwrap();
        }
        one(&format!("{prefix}/{longest}"), "v1.2_3").unwrap();
    }

    #[test]
    fn anything_else_is_refused_by_its_key() {
        let (long, prefix) = ("a".repeat(64), "a.".repeat(126) + "bc");
        let long_prefix = format!("{prefix}/a");
        for key in [
            "",
            "-a",
            "a-",
            "a b",
            "a/b/c",
            "/a",
            "a/",
            "A.b/c",
            "a..b/c",
            "é",
            "a\0",
            &long,
            &long_prefix,
        ] {
            let error = one(key, "a").unwrap_err().to_string();
            assert!(error.contains("has a key that is none"), "{key:?}: {error}");
        }
        for value in ["-", "a b", "a/b", "local:ada", "é", "a\n", &long] {
            let error = one("tier", value).unwrap_err().to_string();
            assert!(
                error.contains("the label `tier` has a value"),
                "{value:?}: {error}"
            );
        }
    }

    #[test]
    fn there_are_no_more_than_a_resource_has() {
        let many = |count: usize| {
            let all = (0..count).map(|n| (format!("l{n}"), String::new()));
            check(&all.collect())
        };
        many(MOST).unwrap();
        many(MOST + 1).unwrap_err();
    }
}
