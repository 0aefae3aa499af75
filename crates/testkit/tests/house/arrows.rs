//! Which crate knows which, and what of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use serde_json::Value;

use crate::{code_of, root, shipped};

/// Which crates of ours a crate's shipped code may depend on. Tests may use more.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("towpath-kernel", &[]),
    ("towpath-gateway", &[]),
    ("towpath-template", &[]),
    ("towpath-testkit", &[]),
    ("towpath-delivery", &["towpath-kernel", "towpath-teams"]),
    ("towpath-identity", &["towpath-kernel"]),
    ("towpath-teams", &["towpath-kernel"]),
    // Of identity the model alone: whose keys it keeps.
    ("towpath-secrets", &["towpath-kernel", "towpath-identity"]),
    ("towpath-publications", &["towpath-kernel"]),
    ("towpath-subscriptions", &["towpath-kernel"]),
    ("towpath-catalog", &["towpath-kernel", "towpath-template"]),
    ("towpath-fleet", &["towpath-kernel"]),
    (
        "towpath-integrations",
        &["towpath-kernel", "towpath-teams", "towpath-template"],
    ),
    ("towpath-policy", &["towpath-kernel", "towpath-delivery"]),
    (
        "towpath-provisioners",
        &["towpath-kernel", "towpath-delivery", "towpath-template"],
    ),
    (
        "towpath-engines",
        &["towpath-kernel", "towpath-delivery", "towpath-gateway"],
    ),
    ("towpath-fuzz", &["towpath-delivery"]),
    (
        "towpath-client",
        &[
            "towpath-catalog",
            "towpath-kernel",
            "towpath-delivery",
            "towpath-fleet",
            "towpath-publications",
            "towpath-secrets",
            "towpath-subscriptions",
            "towpath-teams",
        ],
    ),
    (
        "towpath-portal",
        &[
            "towpath-kernel",
            "towpath-client",
            "towpath-delivery",
            "towpath-secrets",
            "towpath-teams",
        ],
    ),
    (
        "towpath-server",
        &[
            "towpath-catalog",
            "towpath-kernel",
            "towpath-delivery",
            "towpath-fleet",
            "towpath-identity",
            "towpath-teams",
            "towpath-secrets",
            "towpath-publications",
            "towpath-subscriptions",
            "towpath-integrations",
            "towpath-policy",
            "towpath-provisioners",
            "towpath-engines",
            "towpath-gateway",
            "towpath-portal",
        ],
    ),
    (
        "towpath",
        &[
            "towpath-catalog",
            "towpath-client",
            "towpath-delivery",
            "towpath-fleet",
            "towpath-kernel",
            "towpath-publications",
            "towpath-secrets",
            "towpath-server",
            "towpath-subscriptions",
            "towpath-teams",
        ],
    ),
    ("notes", &[]),
    ("noticeboard", &[]),
];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--offline",
            "--no-deps",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The crates of ours, each with those that its shipped code depends on.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let names = packages.iter().map(|package| text(&package["name"]));
    let ours: BTreeSet<&str> = names.collect();
    let known = |package: &Value| -> BTreeSet<String> {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        dependencies
            .filter(|dependency| text(&dependency["kind"]) != "dev")
            .map(|dependency| text(&dependency["name"]))
            .filter(|name| ours.contains(name))
            .map(str::to_owned)
            .collect()
    };
    packages
        .iter()
        .map(|package| (text(&package["name"]).to_owned(), known(package)))
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    let rules: BTreeMap<_, _> = MAY_KNOW.iter().copied().collect();
    let arrows = arrows();
    let mut wrong = Vec::new();
    for (name, known) in &arrows {
        let Some(allowed) = rules.get(name.as_str()) else {
            wrong.push(format!("{name} has no rule: add it to MAY_KNOW"));
            continue;
        };
        for other in known {
            if !allowed.contains(&other.as_str()) {
                wrong.push(format!("{name} may not know {other}"));
            }
        }
        for other in *allowed {
            if !known.contains(*other) {
                wrong.push(format!(
                    "{name} does not know {other}: take that off MAY_KNOW"
                ));
            }
        }
    }
    for name in rules.keys() {
        if !arrows.contains_key(*name) {
            wrong.push(format!("{name} is gone: take it off MAY_KNOW"));
        }
    }
    assert!(
        wrong.is_empty(),
        "DESIGN: dependencies point one way.\n{}",
        wrong.join("\n")
    );
}

