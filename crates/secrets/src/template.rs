//! Files with references in them: `{{ towpath://TEAM/NAME }}`. Whatever else is in braces stays as it
//! stands, so that templates of other programs may have secrets in them too.

use kernel::{Location, Problem, Secret};

use crate::model::SecretRef;

/// A text with references in it, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Reference(SecretRef),
}

impl Template {
    /// Takes `text` apart, or says all that is wrong with it. `file` names it in problems.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let (mut pieces, mut problems) = (Vec::new(), Vec::new());
        let mut plain = String::new();
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            let inside = &rest[open + 2..];
            if !inside.trim_start().starts_with(SecretRef::SCHEME) {
                // Of three braces the last two may be ours.
                plain.push_str(&rest[..=open]);
                rest = &rest[open + 1..];
                continue;
            }
            plain.push_str(&rest[..open]);
            let at = text.len() - rest.len() + open;
            let Some(close) = inside.find("}}") else {
                problems.push(problem(
                    file,
                    text,
                    at,
                    "the braces are not closed",
                    "close them: }}",
                ));
                rest = "";
                break;
            };
            match inside[..close].trim().parse::<SecretRef>() {
                Ok(reference) => {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    pieces.push(Piece::Reference(reference));
                }
                Err(error) => {
                    let remedy = error.remedy.as_deref().unwrap_or_default();
                    problems.push(problem(file, text, at, &error.message, remedy));
                }
            }
            rest = &inside[close + 2..];
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain));
        if problems.is_empty() {
            Ok(Self { pieces })
        } else {
            Err(problems)
        }
    }

    /// All references, in order, each as often as it is there.
    pub fn references(&self) -> impl Iterator<Item = &SecretRef> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Reference(reference) => Some(reference),
            Piece::Text(_) => None,
        })
    }

    /// The text with values in place of the references; none where one has no value.
    pub fn render<'v>(&self, value: impl Fn(&SecretRef) -> Option<&'v Secret>) -> Option<Secret> {
        let mut bytes = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => bytes.extend_from_slice(text.as_bytes()),
                Piece::Reference(reference) => bytes.extend_from_slice(value(reference)?.expose()),
            }
        }
        Some(Secret::new(bytes))
    }
}

fn problem(file: &str, text: &str, at: usize, message: &str, remedy: &str) -> Problem {
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Problem::new("template/reference", "", message)
        .remedy(remedy)
        .at(Location {
            file: file.into(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            length: 0,
        })
}
