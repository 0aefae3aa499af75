//! Matching and the graph, through `graph::build` and `Catalogue`.

use std::collections::BTreeMap;

use kernel::Problem;
use proptest::prelude::*;
use serde_json::{Value, json};
use towpath_delivery::{
    definition::{Catalogue, Context, Revision, graph},
    model::{Graph, NodeId, ResourceDefinitionSpec},
    score,
};

fn catalogue(definitions: &[(&str, Value)]) -> Catalogue {
    Catalogue::new(
        definitions
            .iter()
            .map(|(name, spec)| {
                let spec: ResourceDefinitionSpec =
                    serde_json::from_value(spec.clone()).expect("a definition");
                ((*name).to_owned(), Revision { revision: 1, spec })
            })
            .collect(),
    )
}

fn environment() -> Context {
    Context {
        environment: "pr-42".into(),
        role: "ephemeral".into(),
        team: "notes".into(),
        labels: BTreeMap::from([("region".to_owned(), "eu".to_owned())]),
        ..Context::default()
    }
}

fn workload(name: &str, resources: &Value) -> (String, score::Workload) {
    let workload = json!({
        "apiVersion": "score.dev/v1b1",
        "metadata": { "name": name, "tier": "gold" },
        "containers": { "web": { "image": "x:1" } },
        "resources": resources,
    });
    (
        name.to_owned(),
        serde_json::from_value(workload).expect("a workload"),
    )
}

fn build(
    catalogue: &Catalogue,
    workloads: impl IntoIterator<Item = (String, score::Workload)>,
) -> Result<Graph, Vec<Problem>> {
    graph::build(&graph::Input {
        environment: &environment(),
        domain: "localhost",
        workloads: &workloads.into_iter().collect(),
        catalogue,
        accepted: &BTreeMap::new(),
        holds_data: &|provisioner| provisioner == "postgres",
    })
    .map(|built| built.graph)
}

fn plain(resource_type: &str) -> Value {
    json!({ "type": resource_type, "provisioner": resource_type })
}

fn messages(problems: &[Problem]) -> String {
    problems.iter().fold(String::new(), |text, problem| {
        let Problem {
            rule,
            path,
            message,
            remedy,
            ..
        } = problem;
        let remedy = remedy
            .as_deref()
            .expect("every problem says how to mend it");
        format!("{text}{rule} at `{path}`: {message}\n  {remedy}\n")
    })
}

fn need() -> Context {
    Context {
        resource_type: "postgres".into(),
        class: "large".into(),
        id: "notes.db".into(),
        workload: Some("notes".into()),
        ..environment()
    }
}

#[test]
fn the_most_specific_definition_wins_rank_by_rank() {
    // From the least to the most specific: each beats all those before it.
    let ranks = [
        ("everywhere", json!([])),
        ("one-label", json!([{ "labels": { "region": "eu" } }])),
        ("class", json!([{ "class": "large" }])),
        ("role", json!([{ "role": "ephemeral", "class": "large" }])),
        ("team", json!([{ "team": "notes" }])),
        ("environment", json!([{ "environment": "pr-42" }])),
        ("workload", json!([{ "workload": "notes" }])),
        ("id", json!([{ "id": "notes.db" }])),
    ];
    for count in 1..=ranks.len() {
        let definitions: Vec<_> = ranks[..count]
            .iter()
            .map(|(name, criteria)| {
                let mut spec = plain("postgres");
                spec["criteria"] = criteria.clone();
                (*name, spec)
            })
            .collect();
        let explained = catalogue(&definitions).explain(&need());
        assert_eq!(
            explained.chosen.map(|c| c.name).as_deref(),
            Some(ranks[count - 1].0)
        );
    }
}

#[test]
fn rivals_are_an_error_that_names_them_and_their_criteria() {
    let mut one = plain("postgres");
    one["criteria"] = json!([{ "team": "notes" }]);
    let two = one.clone();
    let catalogue = catalogue(&[("one", one), ("two", two), ("base", plain("postgres"))]);
    let problem = catalogue.find(&need()).expect_err("an ambiguity");
    insta::assert_snapshot!("rivals", messages(&[problem]));
    insta::assert_snapshot!("rivals_explained", catalogue.explain(&need()).text());
}

#[test]
fn what_nothing_meets_says_why_for_each() {
    let mut prod = plain("postgres");
    prod["criteria"] = json!([{ "role": "prod" }, { "labels": { "region": "us", "tier": "a" } }]);
    let catalogue = catalogue(&[("prod", prod), ("redis", plain("redis"))]);
    let none = catalogue.find(&need()).expect_err("nothing holds");
    let unknown = Context {
        resource_type: "postgress".into(),
        ..need()
    };
    let unknown = catalogue.find(&unknown).expect_err("an unknown type");
    let foreign = Context {
        resource_type: "mainframe".into(),
        ..need()
    };
    let foreign = catalogue.find(&foreign).expect_err("an unknown type");
    insta::assert_snapshot!("nothing_holds", messages(&[none, unknown, foreign]));
}

