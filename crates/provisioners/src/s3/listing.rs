//! Listings: a page of keys and common prefixes, in the order of the keys.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use super::record::Record;

/// The most that a page holds, as with every S3.
const PAGE: usize = 1000;
/// Greater than any character of a key: after a prefix, it stands behind all that the prefix begins.
const LAST: char = char::MAX;

/// Which page is asked for.
pub(super) struct Wanted<'a> {
    pub(super) prefix: &'a str,
    pub(super) delimiter: &'a str,
    /// Only what comes after this.
    pub(super) after: &'a str,
    pub(super) most: Option<i32>,
}

/// A page.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) objects: Vec<Arc<Record>>,
    pub(super) prefixes: Vec<String>,
    /// Where the next page begins; none on the last.
    pub(super) next: Option<String>,
    pub(super) most: i32,
}

/// The page of `objects` that is `wanted`.
pub(super) fn list(objects: &BTreeMap<String, Arc<Record>>, wanted: &Wanted<'_>) -> Page {
    let most = wanted
        .most
        .map_or(PAGE, |most| usize::try_from(most).unwrap_or(0).min(PAGE));
    let mut page = Page {
        most: most as i32,
        ..Page::default()
    };
    if most == 0 {
        return page;
    }
    let mut after = if wanted.after < wanted.prefix {
        Bound::Included(wanted.prefix.to_owned())
    } else {
        Bound::Excluded(wanted.after.to_owned())
    };
    let mut last = String::new();
    while let Some((key, record)) = objects
        .range((after, Bound::Unbounded))
        .next()
        .filter(|(key, _)| key.starts_with(wanted.prefix))
    {
        if page.objects.len() + page.prefixes.len() == most {
            page.next = Some(last);
            break;
        }
        last = if let Some(prefix) = common_prefix(key, wanted) {
            page.prefixes.push(prefix.to_owned());
            behind(prefix)
        } else {
            page.objects.push(Arc::clone(record));
            key.clone()
        };
        after = Bound::Excluded(last.clone());
    }
    page
}

/// What stands behind all keys that begin with `prefix`.
pub(super) fn behind(prefix: &str) -> String {
    format!("{prefix}{LAST}")
}

fn common_prefix<'k>(key: &'k str, wanted: &Wanted<'_>) -> Option<&'k str> {
    if wanted.delimiter.is_empty() {
        return None;
    }
    let rest = &key[wanted.prefix.len()..];
    let end = wanted.prefix.len() + rest.find(wanted.delimiter)? + wanted.delimiter.len();
    Some(&key[..end])
}

/// `text` as `encoding-type=url` wants it: all but unreserved characters and `/` in percent.
pub(super) fn url_encoded(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::s3::record::{About, Sums, now};

    fn objects(keys: &[String]) -> BTreeMap<String, Arc<Record>> {
        let record = |key: &String| Record {
            key: key.clone(),
            data: uuid::Uuid::nil(),
            size: 0,
            etag: String::new(),
            modified: now(),
            about: About::default(),
            sums: Sums::default(),
        };
        keys.iter()
            .map(|key| (key.clone(), Arc::new(record(key))))
            .collect()
    }

    proptest! {
        /// Page by page it gives what one look at all keys gives, each once.
        #[test]
        fn pages_together_are_the_whole(
            keys in proptest::collection::vec("[ab/é]{1,6}", 0..40),
            prefix in "[ab/]{0,2}",
            delimiter in prop_oneof![Just(""), Just("/"), Just("b")],
            most in 1_i32..5,
        ) {
            let objects = objects(&keys);
            let mut plain = Vec::new();
            let mut grouped = std::collections::BTreeSet::new();
            for key in objects.keys().filter(|key| key.starts_with(&prefix)) {
                let rest = &key[prefix.len()..];
                match rest.find(delimiter).filter(|_| !delimiter.is_empty()) {
                    Some(at) => { grouped.insert(format!("{prefix}{}", &rest[..at + delimiter.len()])); }
                    None => plain.push(key.clone()),
                }
            }
            let (mut got, mut got_grouped, mut after) = (Vec::new(), Vec::new(), String::new());
            loop {
                let wanted = Wanted { prefix: &prefix, delimiter, after: &after, most: Some(most) };
                let page = list(&objects, &wanted);
                prop_assert!(page.objects.len() + page.prefixes.len() <= most as usize);
                got.extend(page.objects.iter().map(|record| record.key.clone()));
                got_grouped.extend(page.prefixes);
                match page.next {
                    Some(next) => after = next,
                    None => break,
                }
            }
            prop_assert_eq!(got, plain);
            prop_assert_eq!(got_grouped, grouped.into_iter().collect::<Vec<_>>());
        }
    }
}
