//! Under which licences we build.

use std::{collections::BTreeSet, fs, process::Command};

use crate::{metadata, root, text};

/// The licences that `deny.toml` allows: one list for both.
fn allowed_licences() -> BTreeSet<String> {
    let deny = fs::read_to_string(root().join("deny.toml")).unwrap();
    let (_, list) = deny.split_once("\nallow = [").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    list.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Whether an SPDX expression can be met with `allowed` licences. `AND` binds closer than `OR`;
/// older manifests write `/` for `OR`.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    type Words = std::iter::Peekable<std::vec::IntoIter<String>>;
    fn any(words: &mut Words, ok: &BTreeSet<String>) -> bool {
        let mut met = all(words, ok);
        while words.next_if(|word| word == "OR").is_some() {
            met |= all(words, ok);
        }
        met
    }
    fn all(words: &mut Words, ok: &BTreeSet<String>) -> bool {
        let mut met = one(words, ok);
        while words.next_if(|word| word == "AND").is_some() {
            met &= one(words, ok);
        }
        met
    }
    fn one(words: &mut Words, ok: &BTreeSet<String>) -> bool {
        let word = words.next().unwrap_or_default();
        if word == "(" {
            let met = any(words, ok);
            words.next();
            return met;
        }
        match words
            .next_if(|word| word == "WITH")
            .and_then(|_| words.next())
        {
            Some(exception) => ok.contains(&format!("{word} WITH {exception}")),
            None => ok.contains(&word),
        }
    }
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<String> = spaced.split_whitespace().map(str::to_owned).collect();
    any(&mut words.into_iter().peekable(), allowed)
}

#[test]
fn every_dependency_has_a_licence_that_we_allow() {
    let allowed = allowed_licences();
    assert!(is_allowed("MIT/Apache-2.0", &allowed));
    assert!(is_allowed("GPL-3.0 OR (MIT AND ISC)", &allowed));
    assert!(!is_allowed("GPL-3.0 AND MIT", &allowed));
    assert!(!is_allowed("", &allowed));
    // Only what is built here: packages for other systems need not have been fetched.
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let about = String::from_utf8(rustc.stdout).unwrap();
    let host = about
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    let metadata = metadata(&["--filter-platform", host]);
    let wrong: Vec<String> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|package| !is_allowed(text(&package["license"]), &allowed))
        .map(|package| {
            format!(
                "{} {}: {}",
                package["name"], package["version"], package["license"]
            )
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "licences beyond deny.toml:\n{}",
        wrong.join("\n")
    );
}