#[test]
fn what_no_definition_meets_any_more_stays_on_the_accepted_one() {
    let mut elsewhere = plain("postgres");
    elsewhere["criteria"] = json!([{ "role": "prod" }]);
    let gone = json!({
        "type": "postgres", "provisioner": "postgres", "resources": { "disk": { "type": "volume" } },
    });
    let accepted = (
        serde_json::from_value(json!({ "name": "gone", "revision": 2 })).expect("a reference"),
        serde_json::from_value(gone).expect("a definition"),
    );
    let id = |text: &str| NodeId::try_from(text.to_owned()).expect("a node id");
    let accepted = BTreeMap::from([(id("postgres.default#notes.db"), accepted)]);
    let with = |definitions: &[(&str, Value)]| {
        graph::build(&graph::Input {
            environment: &environment(),
            domain: "localhost",
            workloads: &[workload("notes", &json!({ "db": { "type": "postgres" } }))].into(),
            catalogue: &catalogue(definitions),
            accepted: &accepted,
            holds_data: &|_| false,
        })
    };
    let stays = with(&[("elsewhere", elsewhere), ("disk", plain("volume"))]).expect("a graph");
    assert_eq!(
        stays.graph.nodes[&id("postgres.default#notes.db")]
            .definition
            .to_string(),
        "gone@2"
    );
    assert!(
        stays
            .graph
            .nodes
            .contains_key(&id("volume.default#notes.db.disk"))
    );
    insta::assert_snapshot!("stays", stays.stays[0].message);

    let rivals = with(&[("one", plain("postgres")), ("two", plain("postgres"))]);
    assert_eq!(
        rivals.expect_err("nobody can say")[0].rule,
        "definition/ambiguous"
    );
}

#[test]
fn placeholders_of_context_params_and_metadata_are_resolved_and_others_become_edges() {
    let catalogue = catalogue(&[
        ("db", plain("postgres")),
        (
            "app",
            json!({
                "type": "app", "provisioner": "template",
                "params": {
                    "name": "${context.workload}-${context.environment}.${context.domain}",
                    "url": "${params.url}",
                    "size": "${params.size}",
                    "zone": "${resources.zone.name}",
                    "literal": "$${context.team}",
                },
                "resources": { "zone": { "type": "dns", "class": "@", "id": "@" } },
            }),
        ),
        ("dns", plain("dns")),
    ]);
    let (name, notes) = workload(
        "notes",
        &json!({
            "db": { "type": "postgres" },
            "app": { "type": "app", "class": "big", "params": {
                "url": "${resources.db.host}/${metadata.tier}", "size": 3,
            }},
        }),
    );
    let graph = build(&catalogue, [(name, notes)]).expect("a graph");
    insta::assert_snapshot!(
        "placeholders",
        serde_json::to_string_pretty(&graph).expect("JSON")
    );
}

#[test]
fn a_cycle_is_shown() {
    let catalogue = catalogue(&[
        (
            "a",
            json!({ "type": "aa", "provisioner": "x", "resources": { "b": { "type": "bb", "id": "one" } } }),
        ),
        (
            "b",
            json!({ "type": "bb", "provisioner": "x", "resources": { "a": { "type": "aa", "id": "one" } } }),
        ),
    ]);
    let problems = build(
        &catalogue,
        [workload(
            "notes",
            &json!({ "r": { "type": "aa", "id": "one" } }),
        )],
    )
    .expect_err("a cycle");
    insta::assert_snapshot!("cycle", messages(&problems));
}

#[test]
fn definitions_that_ask_for_each_other_without_end_are_an_error() {
    let catalogue = catalogue(&[(
        "a",
        json!({ "type": "aa", "provisioner": "x", "resources": { "next": { "type": "aa" } } }),
    )]);
    let problems = build(
        &catalogue,
        [workload("notes", &json!({ "r": { "type": "aa" } }))],
    )
    .expect_err("an endless chain");
    let told = |problems: &[Problem]| {
        let told = problems.iter();
        told.map(|it| (it.rule.clone(), it.message.clone()))
            .collect::<Vec<_>>()
    };
    let expected = |circle: &str| {
        let message = format!("definitions ask for each other without end: {circle}");
        vec![("graph/too-deep".to_owned(), message)]
    };
    assert_eq!(told(&problems), expected("a -> a"));

    // What leads into the circle is not of it; and each way on is as long.
    let asks = |of: &str, next: &str| {
        let both = json!({ "one": { "type": next }, "two": { "type": next } });
        json!({ "type": of, "provisioner": "x", "resources": both })
    };
    let catalogue = self::catalogue(&[
        ("first", asks("ff", "aa")),
        ("a", asks("aa", "bb")),
        ("b", asks("bb", "aa")),
    ]);
    let problems = build(
        &catalogue,
        [workload("notes", &json!({ "r": { "type": "ff" } }))],
    )
    .expect_err("an endless chain");
    // The last definition on the way closes the circle.
    assert_eq!(told(&problems), expected("b -> a -> b"));
}

