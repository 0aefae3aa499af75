//! Answers for programs.

use serde::Serialize;

use crate::context::Format;

/// `value` in `format`; text counts as YAML, which people can read.
pub(crate) fn text(format: Format, value: &impl Serialize) -> String {
    match format {
        Format::Json => serde_json::to_string_pretty(value).expect("our own types are JSON"),
        Format::Text | Format::Yaml => {
            serde_yaml_ng::to_string(value).expect("our own types are YAML")
        }
    }
}

/// `value` as one line of JSON.
pub(crate) fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our own types are JSON")
}