/// Whoever looks for a crate's place reads there what it knows.
#[test]
fn the_architecture_tells_what_each_crate_knows() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let mut told = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let [name, _, knows] = cells.as_slice() else {
            panic!("docs/architecture.md: three cells are in a row, not in\n{row}");
        };
        let quoted = |cell: &str| -> BTreeSet<String> {
            let names = cell.split('`').skip(1).step_by(2);
            names.map(str::to_owned).collect()
        };
        told.insert(quoted(name).pop_first().unwrap(), quoted(knows));
    }
    let short = |name: &str| name.strip_prefix("towpath-").unwrap_or(name).to_owned();
    let mut known = BTreeMap::new();
    for (name, others) in MAY_KNOW {
        let name = short(name);
        // Examples and fuzz targets are no part of the house.
        if root().join("crates").join(&name).is_dir() {
            let others: BTreeSet<String> = others.iter().map(|other| short(other)).collect();
            known.insert(name, others);
        }
    }
    assert_eq!(told, known, "docs/architecture.md, The house");
}

/// What `code` names directly below the crate `name`, in the braces of a `use` too.
fn named_below<'a>(code: &'a str, name: &str) -> Vec<&'a str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word = |text: &'a str| -> &'a str {
        let text = text.trim_start();
        let end = text.find(|c: char| !is_word(c)).unwrap_or(text.len());
        &text[..end]
    };
    let mut found = Vec::new();
    for (at, path) in code.match_indices(&format!("{name}::")) {
        let before = &code[..at];
        // A module of the same name, or a longer name.
        if before
            .strip_suffix("::")
            .unwrap_or(before)
            .ends_with(is_word)
        {
            continue;
        }
        let rest = &code[at + path.len()..];
        if !rest.starts_with('{') {
            found.push(word(rest));
            continue;
        }
        let mut depth = 0;
        for (at, c) in rest.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if depth == 1 && (c == '{' || c == ',') {
                found.push(word(&rest[at + 1..]));
            }
        }
    }
    found
}

#[test]
fn what_is_named_below_a_crate_is_found_in_braces_too() {
    let code = "use delivery::{api::{Data, service}, service::DUMPED, model};
        use crate::delivery::reconcile; use my_delivery::http; ::delivery::plan();";
    assert_eq!(
        named_below(code, "delivery"),
        ["api", "service", "model", "plan"]
    );
}

/// Use cases and reconcilers are the domain's own: others speak to it by its model, its ports and its API.
#[test]
fn the_inner_rooms_of_a_domain_are_for_the_server_alone() {
    const INNER: [&str; 2] = ["service", "reconcile"];
    let crates = root().join("crates");
    let mut domains = Vec::new();
    for entry in fs::read_dir(&crates).unwrap() {
        let source = entry.unwrap().path().join("src");
        let has =
            |room: &str| source.join(room).is_dir() || source.join(format!("{room}.rs")).is_file();
        if INNER.iter().any(|room| has(room)) {
            let name = source.parent().unwrap().file_name().unwrap();
            domains.push(name.to_str().unwrap().to_owned());
        }
    }
    assert!(domains.len() > 5, "only {domains:?}");
    let mut wrong = Vec::new();
    for file in shipped() {
        let name = file.strip_prefix(&crates).unwrap().to_str().unwrap();
        let (own, _) = name.split_once('/').unwrap();
        if own == "server" || name.ends_with("/tests.rs") {
            continue;
        }
        let code = code_of(&file);
        for domain in domains.iter().filter(|domain| *domain != own) {
            for room in named_below(&code, domain) {
                if INNER.contains(&room) {
                    wrong.push(format!("crates/{name}: {domain}::{room}"));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "DESIGN: only `server` knows a domain's service or reconcilers.\n{}",
        wrong.join("\n")
    );
}
