//! What was found, as it is told: in bounds.

use serde_json::{Value, json};

use crate::tool::Repair;

/// The longest text of a difference.
const LONGEST: usize = 300;

/// A difference as it is told.
pub(super) fn difference(repair: &Repair) -> Value {
    let short = |text: &Option<String>| {
        let text = text.as_ref();
        text.map(|text| text.chars().take(LONGEST).collect::<String>())
    };
    json!({
        "what": repair.what,
        "found": short(&repair.found),
        "wanted": short(&repair.wanted),
    })
}

/// The first so many of several texts, and how many more there are.
pub(super) fn joined(mut texts: Vec<String>, most: usize) -> String {
    let more = texts.len().saturating_sub(most);
    texts.truncate(most);
    if more > 0 {
        texts.push(format!("and {more} more"));
    }
    texts.join("; ")
}
