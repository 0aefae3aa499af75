//! What is wrong with a deployment or with documents is told at once, whatever finds it.

use serde_json::{Map, Value, json};

use crate::room::{LONG, Room};

fn resources(all: Value) -> Map<String, Value> {
    serde_json::from_value(all).unwrap()
}

fn told(problems: &[kernel::Problem]) -> Vec<(&str, &str)> {
    let told = problems.iter();
    told.map(|it| (it.rule.as_str(), it.path.as_str()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_resolved_hides_no_mistake_elsewhere_and_brings_none_about() {
    let room = Room::open().await;
    let asked = json!({
        "nothing": { "type": "nothing", "params": { "of": "this" } },
        // Its parameter is of what there is not: that is not judged.
        "after": { "type": "thing", "params": { "size": "${resources.nothing.size}" } },
        "box": { "type": "thing", "params": { "size": 1, "colour": "red" } },
    });
    let accepted = ["dev-nothing-0000".to_owned()];
    let refused = room
        .deploy_to("dev", ".", resources(asked), &accepted)
        .await;
    let problems = refused.unwrap_err().problems;
    assert_eq!(
        told(&problems),
        [
            ("definition/unknown-type", "notes.resources.nothing"),
            ("score/image", "workloads.notes.containers.main.image"),
            (
                "graph/unread-parameter",
                "workloads.notes.resources.box.params.colour"
            ),
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_misspelt_field_hides_no_other_mistake_of_its_document() {
    let room = Room::open().await;
    let definition = json!({
        "apiVersion": "towpath.dev/v1", "kind": "ResourceDefinition",
        "metadata": { "name": "rings" },
        "spec": {
            "type": "ring", "provisioner": "shelve",
            "params": { "size": "${resources.vault.size}" },
            "resorces": { "vault": { "type": "thing" } },
        },
    });
    let problems = room.apply(vec![definition]).await.unwrap_err().problems;
    assert_eq!(
        told(&problems),
        [
            ("document/unknown-field", "documents[0].spec.resorces"),
            ("definition/provisioner", "documents[0].spec.provisioner"),
        ],
        "and nothing of `vault`, which comes from the first"
    );
    for problem in problems {
        assert!(problem.remedy.is_some(), "{problem:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_document_hides_none_of_the_others() {
    let room = Room::open().await;
    let document = |kind: &str, name: &str, spec: Value| {
        json!({
            "apiVersion": "towpath.dev/v1", "kind": kind, "metadata": { "name": name }, "spec": spec,
        })
    };
    let documents = vec![
        document("Environment", "one", json!({ "role": "nosuch" })),
        document("Environment", "two", json!({ "role": "dev" })),
        document("Environment", "three", json!({ "engine": "nosuch" })),
    ];
    let problems = room.apply(documents.clone()).await.unwrap_err().problems;
    let refused = [
        ("document/refused", "documents[0].spec.role"),
        ("document/refused", "documents[2].spec.engine"),
    ];
    assert_eq!(told(&problems), refused);
    assert!(room.environment("two").await.is_none(), "all or none");

    // Nor does one that cannot be read.
    let misspelt = document("Environment", "four", json!({ "rolle": "dev" }));
    let all = [documents, vec![misspelt]].concat();
    let problems = room.apply(all).await.unwrap_err().problems;
    let mut told = told(&problems);
    told.sort_unstable_by_key(|(_, path)| *path);
    assert_eq!(
        told,
        [
            refused[0],
            refused[1],
            ("document/unknown-field", "documents[3].spec.rolle")
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workload_waits_for_each_resource_once() {
    let room = Room::open().await;
    room.shelf.fails("the shelf is locked", true);
    room.deploy("notes:1", &[("box", 1)], &[]).await;
    let message = testkit::eventually("it waits", LONG, || async {
        let message = room.workload().await.status.message;
        message.contains("the shelf is locked").then_some(message)
    })
    .await;
    assert_eq!(message.matches("notes.box").count(), 1, "{message}");
}
