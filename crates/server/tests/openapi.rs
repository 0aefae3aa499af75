//! The checked-in OpenAPI document is the one that the program gives.

use std::path::Path;

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
        let health = ["/healthz", "/readyz"].contains(&path.as_str());
        assert!(path.starts_with("/v1/") || health, "{path}");
    }
}

#[test]
fn it_is_openapi_3_1() {
    let document = serde_json::to_value(server::openapi()).expect("it can be serialized");
    assert_eq!(document["openapi"], "3.1.0");
}
