//! What is routed is in the API's description, and what is described is routed.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use crate::{root, speaking_of};

/// What is served and is no operation of the API, by how its paths begin, with the reason.
const NOT_OF_THE_API: [(&str, &str); 6] = [
    ("/portal", "pages for people, which call the API themselves"),
    (
        "/login",
        "pages for people, before they have a token, and what their providers tell by OpenID Connect",
    ),
    ("/device", "pages for people, before they have a token"),
    (
        "/oauth/",
        "described by the standards of OAuth and OpenID Connect",
    ),
    (
        "/.well-known/",
        "described by the standards of OAuth and OpenID Connect",
    ),
    ("/", "leads to the portal"),
];

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

type Operations = BTreeSet<String>;

/// The operations of a router's source: `GET /v1/teams/{team}`.
fn routed(source: &str, into: &mut Operations) {
    for call in source.split(".route(").skip(1) {
        let Some(rest) = call.trim_start().strip_prefix('"') else {
            continue;
        };
        let (path, rest) = rest.split_once('"').unwrap();
        let mut depth = 1;
        let handlers: String = rest
            .chars()
            .take_while(|c| {
                depth += i32::from(*c == '(') - i32::from(*c == ')');
                depth > 0
            })
            .collect();
        // A path may go on to the end of the address.
        let path = path.replace("{*", "{");
        let words = |text: &str| {
            let last = text.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            last.into_iter().next().unwrap_or_default().to_owned()
        };
        let mut all: Vec<_> = handlers.split('(').map(words).collect();
        all.pop();
        for method in all {
            if METHODS.contains(&method.as_str()) {
                into.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
}

fn described() -> Operations {
    let text = fs::read_to_string(root().join("openapi/towpath.json")).unwrap();
    let description: Value = serde_json::from_str(&text).unwrap();
    let mut operations = Operations::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for method in METHODS {
            if item.get(method).is_some() {
                operations.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    operations
}

fn is_of_the_api(operation: &str) -> bool {
    let (_, path) = operation.split_once(' ').unwrap();
    !NOT_OF_THE_API
        .iter()
        .any(|(begin, _)| path == *begin || *begin != "/" && path.starts_with(begin))
}

#[test]
fn what_is_routed_is_described_and_what_is_described_is_routed() {
    let mut code = Operations::new();
    for file in speaking_of(".route(") {
        let source = fs::read_to_string(root().join(&file)).unwrap();
        let shipped = source.split("#[cfg(test)]").next().unwrap();
        routed(shipped, &mut code);
        // Only the portal's home is named by a constant.
        let named = shipped.matches(".route(").count();
        let literal = shipped
            .split(".route(")
            .skip(1)
            .filter(|call| call.trim_start().starts_with('"'))
            .count();
        let is_portal = file.starts_with("crates/portal/");
        assert!(
            named == literal || is_portal,
            "{file}: write the path of a route where it is routed"
        );
    }
    let code: Operations = code.into_iter().filter(|one| is_of_the_api(one)).collect();
    let described = described();
    assert!(code.len() > 100, "only {code:?}");
    let undescribed: Vec<_> = code.difference(&described).collect();
    assert!(
        undescribed.is_empty(),
        "routed, and not in openapi/towpath.json (add them to the crate's `ApiDoc`, then \
         UPDATE=1 cargo test --workspace --test openapi): {undescribed:#?}"
    );
    let unrouted: Vec<_> = described.difference(&code).collect();
    assert!(
        unrouted.is_empty(),
        "in openapi/towpath.json, and routed nowhere: {unrouted:#?}"
    );
}

#[test]
fn routes_are_found_however_they_are_written() {
    let mut found = Operations::new();
    routed(
        r#"Router::new()
            .route("/v1/a", get(list).post(make))
            .route(
                "/v1/a/{*rest}",
                get(show).merge(delete(crate::remove)),
            )
            .route("/v1/b", axum::routing::put(|| async { get_it() }))"#,
        &mut found,
    );
    let expected = [
        "DELETE /v1/a/{rest}",
        "GET /v1/a",
        "GET /v1/a/{rest}",
        "POST /v1/a",
        "PUT /v1/b",
    ];
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
}
