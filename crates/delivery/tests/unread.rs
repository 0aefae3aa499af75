//! Parameters that a Score file gives, and nobody reads.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use towpath_delivery::{
    definition::{Catalogue, Context, Revision, Unread, graph, unread_params},
    score,
};

/// These definitions, all at one revision.
fn catalogue(definitions: &Value, revision: u64) -> Catalogue {
    let definitions = definitions.as_object().expect("definitions by name");
    let revised = |spec: &Value| Revision {
        revision,
        spec: serde_json::from_value(spec.clone()).expect("a definition"),
    };
    let revisions = definitions
        .iter()
        .map(|(name, spec)| (name.clone(), revised(spec)));
    Catalogue::new(revisions.collect())
}

/// What nobody reads of the workload `notes` with these resources.
fn unread(definitions: &Value, resources: &Value) -> Unread {
    let catalogue = catalogue(definitions, 1);
    unread_beside(&catalogue, &catalogue, resources)
}

/// The same where newer definitions than those in force are there.
fn unread_beside(catalogue: &Catalogue, newest: &Catalogue, resources: &Value) -> Unread {
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
        catalogue,
        accepted: &BTreeMap::new(),
        holds_data: &|_| false,
    })
    .expect("a graph")
    .graph;
    unread_params(&graph, &workloads, catalogue, newest)
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

#[test]
fn what_only_a_newer_definition_reads_is_said_with_the_pin_that_keeps_it_away() {
    let mut newer = definitions();
    newer["postgres-dev"]["params"]["replicas"] = json!("${params.replicas}");
    let (held, newest) = (catalogue(&definitions(), 1), catalogue(&newer, 2));
    let params = json!({ "replicas": 2, "size": { "disk": "1Gi" }, "suffix": "a" });
    let resources = json!({ "db": { "type": "postgres", "params": params } });
    let found = unread_beside(&held, &newest, &resources);
    assert_eq!(found.problems, vec![]);
    let [replicas, size] = found.warnings.as_slice() else {
        panic!("{:?}", found.warnings);
    };
    for part in [
        "postgres-dev@1, which meets it here, does not read the parameter `replicas`",
        "as the newest of `postgres-dev` does",
        "this environment is pinned",
        "`towpath env unpin`",
    ] {
        assert!(replicas.contains(part), "{replicas}");
    }
    // What holds here needs no unpinning.
    assert!(size.ends_with("as `postgres-prod` does"), "{size}");

    // What is misspelt may be meant for the newest.
    let params = json!({ "replica": 2, "suffix": "a" });
    let resources = json!({ "db": { "type": "postgres", "params": params } });
    let found = unread_beside(&held, &newest, &resources);
    assert_eq!(found.warnings, Vec::<String>::new());
    let remedy = found.problems[0].remedy.as_deref().expect("a remedy");
    assert!(remedy.contains("did you mean `replicas`?"), "{remedy}");
}
