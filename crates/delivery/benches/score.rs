//! How many Score files a second one core reads, checks and resolves.
//!
//! `cargo bench -p towpath-delivery --bench score`

use std::{
    hint::black_box,
    io::Write as _,
    time::{Duration, Instant},
};

use kernel::Secret;
use serde_json::json;
use towpath_delivery::{
    engine::ReleaseRef,
    provisioner::Output,
    score::{self, Limits, Source},
};

const FILES: usize = 1000;

/// Long enough that the clock and the scheduler do not matter.
const LEAST: Duration = Duration::from_secs(3);

fn main() -> std::io::Result<()> {
    let full = include_str!("../tests/score/valid/full.yaml");
    let files: Vec<Source> = (0..FILES)
        .map(|number| Source {
            name: format!("{number}.yaml"),
            bytes: full
                .replace("bookshop", &format!("bookshop-{number}"))
                .into(),
        })
        .collect();
    let limits = Limits::default();
    let key = Secret::from("a key for the digests of a benchmark");
    let lookup = |resource: &str, path: &[&str]| match (resource, path) {
        ("data", _) => Some(Output::Plain(json!("/srv/data"))),
        (_, ["password"]) => Some(Output::Secret(Secret::from("not a real password"))),
        _ => Some(Output::Plain(json!("127.0.0.1"))),
    };
    let mut out = std::io::stdout().lock();
    let mut report = |what: &str, done: usize, took: Duration| {
        let rate = done as f64 / took.as_secs_f64();
        writeln!(out, "{what}: {rate:.0} files/s ({:.0} µs each)", 1e6 / rate)
    };

    let (done, took) = repeat(&files, |file| {
        black_box(score::parse(file, &limits)).expect("the file is valid");
    });
    report("parse and validate", done, took)?;

    let (done, took) = repeat(&files, |file| {
        let documents = score::parse(file, &limits).expect("the file is valid");
        for document in documents {
            let id = ReleaseRef {
                environment: "dev".into(),
                workload: document.workload.metadata.name.clone(),
                release: 1,
            };
            let release = score::release(
                &document.workload,
                (id, "readers".into()),
                Vec::new(),
                &lookup,
                &key,
            );
            black_box(release).expect("every placeholder is known");
        }
    });
    report("parse, validate and resolve", done, took)
}

/// Goes through all files again and again; how many that were, and in what time.
fn repeat(files: &[Source], mut work: impl FnMut(&Source)) -> (usize, Duration) {
    files.iter().for_each(&mut work);
    let started = Instant::now();
    let mut done = 0;
    while started.elapsed() < LEAST {
        files.iter().for_each(&mut work);
        done += files.len();
    }
    (done, started.elapsed())
}
