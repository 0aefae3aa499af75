//! The house's rules that a compiler does not check: which crate may know which, where a language or
//! a protocol may be spoken, how long a file may be, that the API's description names what is routed, and
//! that the guides name places that exist.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

mod api;
mod arrows;
mod events;
mod sizes;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Every Rust file below `directory`.
fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The shipped files of all crates, by path.
fn shipped() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        sources(&entry.unwrap().path().join("src"), &mut files);
    }
    assert!(
        files.len() > 50,
        "only {} files: is this the workspace?",
        files.len()
    );
    files
}

/// The code of each shipped file, without its comments and its own tests.
fn shipped_code() -> impl Iterator<Item = String> {
    shipped().into_iter().map(|file| code_of(&file))
}

/// The code of `file`, without its comments and its own tests.
fn code_of(file: &Path) -> String {
    let source = fs::read_to_string(file).unwrap();
    let code = source.split("\n#[cfg(test)]").next().unwrap_or_default();
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The shipped files of all crates that speak of `mark` in code, by path from the root.
fn speaking_of(mark: &str) -> Vec<String> {
    let root = root();
    shipped()
        .into_iter()
        .filter(|file| {
            let source = fs::read_to_string(file).unwrap();
            let mut code = source
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            code.any(|line| line.contains(mark))
        })
        .map(|file| {
            file.strip_prefix(&root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}

fn assert_only(mark: &str, allowed: impl Fn(&str) -> bool, rule: &str) {
    let strays: Vec<_> = speaking_of(mark)
        .into_iter()
        .filter(|file| !allowed(file))
        .collect();
    assert!(strays.is_empty(), "{rule}\n{}", strays.join("\n"));
}

#[test]
fn sql_is_spoken_in_the_store_alone() {
    // Provisioners manage database servers, whose language is SQL; testkit makes databases for tests.
    let homes = [
        "crates/kernel/src/store/",
        "crates/provisioners/src/",
        "crates/testkit/src/",
    ];
    for mark in [
        "sqlx::",
        "SELECT ",
        "INSERT INTO ",
        "UPDATE ",
        "DELETE FROM ",
    ] {
        assert_only(
            mark,
            |file| homes.iter().any(|home| file.starts_with(home)),
            "SQL belongs to kernel/store (docs/decisions/sql-in-provisioners.md):",
        );
    }
}

#[test]
fn rego_is_spoken_in_policy_alone() {
    assert_only(
        "regorus",
        |file| file.starts_with("crates/policy/src/"),
        "Rego belongs to the crate policy:",
    );
}

#[test]
fn status_codes_are_given_in_http_rooms_alone() {
    // These read other servers' answers, and give none.
    let readers = [
        "crates/provisioners/",
        "crates/engines/",
        "crates/client/",
        "crates/towpath/",
    ];
    assert_only(
        "StatusCode::",
        |file| {
            file.ends_with("/http.rs")
                || file.contains("/http/")
                || readers.iter().any(|reader| file.starts_with(reader))
        },
        "HTTP status codes belong to http.rs:",
    );
}

#[test]
fn the_guides_name_places_that_exist() {
    let root = root();
    let mut guides = 0;
    let mut missing = Vec::new();
    for entry in fs::read_dir(root.join("docs")).unwrap() {
        let guide = entry.unwrap().path();
        let name = guide.file_name().unwrap().to_str().unwrap().to_owned();
        if !(name.starts_with("adding-") && name.ends_with(".md")) {
            continue;
        }
        guides += 1;
        let prose = fs::read_to_string(&guide).unwrap();
        for quoted in prose.split('`').skip(1).step_by(2) {
            let path = quoted.split(['#', ':']).next().unwrap_or_default();
            let ours = ["crates/", "docs/", "examples/", "scripts/"]
                .iter()
                .any(|start| path.starts_with(start));
            let exact = !path.contains(['<', '{', '*', ' ', '\n', '…']);
            if ours && exact && !root.join(path).exists() {
                missing.push(format!("docs/{name}: `{path}` does not exist"));
            }
        }
    }
    assert!(guides > 0, "docs/adding-*.md: no guide at all");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Every action that the platform asks its rules about.
fn actions() -> BTreeSet<String> {
    let root = root();
    let mut actions = BTreeSet::new();
    for file in speaking_of("Action::") {
        let source = fs::read_to_string(root.join(file)).unwrap();
        for question in ["Action::act(\"", "Action::see(\""] {
            let named = source.split(question).skip(1);
            actions.extend(named.map(|rest| rest.split('"').next().unwrap_or_default().to_owned()));
        }
    }
    // Of a look that finds nothing.
    actions.remove("nothing");
    assert!(actions.len() > 40, "only {actions:?}");
    actions
}

/// Whoever writes rules reads there what they may be asked.
#[test]
fn the_guide_to_authorization_names_every_action() {
    let guide = fs::read_to_string(root().join("docs/authorization.md")).unwrap();
    let mut actions = actions();
    actions.retain(|action| !guide.contains(&format!("`{action}`")));
    assert!(actions.is_empty(), "docs/authorization.md: {actions:?}");
}

/// Whoever asks what they may is answered for every action, and for nothing else.
#[test]
fn access_reviews_know_every_action() {
    let list = fs::read_to_string(root().join("crates/server/src/actions.rs")).unwrap();
    let (_, list) = list.split_once("&[\n").unwrap();
    let known: BTreeSet<String> = list
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    assert_eq!(known, actions(), "crates/server/src/actions.rs");
}

/// Whoever asks what they may is answered for what there is of every kind.
#[test]
fn access_reviews_know_every_kind_of_resource() {
    let list = fs::read_to_string(root().join("crates/server/src/kinds.rs")).unwrap();
    let mut unknown = BTreeSet::new();
    for code in shipped_code() {
        let named = code.split("const KIND: &'static str = \"").skip(1);
        unknown.extend(named.map(|rest| rest.split('"').next().unwrap_or_default().to_owned()));
    }
    // Records are written in small letters, and are nobody's to ask for.
    unknown.retain(|kind: &String| kind.starts_with(char::is_uppercase));
    assert!(unknown.len() > 25, "only {unknown:?}");
    unknown.retain(|kind| !list.contains(&format!("\"{kind}\",")));
    assert!(
        unknown.is_empty(),
        "crates/server/src/kinds.rs: {unknown:?}"
    );
}

#[test]
fn there_is_one_tls_stack() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for name in ["openssl-sys", "native-tls", "aws-lc-sys"] {
        let line = format!("name = \"{name}\"");
        assert!(
            !lock.contains(&line),
            "{name} is in Cargo.lock: rustls on ring is our TLS"
        );
    }
}
