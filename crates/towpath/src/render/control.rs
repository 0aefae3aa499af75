//! Control characters: what others wrote is shown to a terminal, and never obeyed by it.

use std::{borrow::Cow, fmt::Write as _};

/// `text` with its control characters written out, as `\u{1b}`; lines and tabs stay.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    written_out(text, |_| None)
}

/// The same, with colours left in.
pub(crate) fn coloured(text: &str) -> Cow<'_, str> {
    written_out(text, colour)
}

/// The colour (SGR) that `text` begins with: `ESC [ 1 ; 31 m`.
fn colour(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("\u{1b}[")?;
    let end = rest.find(|c: char| !matches!(c, '0'..='9' | ';' | ':'))?;
    let whole = text.len() - rest.len() + end + 1;
    rest[end..].starts_with('m').then(|| &text[..whole])
}

/// `text` without control characters but those that `keep` finds at its beginning.
fn written_out(text: &str, keep: impl Fn(&str) -> Option<&str>) -> Cow<'_, str> {
    let is_obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let taken = if !is_obeyed(next) {
            out.push(next);
            next.len_utf8()
        } else if let Some(kept) = keep(rest) {
            out.push_str(kept);
            kept.len()
        } else {
            let _ = write!(out, "{}", next.escape_unicode());
            next.len_utf8()
        };
        rest = &rest[taken..];
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        for (text, wanted) in [
            ("plain\n\tä \u{1f980}", "plain\n\tä \u{1f980}"),
            ("\u{1b}[2J\u{1b}[31m", "\\u{1b}[2J\\u{1b}[31m"),
            ("a\rb\u{7}\u{0}", "a\\u{d}b\\u{7}\\u{0}"),
            ("\u{7f}\u{9b}2J", "\\u{7f}\\u{9b}2J"),
        ] {
            assert_eq!(shown(text), wanted);
        }
    }

    #[test]
    fn of_a_log_only_colours_pass() {
        for (text, wanted) in [
            ("\u{1b}[1;31mred\u{1b}[m", "\u{1b}[1;31mred\u{1b}[m"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("\u{1b}[31", "\\u{1b}[31"),
            ("\u{9b}31m", "\\u{9b}31m"),
        ] {
            assert_eq!(coloured(text), wanted);
        }
    }
}
