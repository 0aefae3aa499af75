//! Placeholders for outputs that the resource behind them does not have.

use std::collections::{BTreeMap, BTreeSet};

use kernel::Problem;
use serde_json::{Map, Value, json};
use towpath_delivery::{
    definition::{Asked, Catalogue, Context, Revision, graph, unknown_outputs},
    score,
};

fn given(provisioner: &str, _: &Map<String, Value>) -> Option<BTreeSet<String>> {
    let names: &[&str] = match provisioner {
        "postgres" => &["host", "port", "url"],
        "volume" => &["source"],
        "nothing" => &[],
        _ => return None,
    };
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

/// Everything that is wrong with the workload `notes` of these containers and resources.
fn problems(definitions: &Value, containers: &Value, resources: &Value) -> Vec<Problem> {
    let definitions = definitions.as_object().expect("definitions by name");
    let revision = |spec: &Value| Revision {
        revision: 1,
        spec: serde_json::from_value(spec.clone()).expect("a definition"),
    };
    let catalogue = Catalogue::new(
        definitions
            .iter()
            .map(|(name, spec)| (name.clone(), revision(spec)))
            .collect(),
    );
    let workload: score::Workload = serde_json::from_value(json!({
        "apiVersion": "score.dev/v1b1",
        "metadata": { "name": "notes" },
        "containers": containers,
        "resources": resources,
    }))
    .expect("a workload");
    let workloads = BTreeMap::from([("notes".to_owned(), workload)]);
    let graph = graph::build(&graph::Input {
        environment: &Context::default(),
        domain: "localhost",
        workloads: &workloads,
        catalogue: &catalogue,
        accepted: &BTreeMap::new(),
        holds_data: &|_| false,
    })
    .expect("a graph")
    .graph;
    unknown_outputs(&Asked {
        graph: &graph,
        workloads: &workloads,
        catalogue: &catalogue,
        given: &given,
    })
}

fn places(problems: &[Problem]) -> Vec<(&str, &str)> {
    problems
        .iter()
        .map(|p| (p.path.as_str(), p.remedy.as_deref().expect("a remedy")))
        .collect()
}

#[test]
fn each_place_of_a_workload_is_named() {
    let definitions = json!({
        "db": { "type": "postgres", "provisioner": "postgres" },
        "disk": { "type": "volume", "provisioner": "volume" },
        "free": { "type": "free", "provisioner": "command" },
    });
    let containers = json!({ "web": {
        "image": "x:1",
        "variables": {
            "GOOD": "${resources.db.host}:${resources.db.port}",
            "BAD": "at ${resources.db.hots}",
            "ANY": "${resources.free.whatever}",
            "LITERAL": "$${resources.db.nothing}",
        },
        "files": {
            "/etc/app.conf": { "content": "${resources.db.nonsense}" },
            "/etc/raw.conf": { "content": "${resources.db.raw}", "noExpand": true },
        },
        "volumes": {
            "/data": { "source": "${resources.disk}" },
            "/other": { "source": "${resources.disk.directory}" },
            "/db": { "source": "db" },
        },
    }});
    let resources = json!({
        "db": { "type": "postgres" },
        "disk": { "type": "volume" },
        "free": { "type": "free", "params": { "list": [{ "at": "${resources.db.ulr}" }] } },
    });
    let found = problems(&definitions, &containers, &resources);
    assert_eq!(
        places(&found),
        [
            (
                "workloads.notes.containers.web.variables.BAD",
                "did you mean `host`?"
            ),
            (
                r"workloads.notes.containers.web.files./etc/app\.conf.content",
                "it has host, port, url"
            ),
            (
                "workloads.notes.containers.web.volumes./db.source",
                "name a resource of `type: volume`"
            ),
            (
                "workloads.notes.containers.web.volumes./other.source",
                "it has source"
            ),
            (
                "workloads.notes.resources.free.params.list.0.at",
                "did you mean `url`?"
            ),
        ]
    );
    assert_eq!(found[2].message, "`db` is a postgres, not a volume");
    assert_eq!(
        found[0].message,
        "`${resources.db.hots}`: resource `db` (postgres.default#notes.db, by db@1) has no output `hots`"
    );
}

#[test]
fn a_definition_that_asks_for_what_is_not_there_is_named() {
    let definitions = json!({
        "app": {
            "type": "app", "provisioner": "command",
            "params": { "at": "${resources.db.hots}", "asker": "${params.at}" },
            "resources": { "db": { "type": "postgres" } },
            "coprovision": [
                { "type": "none", "order": "after", "params": { "of": "${resources.parent.anything}" } },
            ],
        },
        "db": { "type": "postgres", "provisioner": "postgres", "coprovision": [
            { "type": "none", "order": "after", "params": { "of": "${resources.parent.hosst}" } },
        ]},
        "none": { "type": "none", "provisioner": "nothing" },
    });
    let resources = json!({ "app": { "type": "app", "params": { "at": "${resources.app2.x}" } },
        "app2": { "type": "none" } });
    let found = problems(&definitions, &json!({}), &resources);
    let said: Vec<_> = found
        .iter()
        .map(|p| (p.message.as_str(), p.remedy.as_deref()))
        .collect();
    assert_eq!(
        said,
        [
            // What the asker wrote is the asker's, and told once.
            (
                "`${resources.app2.x}`: resource `app2` (none.default#notes.app2, by none@1) has no output `x`",
                Some("it has no outputs")
            ),
            (
                "definition app@1 refers to `${resources.db.hots}`, but postgres.default#notes.app.db (by db@1) has no output `hots`",
                Some("correct definition app: did you mean `host`?")
            ),
            (
                "definition db@1 refers to `${resources.parent.hosst}`, but postgres.default#notes.app.db (by db@1) has no output `hosst`",
                Some("correct definition db: did you mean `host`?")
            ),
        ]
    );
}

#[test]
fn a_definition_may_declare_what_its_provisioner_cannot_tell() {
    let definitions = json!({
        "token": { "type": "token", "provisioner": "command", "outputs": ["id", "secret"] },
    });
    let containers = json!({ "web": { "image": "x:1", "variables": {
        "ID": "${resources.token.id}", "BAD": "${resources.token.sekret}",
    }}});
    let found = problems(
        &definitions,
        &containers,
        &json!({ "token": { "type": "token" } }),
    );
    assert_eq!(
        places(&found),
        [(
            "workloads.notes.containers.web.variables.BAD",
            "did you mean `secret`?"
        )]
    );
}
