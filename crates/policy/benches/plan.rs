//! How long it takes from a Score file to a decision: read, match, plan and verify for 10 resources.
//! Run by `cargo bench -p towpath-policy --bench plan`.
#![allow(clippy::print_stdout)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::{Duration, Instant},
};

use delivery::{
    Verifier as _,
    definition::{Applicable, Catalogue, Context, Revision, defaults, graph},
    plan::{self, Running, Wanted},
    score,
};
use serde_json::json;
use towpath_policy::{Bundle, RegoVerifier};

const ROUNDS: usize = 1_000;
const RESOURCES: usize = 10;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let verifier = RegoVerifier::new(Bundle::built_in()).expect("the built-in policies compile");
    let definitions = defaults()
        .into_iter()
        .filter_map(|document| match document {
            Applicable::ResourceDefinition(found) => Some((
                found.metadata.name.to_string(),
                Revision {
                    revision: 1,
                    spec: found.spec,
                },
            )),
            _ => None,
        });
    let catalogue = Catalogue::new(definitions.collect());
    let text = score_file();
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            runtime.block_on(decide(&text, &catalogue, &verifier));
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |percent: usize| times[(ROUNDS * percent / 100).min(ROUNDS - 1)];
    println!("read, match, plan and verify, {RESOURCES} resources, {ROUNDS} rounds");
    println!(
        "p50 {:?}  p99 {:?}  (promised: p99 under 20 ms)",
        at(50),
        at(99)
    );
}

fn score_file() -> String {
    let mut text = String::from(
        "apiVersion: score.dev/v1b1\nmetadata: {name: notes}\ncontainers:\n  web:\n    image: notes:1\n    variables:\n",
    );
    for index in 0..RESOURCES {
        writeln!(text, "      URL_{index}: ${{resources.r{index}.host}}").expect("a String grows");
    }
    text.push_str("resources:\n");
    let types = ["postgres", "redis", "amqp", "s3", "dns"];
    for index in 0..RESOURCES {
        writeln!(text, "  r{index}: {{type: {}}}", types[index % types.len()])
            .expect("a String grows");
    }
    text
}

async fn decide(text: &str, catalogue: &Catalogue, verifier: &RegoVerifier) {
    let source = score::Source {
        name: "score.yaml".into(),
        bytes: text.as_bytes().to_vec(),
    };
    let documents = score::parse(&source, &score::Limits::default()).expect("a good file");
    let workloads: BTreeMap<_, _> = documents
        .into_iter()
        .map(|document| (document.workload.metadata.name.clone(), document.workload))
        .collect();
    let environment = Context {
        environment: "main".into(),
        role: "dev".into(),
        team: "notes".into(),
        ..Context::default()
    };
    let graph = graph::build(&graph::Input {
        environment: &environment,
        domain: "localhost",
        workloads: &workloads,
        catalogue,
        accepted: &BTreeMap::new(),
        holds_data: &|_| true,
    })
    .expect("every need is met")
    .graph;
    assert_eq!(graph.nodes.len(), RESOURCES);
    let plan = plan::compute(
        &Running::default(),
        &Wanted {
            graph: &graph,
            workloads: &workloads,
            routes: &[],
            urls: &BTreeMap::new(),
            accept: &BTreeSet::new(),
            describe: &|_| None,
            url: &|host, path| format!("http://{host}{path}"),
        },
    );
    let input = json!({
        "caller": { "subject": "ada", "teams": ["notes"], "admin": false },
        "environment": {
            "name": "main", "role": "dev", "team": "notes", "protected": false, "labels": {},
            "engine": "process",
        },
        "workloads": workloads,
        "plan": plan,
    });
    let decision = verifier.verify(&input).await.expect("a decision");
    assert!(decision.allowed, "{:?}", decision.denials);
}
