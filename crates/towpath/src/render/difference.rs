//! What differs between two revisions of a definition, for people.

use std::fmt::Write as _;

use delivery::{
    api::RevisionDifference,
    definition::{RevisionChange, as_written},
};
use serde_json::Value;

/// A line for each place; texts of several lines are compared line by line.
pub(crate) fn text(difference: &RevisionDifference) -> String {
    let mut text = format!(
        "resource definition {}: revision {} -> {}\n",
        difference.definition, difference.from, difference.to
    );
    if difference.changes.is_empty() {
        text.push_str("both say the same\n");
    }
    for change in &difference.changes {
        line(&mut text, change);
    }
    as_written(text.trim_end())
}

fn line(text: &mut String, change: &RevisionChange) {
    let RevisionChange {
        path,
        before,
        after,
    } = change;
    let _ = match (before, after) {
        (Some(Value::String(before)), Some(Value::String(after)))
            if before.contains('\n') || after.contains('\n') =>
        {
            writeln!(text, "~ {path}:").and_then(|()| lines(text, before, after))
        }
        (Some(before), Some(after)) => writeln!(text, "~ {path}: {before} -> {after}"),
        (None, Some(after)) => writeln!(text, "+ {path}: {after}"),
        (Some(before), None) => writeln!(text, "- {path}: {before}"),
        (None, None) => Ok(()),
    };
}

/// The lines between those that both texts begin and end with.
fn lines(text: &mut String, before: &str, after: &str) -> std::fmt::Result {
    let (before, after): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    let same = |pair: &(&&str, &&str)| pair.0 == pair.1;
    let head = before.iter().zip(&after).take_while(same).count();
    let (before, after) = (&before[head..], &after[head..]);
    let tail = before.iter().rev().zip(after.iter().rev());
    let tail = tail.take_while(same).count();
    for line in &before[..before.len() - tail] {
        writeln!(text, "    - {line}")?;
    }
    for line in &after[..after.len() - tail] {
        writeln!(text, "    + {line}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_sort_of_change() {
        let difference: RevisionDifference = serde_json::from_value(json!({
            "definition": "postgres-default", "from": 1, "to": 3,
            "changes": [
                { "path": "criteria", "after": { "role": "prod" } },
                { "path": "outputs", "before": "port" },
                { "path": "params.size", "before": 10, "after": 20 },
                { "path": "params.setup", "before": "a\nb\nc\nd", "after": "a\nx\nc2\nd" },
            ],
        }))
        .unwrap();
        assert_eq!(
            text(&difference),
            "resource definition postgres-default: revision 1 -> 3\n\
             + criteria: {\"role\":\"prod\"}\n\
             - outputs: \"port\"\n\
             ~ params.size: 10 -> 20\n\
             ~ params.setup:\n    - b\n    - c\n    + x\n    + c2"
        );
    }
}
