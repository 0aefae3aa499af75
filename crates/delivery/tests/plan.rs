//! The plan: what a deployment would change, as people read it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use towpath_delivery::{
    model::{Graph, NodeId, ResourceInstanceSpec, RouteSpec, instance_name},
    plan::{Action, Plan, Running, RunningResource, Wanted, compute},
    provisioner::Description,
    score,
};

/// What is there, and what is wanted: changed by each test where it matters.
#[derive(Clone)]
struct Case {
    instances: BTreeMap<String, (ResourceInstanceSpec, Vec<String>)>,
    running: BTreeMap<String, score::Workload>,
    graph: Graph,
    workloads: BTreeMap<String, score::Workload>,
    accept: BTreeSet<String>,
}

const DB: &str = "postgres.default#notes.db";

fn workload(image: &str, variables: &Value) -> score::Workload {
    serde_json::from_value(json!({
        "apiVersion": "score.dev/v1b1",
        "metadata": { "name": "notes" },
        "containers": { "web": {
            "image": image,
            "variables": variables,
            "args": ["--password=canary-in-args"],
            "files": { "/etc/app.conf": { "content": "canary-in-file" } },
        }},
        "resources": { "db": { "type": "postgres" } },
    }))
    .expect("a workload")
}

fn graph(node: &str, definition: &str, revision: u64, provisioner: &str, params: &Value) -> Graph {
    serde_json::from_value(json!({
        "nodes": { node: {
            "definition": { "name": definition, "revision": revision },
            "provisioner": provisioner,
            "params": params,
            "askedBy": ["notes.resources.db"],
            "workload": "notes",
            "holdsData": provisioner != "dns",
        }},
        "workloads": { "notes": { "db": node } },
    }))
    .expect("a graph")
}

/// An instance as an earlier deployment left it.
fn made(graph: &Graph) -> BTreeMap<String, (ResourceInstanceSpec, Vec<String>)> {
    graph
        .nodes
        .iter()
        .map(|(id, node)| {
            let mut spec = serde_json::to_value(node).expect("a node is JSON");
            let fields = spec.as_object_mut().expect("a node is an object");
            fields.remove("askedBy");
            fields.extend([
                ("node".to_owned(), json!(id)),
                ("rotation".to_owned(), json!(1)),
                (
                    "correlation".to_owned(),
                    json!("00000000-0000-0000-0000-000000000000"),
                ),
                ("team".to_owned(), json!("notes")),
                ("role".to_owned(), json!("dev")),
            ]);
            let spec = serde_json::from_value(spec).expect("an instance");
            (instance_name(id), (spec, vec!["notes".to_owned()]))
        })
        .collect()
}

fn settled() -> Case {
    let graph = graph(
        DB,
        "postgres-default",
        2,
        "postgres",
        &json!({ "version": "14" }),
    );
    let workloads = BTreeMap::from([(
        "notes".to_owned(),
        workload("notes:1", &json!({ "LOG": "info" })),
    )]);
    Case {
        instances: made(&graph),
        running: workloads.clone(),
        graph,
        workloads,
        accept: BTreeSet::new(),
    }
}

fn describe(provisioner: &str) -> Description {
    Description {
        holds_data: provisioner != "dns",
        replaced_by: if provisioner == "postgres" {
            &["version"]
        } else {
            &[]
        },
        ..Description::default()
    }
}

fn address(host: &str, path: &str) -> String {
    format!("http://{host}:9380{path}")
}

fn plan(case: &Case) -> Plan {
    let running = Running {
        resources: case
            .instances
            .iter()
            .map(|(name, (spec, used_by))| (name.clone(), RunningResource { spec, used_by }))
            .collect(),
        workloads: case
            .running
            .iter()
            .map(|(name, w)| (name.clone(), w))
            .collect(),
        routes: vec![],
    };
    let wanted = Wanted {
        graph: &case.graph,
        workloads: &case.workloads,
        routes: &[],
        urls: &BTreeMap::new(),
        accept: &case.accept,
        describe: &|provisioner| Some(describe(provisioner)),
        url: &address,
    };
    compute(&running, &wanted)
}

fn db() -> String {
    instance_name(&NodeId::try_from(DB.to_owned()).expect("a node id"))
}

#[test]
fn the_same_again_changes_nothing() {
    let plan = plan(&settled());
    assert!(plan.is_empty(), "{plan:?}");
    assert_eq!(plan.to_string(), "Nothing changes.\n");
}

#[test]
fn the_first_deployment_adds_everything() {
    let case = Case {
        instances: BTreeMap::new(),
        running: BTreeMap::new(),
        ..settled()
    };
    insta::assert_snapshot!(plan(&case));
}

