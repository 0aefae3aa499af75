//! The checked-in OpenAPI document is the one that the program gives.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;
use towpath_server as server;

#[test]
fn the_document_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi/towpath.json");
    let mut now = server::openapi()
        .to_pretty_json()
        .expect("it can be serialized");
    now.push('\n');
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &now).expect("the document can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == now,
        "openapi/towpath.json is not what the program gives: `just openapi` writes it anew"
    );
}

#[test]
fn every_path_is_versioned_or_about_health() {
    for path in server::openapi().paths.paths.keys() {
        let health = ["/healthz", "/readyz", "/metrics"].contains(&path.as_str());
        assert!(path.starts_with("/v1/") || health, "{path}");
    }
}

#[test]
fn operations_have_names_of_their_own() {
    let document = serde_json::to_value(server::openapi()).expect("it can be serialized");
    let mut names = BTreeMap::new();
    for (path, item) in document["paths"].as_object().expect("an object") {
        for (method, operation) in item.as_object().expect("an object") {
            let Some(name) = operation["operationId"].as_str() else {
                continue;
            };
            let place = format!("{method} {path}");
            let other = names.insert(name.to_owned(), place.clone());
            assert_eq!(other, None, "{place} is called {name}, too");
        }
    }
    assert!(names.len() > 100, "{}", names.len());
}

#[test]
fn what_is_referred_to_is_there() {
    fn look(value: &Value, document: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                    let place = reference.trim_start_matches('#');
                    assert!(document.pointer(place).is_some(), "{reference}");
                }
                fields.values().for_each(|field| look(field, document));
            }
            Value::Array(items) => items.iter().for_each(|item| look(item, document)),
            _ => {}
        }
    }
    let document = serde_json::to_value(server::openapi()).expect("it can be serialized");
    look(&document, &document);
}

#[test]
fn every_operation_says_how_it_refuses() {
    let document = serde_json::to_value(server::openapi()).expect("it can be serialized");
    let mut checked = 0;
    for (path, item) in document["paths"].as_object().expect("an object") {
        for (method, operation) in item.as_object().expect("an object") {
            let Some(responses) = operation["responses"].as_object() else {
                continue;
            };
            let is_open = operation.get("security").is_some();
            let takes_body = operation.get("requestBody").is_some();
            let expected = [("401", !is_open), ("403", !is_open), ("503", !is_open)]
                .into_iter()
                .chain([("413", takes_body), ("422", takes_body)]);
            for (status, _) in expected.filter(|(_, given)| *given) {
                assert!(responses.contains_key(status), "{method} {path}: {status}");
            }
            let refusals = responses.iter();
            for (status, refusal) in refusals.filter(|(status, _)| status.as_str() >= "400") {
                let what = format!("{method} {path}: {status}");
                let shared = refusal["$ref"].as_str().map(|place| {
                    let found = document.pointer(place.trim_start_matches('#'));
                    found.unwrap_or_else(|| panic!("{what}: {place} is not there"))
                });
                let refusal = shared.unwrap_or(refusal);
                assert!(refusal["description"].is_string(), "{what}");
                let schema = &refusal["content"]["application/problem+json"]["schema"];
                assert_eq!(
                    schema["$ref"], "#/components/schemas/ProblemDocument",
                    "{what}"
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 500, "{checked}");
}

#[test]
fn it_is_openapi_3_1() {
    let document = serde_json::to_value(server::openapi()).expect("it can be serialized");
    assert_eq!(document["openapi"], "3.1.0");
}
