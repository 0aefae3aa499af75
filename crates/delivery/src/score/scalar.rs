//! What a plain scalar of YAML stands for.

use serde_json::Number;

use super::tree::Content;

/// A plain scalar by the core schema of YAML 1.2. Infinities and NaN, which JSON does not have, are
/// text.
pub(super) fn plain(text: &str) -> Content {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Content::Null,
        "true" | "True" | "TRUE" => return Content::Bool(true),
        "false" | "False" | "FALSE" => return Content::Bool(false),
        _ => {}
    }
    number(text).map_or_else(|| Content::Text(text.to_owned()), Content::Number)
}

fn number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0o") {
        return Some(u64::from_str_radix(unsigned(digits)?, 8).ok()?.into());
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return Some(u64::from_str_radix(unsigned(digits)?, 16).ok()?.into());
    }
    let magnitude = text.strip_prefix(['-', '+']).unwrap_or(text);
    let looks_like_one = magnitude.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && magnitude.contains(|c: char| c.is_ascii_digit())
        && magnitude
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    if !looks_like_one {
        return None;
    }
    let bare = text.strip_prefix('+').unwrap_or(text);
    let integer = bare.parse::<i64>().map(Number::from);
    integer
        .or_else(|_| bare.parse::<u64>().map(Number::from))
        .ok()
        .or_else(|| Number::from_f64(bare.parse().ok()?))
}

/// Digits without a sign, which `from_str_radix` would take.
fn unsigned(digits: &str) -> Option<&str> {
    (!digits.starts_with(['+', '-'])).then_some(digits)
}
