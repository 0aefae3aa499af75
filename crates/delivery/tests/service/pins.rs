//! A clone keeps the definitions of its source, and takes a workload that was written for newer ones.

use serde_json::{Value, json};

use crate::room::Room;

/// The definition of things, which reads these parameters.
fn things(params: &Value) -> Value {
    json!({
        "apiVersion": "towpath.dev/v1", "kind": "ResourceDefinition",
        "metadata": { "name": "things" },
        "spec": { "type": "thing", "provisioner": "shelf", "params": params },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parameter_that_only_a_newer_definition_reads_is_passed_over_in_a_clone() {
    let room = Room::open().await;
    let deployed = room.deploy("notes:1", &[("box", 1)], &[]).await;
    room.succeeded(&deployed).await;
    room.clone_of("dev", "copy").await;
    let newer = things(&json!({ "size": "${params.size}", "color": "${params.color}" }));
    room.apply(vec![newer]).await.unwrap();

    let asked = |params: Value| {
        let thing = json!({ "type": "thing", "params": params });
        serde_json::Map::from_iter([("box".to_owned(), thing)])
    };
    let colored = asked(json!({ "size": 1, "color": "red" }));
    let there = room.deploy_to("dev", "notes:2", colored.clone(), &[]).await;
    let warnings = there.unwrap().spec.plan.warnings;
    assert!(
        !warnings.iter().any(|one| one.contains("color")),
        "{warnings:?}"
    );
    let here = room.deploy_to("copy", "notes:2", colored, &[]).await;
    let warnings = here.unwrap().spec.plan.warnings;
    let told = warnings.iter().find(|one| one.contains("`color`"));
    let told = told.unwrap_or_else(|| panic!("{warnings:?}"));
    assert!(
        told.contains("things@1") && told.contains("env unpin"),
        "{told}"
    );

    // What no revision reads is a mistake here as there.
    let misspelt = asked(json!({ "size": 1, "colour": "red" }));
    let refused = room.deploy_to("copy", "notes:3", misspelt, &[]).await;
    let problems = refused.unwrap_err().problems;
    assert_eq!(problems[0].rule, "graph/unread-parameter");
    let remedy = problems[0].remedy.as_deref().unwrap();
    assert!(remedy.contains("did you mean `color`?"), "{remedy}");
}
