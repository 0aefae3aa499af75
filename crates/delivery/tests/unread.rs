//! Parameters that a Score file gives, and nobody reads.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use towpath_delivery::{
    definition::{Catalogue, Context, Revision, Unread, graph, unread_params},
    score,
};

/// What nobody reads of the workload `notes` with these resources.
fn unread(definitions: &Value, resources: &Value) -> Unread {
    let definitions = definitions.as_object().expect("definitions by name");
    let revision = |spec: &Value| Revision {
        revision: 1,
        spec: serde_json::from_value(spec.clone()).expect("a definition"),
    };
    let revisions = definitions
        .iter()
        .map(|(name, spec)| (name.clone(), revision(spec)));
    let catalogue = Catalogue::new(revisions.collect());
    let workload: score::Workload = serde_json::from_value(json!({
        "apiVersion": "score.dev/v1b1",
        "metadata": { "name": "notes" },
        "containers": { "web": { "image": "." } },
        "resources": resources,
    }))
    .expect("a workload");
    let workloads = BTreeMap::from([("notes".to_owned(), workload)]);
    let graph = graph::build(&graph::Input {
        environment: &Context {
            environment: "dev".into(),
            role: "dev".into(),
            ..Context::default()
        },
        domain: "localhost",
        workloads: &workloads,
        catalogue: &catalogue,
        accepted: &BTreeMap::new(),
        holds_data: &|_| false,
    })
    .expect("a graph")
    .graph;
    unread_params(&graph, &workloads, &catalogue)
}

fn definitions() -> Value {
    json!({
        "postgres-dev": { "type": "postgres", "provisioner": "x", "params": {
            "extensions": "${params.extensions}", "name": "db-${params.suffix}",
        } },
        "postgres-prod": { "type": "postgres", "provisioner": "x",
            "criteria": [{ "role": "prod" }], "params": { "size": "${params.size.disk}" } },
        "queue": { "type": "queue", "provisioner": "x" },
        "app": { "type": "app", "provisioner": "x",
            "resources": { "db": { "type": "postgres", "params": { "extensions": "${params.extensions}" } } },
            "coprovision": [
                { "type": "queue", "order": "after", "params": { "list": ["${params.topic}"] } },
            ] },
    })
}

#[test]
fn what_is_misspelt_is_refused_with_what_was_meant() {
    let resources = json!({
        "db": { "type": "postgres", "params": { "extension": ["citext"], "suffix": "a", "color": "red" } },
        "jobs": { "type": "queue", "params": { "durable": true } },
    });
    let found = unread(&definitions(), &resources);
    assert_eq!(found.warnings, Vec::<String>::new());
    let told: Vec<_> = found
        .problems
        .iter()
        .map(|one| {
            let remedy = one.remedy.as_deref().expect("a remedy");
            format!("{}: {}\n  {}\n  {remedy}", one.rule, one.path, one.message)
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn what_another_definition_of_the_type_reads_is_said_and_passed_over() {
    let resources = json!({ "db": { "type": "postgres", "params": { "size": { "disk": "1Gi" }, "suffix": "a" } } });
    let found = unread(&definitions(), &resources);
    assert_eq!(found.problems, vec![]);
    insta::assert_snapshot!(found.warnings.join("\n"));
}

#[test]
fn what_is_read_for_something_further_is_read() {
    let resources =
        json!({ "app": { "type": "app", "params": { "extensions": ["a"], "topic": "t" } } });
    // The database's own definition wants a suffix, which is no affair of this.
    let mut definitions = definitions();
    definitions["postgres-dev"]["params"]["name"] = json!("db");
    assert_eq!(unread(&definitions, &resources), Unread::default());
}
