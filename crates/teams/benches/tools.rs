//! What a tick of integrations costs with many teams, each of which has a place of its own at one tool: a
//! hundred teams, then a thousand. The tool answers at once that all is as it should be, so that what is
//! measured is the platform's own work.
//!
//! `cargo bench -p towpath-teams --bench tools`

#![expect(clippy::print_stdout, reason = "it is what a benchmark is for")]
#![allow(clippy::unwrap_used, reason = "what it needs is there, or it ends")]

#[allow(dead_code, unused_macros, reason = "it uses its part")]
#[path = "../tests/teams/support.rs"]
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use kernel::{Caller, Change, Driver, Key, Kind as _, NewEvent, Problem, Resource, Result};
use serde_json::{Value, json};
use support::Site;
use teams::{
    model::{IntegrationPlace, Team, TeamSpec},
    reconcile::Integrations,
    tool::{Call, Found, Home, Place, Tool, Wanted},
};
use testkit::eventually;

/// How many times as many teams the second run has.
const TIMES: usize = 10;
const FEW: usize = 100;
/// Ticks, of which the median counts.
const TICKS: usize = 5;
/// How much longer the tick of ten times as many teams may take: far from the hundred times of a square.
const WANTED: f64 = 20.0;

/// A tool in which each team has a place that is as it should be.
#[derive(Default)]
struct Still {
    looks: AtomicUsize,
}

#[async_trait]
impl Tool for Still {
    fn kind(&self) -> &'static str {
        "still"
    }

    fn check(&self, _: &Value) -> Vec<Problem> {
        vec![]
    }

    fn home(&self, _: &Value, team: &str) -> Result<Option<Home>> {
        Ok(Some(Home {
            at: format!("still://{team}"),
            what: format!("the place of `{team}`"),
            adopted: true,
            remedy: "rename one of them",
        }))
    }

    async fn look(&self, _: Place<'_>, _: &Wanted) -> Result<Found> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        Ok(Found::default())
    }

    async fn mend(&self, _: Place<'_>, _: &Call) -> Result<()> {
        Ok(())
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (first_few, few) = runtime.block_on(ticks(FEW));
    let (first_many, many) = runtime.block_on(ticks(FEW * TIMES));
    let ratio = |many: Duration, few: Duration| many.as_secs_f64() / few.as_secs_f64();
    println!(
        "first look at {FEW} teams {first_few:.2?}, at {} teams {first_many:.2?}: {:.1} times that",
        FEW * TIMES,
        ratio(first_many, first_few),
    );
    println!(
        "tick of integrations of {FEW} teams, median {few:.2?}, of {} teams {many:.2?}: {:.1} times that   \
         (wanted: under {WANTED})",
        FEW * TIMES,
        ratio(many, few),
    );
}

/// How long the first look at all teams takes, which takes their places, and how long a tick in the median.
async fn ticks(teams: usize) -> (Duration, Duration) {
    let tool = Arc::new(Still::default());
    let site = Site::with_tools(vec![tool.clone()]).await;
    let names: Vec<String> = (0..teams).map(|n| format!("team-{n}")).collect();
    let mut change = Change::new();
    for name in &names {
        site.outside.group(name, &["ada"]);
        let spec = TeamSpec {
            group: name.clone(),
            source: Some("local".into()),
            ..TeamSpec::default()
        };
        change
            .create(&Resource::<Team>::new("", name.as_str(), spec))
            .unwrap();
    }
    site.store.commit(change).await.unwrap();
    let new = json!({ "type": "still", "config": {} });
    let new = serde_json::from_value(new).unwrap();
    let admin = Caller::local_admin();
    let made = site.teams.integration_put(&admin, "tool", new, None);
    made.await.unwrap();
    let long = Duration::from_mins(10);
    let looked = async |looks: usize| {
        eventually("all are looked at", long, || async {
            (tool.looks.load(Ordering::SeqCst) >= looks).then_some(())
        })
        .await;
    };
    let start = Instant::now();
    let driver = Driver::new(site.store.clone(), "bench".into())
        .with(Arc::new(Integrations(site.teams.clone())))
        .start();
    looked(teams).await;
    // Whoever was looked at takes its place after it.
    eventually("all have their places", long, || async {
        let places = site.store.keys(IntegrationPlace::KIND, None).await.unwrap();
        (places.len() == teams).then_some(())
    })
    .await;
    let first = start.elapsed();
    let mut times = Vec::new();
    for _ in 0..TICKS {
        let before = tool.looks.load(Ordering::SeqCst);
        let mut tick = Change::new();
        for name in &names {
            let key = Key::of::<Team>("", name.as_str());
            tick.event(NewEvent::caused(
                "team.sync",
                key,
                name,
                &admin,
                None,
                json!({}),
            ));
        }
        let start = Instant::now();
        site.store.commit(tick).await.unwrap();
        looked(before + teams).await;
        times.push(start.elapsed());
    }
    driver.shutdown().await;
    times.sort();
    (first, times[TICKS / 2])
}