#[test]
fn a_shared_resource_is_one_node_and_other_parameters_are_refused() {
    let catalogue = catalogue(&[(
        "cache",
        json!({ "type": "redis", "provisioner": "redis", "params": { "size": "${params.size}" } }),
    )]);
    let asks = |name: &str, size: u32| {
        workload(
            name,
            &json!({ "cache": { "type": "redis", "id": "shared", "params": { "size": size } } }),
        )
    };
    let graph = build(&catalogue, [asks("one", 1), asks("two", 1)]).expect("a graph");
    let (_, node) = graph.nodes.first_key_value().expect("a node");
    assert_eq!(graph.nodes.len(), 1);
    assert_eq!(
        node.asked_by,
        ["one.resources.cache", "two.resources.cache"]
    );
    assert_eq!(node.workload, None);

    let problems = build(&catalogue, [asks("one", 1), asks("two", 2)]).expect_err("a conflict");
    insta::assert_snapshot!("shared_conflict", messages(&problems));
}

#[test]
fn the_same_words_for_different_resources_are_a_conflict_too() {
    let catalogue = catalogue(&[
        ("db", plain("postgres")),
        (
            "app",
            json!({ "type": "app", "provisioner": "x", "params": { "db": "${params.db}" } }),
        ),
    ]);
    let asks = |name: &str| {
        workload(
            name,
            &json!({
                "db": { "type": "postgres" },
                "app": { "type": "app", "id": "shared", "params": { "db": "${resources.db.host}" } },
            }),
        )
    };
    let problems = build(&catalogue, [asks("one"), asks("two")]).expect_err("a conflict");
    assert_eq!(problems[0].rule, "graph/shared-conflict");
}

#[test]
fn what_is_made_along_waits_for_its_parent_or_is_waited_for() {
    let catalogue = catalogue(&[
        (
            "db",
            json!({ "type": "postgres", "provisioner": "postgres", "coprovision": [
                { "type": "backup", "order": "after", "params": { "of": "${resources.parent.host}" } },
                { "type": "grant", "order": "beside" },
            ]}),
        ),
        (
            "backup",
            json!({ "type": "backup", "provisioner": "x", "params": { "of": "${params.of}" } }),
        ),
        ("grant", plain("grant")),
        (
            "app",
            json!({ "type": "app", "provisioner": "x", "params": { "db": "${params.db}" } }),
        ),
    ]);
    let graph = build(
        &catalogue,
        [workload(
            "notes",
            &json!({
                "db": { "type": "postgres" },
                "app": { "type": "app", "params": { "db": "${resources.db.host}" } },
            }),
        )],
    )
    .expect("a graph");
    let waits: BTreeMap<String, Vec<String>> = graph
        .nodes
        .iter()
        .map(|(id, node)| {
            (
                id.to_string(),
                node.depends_on.iter().map(ToString::to_string).collect(),
            )
        })
        .collect();
    insta::assert_snapshot!("along", serde_json::to_string_pretty(&waits).expect("JSON"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The order in which workloads, resources and parameters are written changes nothing.
    #[test]
    fn the_graph_is_the_same_byte_for_byte(order in Just((0..6_usize).collect::<Vec<_>>()).prop_shuffle()) {
        let catalogue = catalogue(&[
            ("db", json!({ "type": "postgres", "provisioner": "postgres", "params": { "a": "${params.a}", "b": "${params.b}" } })),
            ("cache", plain("redis")),
        ]);
        let asked = |index: usize| -> (String, Value) {
            match index % 3 {
                0 => (format!("cache{index}"), json!({ "type": "redis", "id": "shared" })),
                1 => (format!("db{index}"), json!({ "type": "postgres", "params": { "a": 1, "b": 2 } })),
                _ => (format!("db{index}"), json!({ "type": "postgres", "params": { "b": "${resources.cache0.host}", "a": 1 } })),
            }
        };
        let write = |order: &[usize]| {
            let resources: serde_json::Map<String, Value> = order.iter().map(|i| asked(*i)).collect();
            let resources = Value::Object(resources);
            let names = if order[0].is_multiple_of(2) { ["one", "two"] } else { ["two", "one"] };
            let workloads = names.map(|name| workload(name, &resources));
            serde_json::to_string(&build(&catalogue, workloads).expect("a graph")).expect("JSON")
        };
        prop_assert_eq!(write(&order), write(&[0, 1, 2, 3, 4, 5]));
    }
}