#[test]
fn a_change_in_place_gives_its_reasons() {
    let mut case = settled();
    case.graph = graph(
        DB,
        "postgres-default",
        3,
        "postgres",
        &json!({ "version": "14", "extensions": ["pgcrypto"], "adminPassword": "canary" }),
    );
    case.workloads = BTreeMap::from([(
        "notes".to_owned(),
        workload(
            "notes:2",
            &json!({ "LOG": "canary-value", "TOKEN": "canary-token" }),
        ),
    )]);
    let text = plan(&case).to_string();
    assert!(!text.contains("canary"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn what_programs_are_started_with_is_never_shown() {
    let mut case = settled();
    let mut after = case.workloads["notes"].clone();
    let web = after.containers.get_mut("web").expect("the container");
    web.args = vec!["--password=canary-again".into()];
    web.command = vec!["canary-command".into()];
    web.files
        .get_mut("/etc/app.conf")
        .expect("the file")
        .content = Some("canary-new".into());
    web.files.insert(
        "/etc/other".into(),
        score::File {
            content: Some("canary".into()),
            ..score::File::default()
        },
    );
    web.variables.clear();
    case.workloads.insert("notes".into(), after);
    let plan = plan(&case);
    assert!(
        !serde_json::to_string(&plan)
            .expect("JSON")
            .contains("canary"),
        "{plan:?}"
    );
    insta::assert_snapshot!(plan);
}

/// Both ways in which data could be lost: a parameter that cannot change in place, and another
/// provisioner.
fn replacements() -> [Graph; 2] {
    [
        graph(
            DB,
            "postgres-default",
            3,
            "postgres",
            &json!({ "version": "15" }),
        ),
        graph(
            DB,
            "postgres-cloud",
            1,
            "command",
            &json!({ "version": "14" }),
        ),
    ]
}

#[test]
fn a_replacement_that_would_lose_data_is_held_on_the_last_accepted_definition() {
    for graph in replacements() {
        let plan = plan(&Case { graph, ..settled() });
        assert_eq!(plan.held, [db()]);
        let step = &plan.resources[&db()];
        assert_eq!(step.action, Action::None);
        assert_eq!(step.definition, "postgres-default@2");
    }
    let [first, _] = replacements();
    insta::assert_snapshot!(plan(&Case {
        graph: first,
        ..settled()
    }));
}

#[test]
fn a_replacement_goes_on_once_it_is_accepted_by_either_name() {
    for graph in replacements() {
        for name in [db(), DB.to_owned()] {
            let accept = BTreeSet::from([name]);
            let plan = plan(&Case {
                graph: graph.clone(),
                accept,
                ..settled()
            });
            assert_eq!(plan.resources[&db()].action, Action::Replace);
            assert!(plan.held.is_empty());
            assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
        }
    }
}

#[test]
fn an_acceptance_that_accepts_nothing_is_remarked_on() {
    let plan = plan(&Case {
        accept: BTreeSet::from(["nosuch".to_owned()]),
        ..settled()
    });
    assert!(plan.warnings[0].contains("`nosuch`"), "{:?}", plan.warnings);
}

#[test]
fn what_holds_no_data_is_replaced_without_asking() {
    let before = graph("dns.default#notes.db", "dns-default", 1, "dns", &json!({}));
    let after = graph("dns.default#notes.db", "dns-cloud", 1, "dns2", &json!({}));
    let mut after = after;
    for node in after.nodes.values_mut() {
        node.holds_data = false;
    }
    let plan = plan(&Case {
        instances: made(&before),
        graph: after,
        ..settled()
    });
    assert_eq!(plan.count(Action::Replace), 1);
    assert!(plan.held.is_empty());
}

#[test]
fn data_that_is_left_for_an_empty_resource_is_told() {
    let left = |node: &str| {
        let params = json!({ "version": "14" });
        plan(&Case {
            graph: graph(node, "postgres-default", 2, "postgres", &params),
            ..settled()
        })
    };
    for node in ["postgres.huge#notes.db", "postgres.default#common"] {
        let plan = left(node);
        assert_eq!(plan.count(Action::Keep), 1);
        let [warning] = plan.warnings.as_slice() else {
            panic!("{:?}", plan.warnings);
        };
        assert!(
            warning.starts_with(&format!("{node} is new and EMPTY")),
            "{warning}"
        );
        assert!(warning.contains(DB), "{warning}");
    }
    assert!(left(DB).warnings.is_empty());
}

#[test]
fn data_that_nobody_asks_for_is_kept_and_anything_else_goes() {
    let dns = graph(
        "dns.default#notes.host",
        "dns-default",
        1,
        "dns",
        &json!({}),
    );
    let mut case = settled();
    case.instances.extend(made(&dns));
    case.graph = Graph::default();
    insta::assert_snapshot!(plan(&case));

    // What another workload needs, and what is not needed for a while already, is not in the plan.
    for used_by in [vec!["notes".to_owned(), "other".to_owned()], vec![]] {
        for (_, users) in case.instances.values_mut() {
            users.clone_from(&used_by);
        }
        assert!(plan(&case).resources.is_empty());
    }
}

#[test]
fn routes_come_and_go_with_their_workload() {
    let route = |host: &str, workload: &str| RouteSpec {
        host: host.into(),
        path: "/".into(),
        environment: "dev".into(),
        workload: workload.into(),
        port: "web".into(),
        instance: None,
    };
    let case = settled();
    let (old, kept, foreign) = (
        route("old.test", "notes"),
        route("kept.test", "notes"),
        route("foreign.test", "other"),
    );
    let running = Running {
        workloads: case
            .running
            .iter()
            .map(|(name, w)| (name.clone(), w))
            .collect(),
        routes: vec![&old, &kept, &foreign],
        ..Running::default()
    };
    let routes = [route("new.test", "notes"), kept.clone()];
    let plan = compute(
        &running,
        &Wanted {
            graph: &Graph::default(),
            workloads: &case.workloads,
            routes: &routes,
            urls: &BTreeMap::new(),
            accept: &case.accept,
            describe: &|provisioner| Some(describe(provisioner)),
            url: &address,
        },
    );
    assert_eq!(plan.routes_added, ["http://new.test:9380/"]);
    assert_eq!(plan.routes_removed, ["http://old.test:9380/"]);
}
