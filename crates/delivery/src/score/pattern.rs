//! What names and notations the schema takes.

use super::quantity;

/// A rule for a text, with its words for people.
pub(super) struct Pattern {
    /// Whether the text keeps it.
    pub(super) accepts: fn(&str) -> bool,
    /// What is wrong where it does not: goes on after "`...` ".
    pub(super) wrong: &'static str,
    /// How to mend it.
    pub(super) remedy: &'static str,
}

const LABEL_REMEDY: &str =
    "use 2 to 63 of a-z, 0-9 and `-`, beginning and ending with a letter or digit";

pub(super) static API_VERSION: Pattern = Pattern {
    accepts: |text| text == "score.dev/v1b1",
    wrong: "is not a version of Score that is known here",
    remedy: "write `apiVersion: score.dev/v1b1`",
};

pub(super) static LABEL: Pattern = Pattern {
    accepts: |text| (2..=63).contains(&text.len()) && is_label(text),
    wrong: "is not a name",
    remedy: LABEL_REMEDY,
};

/// Resource names may have dots, as Score's own samples do.
pub(super) static RESOURCE_NAME: Pattern = Pattern {
    accepts: |text| (2..=63).contains(&text.len()) && text.split('.').all(is_label),
    wrong: "is not a name of a resource",
    remedy: "use 2 to 63 of a-z, 0-9, `-` and `.`, beginning and ending with a letter or digit",
};

pub(super) static RESOURCE_TYPE: Pattern = Pattern {
    accepts: |text| {
        (2..=63).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-')
    },
    wrong: "is not a type or class of a resource",
    remedy: "use 2 to 63 letters, digits and `-`, beginning and ending with a letter or digit",
};

pub(super) static RESOURCE_ID: Pattern = Pattern {
    accepts: |text| (2..=63).contains(&text.len()) && text.split('.').all(is_label),
    wrong: "is not an id of a resource",
    remedy: "use 2 to 63 of a-z, 0-9 and `-`, in parts separated by `.`",
};

pub(super) static ANNOTATION: Pattern = Pattern {
    accepts: |text| {
        let (prefix, name) = match text.split_once('/') {
            Some((prefix, name)) => (Some(prefix), name),
            None => (None, text),
        };
        let host = |host: &str| {
            host.split('.')
                .all(|label| (2..=63).contains(&label.len()) && is_label(label))
        };
        let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = name.as_bytes();
        text.len() <= 316
            && prefix.is_none_or(host)
            && (2..=63).contains(&bytes.len())
            && edge(bytes.first())
            && edge(bytes.last())
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    },
    wrong: "is not a name of an annotation",
    remedy: "use 2 to 63 letters, digits, `.`, `_` and `-`, after a host name and `/` if you like: \
             `example.com/owner`",
};

pub(super) static VARIABLE_NAME: Pattern = Pattern {
    accepts: |text| !text.is_empty() && !text.contains(['=', '\0']),
    wrong: "is not a name of a variable",
    remedy: "give it a name without `=`",
};

pub(super) static NO_NUL: Pattern = Pattern {
    accepts: |text| !text.contains('\0'),
    wrong: "has a NUL character, which no program can be given",
    remedy: "remove the NUL; bytes that are not text go into a file's `binaryContent`",
};

pub(super) static NOT_EMPTY: Pattern = Pattern {
    accepts: |text| !text.is_empty() && !text.contains('\0'),
    wrong: "has a NUL character",
    remedy: "write a value without it",
};

pub(super) static MODE: Pattern = Pattern {
    accepts: |text| quantity::file_mode(text).is_some(),
    wrong: "is not a file mode",
    remedy: "write three octal digits, in quotes: \"0644\"",
};

pub(super) static CPU: Pattern = Pattern {
    accepts: |text| quantity::cpu_millis(text).is_some(),
    wrong: "is not an amount of CPU",
    remedy: "write cores, or thousandths of a core with `m`: \"2\", \"0.5\", \"125m\"",
};

pub(super) static MEMORY: Pattern = Pattern {
    accepts: |text| quantity::memory_bytes(text).is_some(),
    wrong: "is not an amount of memory",
    remedy: "write bytes, with K, M, G, T or Ki, Mi, Gi, Ti if you like: \"128M\", \"1Gi\"",
};

pub(super) static HEADER_NAME: Pattern = Pattern {
    accepts: |text| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    },
    wrong: "is not a name of an HTTP header",
    remedy: "use letters, digits, `_` and `-`",
};

pub(super) static HEADER_VALUE: Pattern = Pattern {
    accepts: |text| !text.is_empty() && !text.contains(['\r', '\n', '\0']),
    wrong: "is not a value of an HTTP header",
    remedy: "write it in one line, and not empty",
};

/// `a-z0-9-`, beginning and ending with a letter or digit; any length but 0.
fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}
