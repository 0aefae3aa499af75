//! The whole sync tick of a thousand teams with a hundred members each, at once, on the embedded store:
//! how long it takes, and what memory is left over after several. Beside it, in the same run, how long it
//! takes to write the same teams and nothing else.
//!
//! `cargo bench -p towpath-teams --bench tick`

#![expect(clippy::print_stdout, reason = "it is what a benchmark is for")]
#![allow(clippy::unwrap_used, reason = "what it needs is there, or it ends")]

#[allow(dead_code, unused_macros, reason = "it uses its part")]
#[path = "../tests/teams/support.rs"]
mod support;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kernel::{Change, Driver, EventFilter, Query, Resource, Store};
use support::Site;
use teams::{
    model::{Team, TeamSpec},
    reconcile::Onboarding,
};
use testkit::eventually;

const TEAMS: usize = 1000;
const MEMBERS: usize = 100;
/// Ticks, of which the first makes what later ones use again.
const TICKS: usize = 6;
/// What a tick may take.
const WANTED: Duration = Duration::from_secs(5);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(ticks());
}

async fn ticks() {
    let site = Site::new().await;
    let names: Vec<String> = (0..MEMBERS).map(|n| format!("person-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut change = Change::new();
    for n in 0..TEAMS {
        let name = format!("team-{n}");
        site.outside.group(&name, &names);
        let spec = TeamSpec {
            group: name.clone(),
            ..TeamSpec::default()
        };
        change
            .create(&Resource::<Team>::new("", name, spec))
            .unwrap();
    }
    site.store.commit(change).await.unwrap();
    // Nobody listens yet: what the writes alone take.
    let mut writes = Vec::new();
    for _ in 0..TICKS {
        let change = another_generation(&site.store).await;
        let start = Instant::now();
        site.store.commit(change).await.unwrap();
        writes.push(start.elapsed());
    }
    let driver = Driver::new(site.store.clone(), "bench".into())
        .with(Arc::new(Onboarding(site.teams.clone())))
        .start();
    let long = Duration::from_mins(5);
    // Their namespaces are backed by nobody: they are told of all the same.
    eventually("all are told of", long, || async {
        (told(&site.store, 0).await.0 >= TEAMS).then_some(())
    })
    .await;
    let (mut times, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..TICKS {
        let (_, head) = told(&site.store, 0).await;
        let change = another_generation(&site.store).await;
        let start = Instant::now();
        site.store.commit(change).await.unwrap();
        eventually("all are told of again", long, || async {
            (told(&site.store, head).await.0 >= TEAMS).then_some(())
        })
        .await;
        times.push(start.elapsed());
        memory.push(resident());
    }
    driver.shutdown().await;
    times.sort();
    writes.sort();
    let (tick, write) = (times[TICKS / 2], writes[TICKS / 2]);
    println!(
        "tick of {TEAMS} teams with {MEMBERS} members   median {tick:.2?}   slowest {:.2?}   (wanted: under \
         {WANTED:.0?})",
        times[TICKS - 1],
    );
    println!(
        "  writing the same teams alone {write:.2?}: a tick is {:.1} times that",
        tick.as_secs_f64() / write.as_secs_f64()
    );
    println!(
        "  resident after each tick {memory:?} MiB: {:+} MiB from the first to the last   (wanted: flat)",
        memory[TICKS - 1] - memory[0]
    );
}

/// Another generation of each team: the whole tick at once, which is otherwise spread over minutes.
async fn another_generation(store: &Store) -> Change {
    let mut change = Change::new();
    for mut team in store.list_all::<Team>(&Query::default()).await.unwrap() {
        team.spec.contact.push('.');
        change.spec(&team).unwrap();
    }
    change
}

/// How many teams were told of after a place in the log, and where that ends.
async fn told(store: &Store, mut after: i64) -> (usize, i64) {
    let filter = EventFilter {
        type_prefix: Some("dev.towpath.team.sync".into()),
        ..EventFilter::default()
    };
    let mut teams = std::collections::BTreeSet::new();
    loop {
        let events = store.events(&filter, after, Store::MAX_EVENTS).await;
        let events = events.unwrap();
        let Some(last) = events.last() else {
            return (teams.len(), after);
        };
        after = last.seq;
        teams.extend(events.into_iter().map(|event| event.subject));
    }
}

/// Resident memory of this process, in MiB.
fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: i64 = line
        .unwrap()
        .trim()
        .strip_suffix(" kB")
        .unwrap()
        .parse()
        .unwrap();
    kib / 1024
}
