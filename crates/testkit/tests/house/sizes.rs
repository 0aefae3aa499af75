//! How long a file may be: what does not fit into one is several things.

use std::{collections::BTreeMap, fs};

use crate::{root, sources};

/// Lines of a file at the most.
const MOST: usize = 500;

/// Tests that are longer, and how long. The list only shrinks: what is split leaves it, and what has become
/// shorter is written down as that.
const LONGER: [(&str, usize); 4] = [
    ("crates/identity/tests/flows/upstream.rs", 501),
    ("crates/secrets/tests/keep/vault.rs", 572),
    ("crates/towpath/tests/commands.rs", 527),
    ("crates/towpath/tests/login.rs", 558),
];

#[test]
fn no_file_is_too_long() {
    let root = root();
    let mut files = Vec::new();
    for folder in ["crates", "examples", "fuzz"] {
        sources(&root.join(folder), &mut files);
    }
    assert!(files.len() > 300, "only {} files", files.len());
    let longer: BTreeMap<&str, usize> = LONGER.into_iter().collect();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in files {
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap();
        if name.split('/').any(|part| part == "target") {
            continue;
        }
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        let allowed = longer.get(name).copied();
        seen += usize::from(allowed.is_some());
        match allowed {
            Some(most) if lines <= MOST => {
                wrong.push(format!(
                    "{name}: {lines} lines, not {most}: take it off the list"
                ));
            }
            Some(most) if lines < most => {
                wrong.push(format!(
                    "{name}: {lines} lines: write that instead of {most}"
                ));
            }
            _ if lines > allowed.unwrap_or(MOST) => {
                wrong.push(format!(
                    "{name}: {lines} lines: split it by what it is about"
                ));
            }
            _ => {}
        }
    }
    assert_eq!(seen, LONGER.len(), "the list names a file that is gone");
    assert!(
        wrong.is_empty(),
        "STYLE: {MOST} lines at the most.\n{}",
        wrong.join("\n")
    );
}
