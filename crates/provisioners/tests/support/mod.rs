//! Requests as a deployment would make them.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test binary uses its own part, and fails where it cannot go on"
)]

pub mod moto;
pub mod s3;

use delivery::provisioner::{Output, Provisioned, Request};
use kernel::Secret;
use serde_json::{Map, Value};
use uuid::Uuid;

/// A request of team `team` in environment `dev` for `id` of
/// `resource_type`, of a platform of its own.
pub fn request(resource_type: &str, id: &str, params: Value) -> Request {
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(Uuid::now_v7().as_bytes());
    Request {
        platform: Uuid::now_v7(),
        uid: Uuid::now_v7(),
        environment: "dev".into(),
        role: "dev".into(),
        team: "payments".into(),
        workload: Some("notes".into()),
        resource_type: resource_type.into(),
        class: "default".into(),
        id: id.into(),
        params: object(params),
        seed: Secret::new(seed),
        rotation: 1,
        state: Value::Null,
        machine_host: "127.0.0.1".into(),
    }
}

/// `value` as an object.
pub fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null => Map::new(),
        other => panic!("{other} is no object"),
    }
}

/// The output `name` as text, secret or not.
pub fn output(made: &Provisioned, name: &str) -> String {
    match &made.outputs[name] {
        Output::Plain(Value::String(text)) => text.clone(),
        Output::Plain(other) => other.to_string(),
        Output::Secret(secret) => secret.expose_str().expect("text").to_owned(),
    }
}

/// Whether the output `name` is secret.
pub fn is_secret(made: &Provisioned, name: &str) -> bool {
    matches!(made.outputs[name], Output::Secret(_))
}
