//! Whoever reads events finds each type in the guide, and none that there is not.

use std::{collections::BTreeSet, fs};

use crate::{actions, root, shipped_code};

/// Words of the same shape that are no types of events.
const OTHERS: [&str; 3] = [
    // The platform's key, as a file.
    "platform.key",
    // Of a team, in what an integration's templates are told.
    "team.complete",
    "team.members",
];

/// Whether it is a noun and what happened to it: `resource-instance.drifted`.
fn is_type(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty()
            && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
            && !word.starts_with('-')
            && !word.ends_with('-')
    };
    matches!(text.split_once('.'), Some((noun, verb)) if word(noun) && word(verb))
}

fn noun(kind: &str) -> &str {
    kind.split('.').next().unwrap_or_default()
}

/// The types in the tables of the guide.
fn documented() -> BTreeSet<String> {
    let guide = fs::read_to_string(root().join("docs/events.md")).unwrap();
    let rows = guide.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split('`').next())
        .filter(|kind| is_type(kind))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_guide_to_events_names_every_type_and_no_other() {
    let documented = documented();
    assert!(documented.len() > 100, "only {documented:?}");
    let nouns: BTreeSet<&str> = documented.iter().map(|kind| noun(kind)).collect();
    let mut known = actions();
    known.extend(OTHERS.map(str::to_owned));
    // Told by the store of every write, each by its last word.
    let mut told: BTreeSet<String> = [
        "created",
        "changed",
        "status-changed",
        "deleting",
        "removed",
    ]
    .map(|what| format!("resource.{what}"))
    .into();
    for code in shipped_code() {
        for text in code.split('"') {
            let text = text.strip_prefix("dev.towpath.").unwrap_or(text);
            if is_type(text) && nouns.contains(noun(text)) && !known.contains(text) {
                told.insert(text.to_owned());
            }
        }
        // Of a noun that the guide does not know yet.
        for call in code.split("NewEvent::caused(").skip(1) {
            let what = call.split(',').next().unwrap_or_default().trim();
            // Said by a name of its own where several speak of it.
            let named = format!("const {what}: &str = \"");
            let Some(rest) = what
                .strip_prefix('"')
                .or_else(|| Some(code.split_once(&named)?.1))
            else {
                continue;
            };
            told.insert(rest.split('"').next().unwrap_or_default().to_owned());
        }
    }
    let missing: Vec<_> = told.difference(&documented).collect();
    assert!(
        missing.is_empty(),
        "docs/events.md: say when they happen and what they tell: {missing:#?}"
    );
    let gone: Vec<_> = documented.difference(&told).collect();
    assert!(gone.is_empty(), "docs/events.md: nothing tells {gone:#?}");
}
