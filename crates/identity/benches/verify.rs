//! What the verification of an access token takes: signature, claims, and whether its account still
//! has what it says.
//!
//! `cargo bench -p towpath-identity --bench verify`

use std::{
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use identity::{
    Clock, Identity, Settings,
    model::{LocalGroupSpec, LocalUserSpec, ServiceAccountSpec},
    service::ClientCredentials,
};
use kernel::{Caller, Sealer, Secret, Store};

/// Groups, each with as many members: the view that is asked is not an empty one.
const GROUPS: usize = 100;
const MEMBERS: usize = 20;
/// Samples of the median.
const SAMPLES: usize = 20_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run())
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let url = format!("sqlite://{}/store.db", directory.path().display());
    let store = Store::open(&url, Sealer::generate()?).await?;
    let settings = Settings::new("http://127.0.0.1:7070");
    let identity = Arc::new(Identity::start(store, settings, Clock::system()).await?);
    let admin = Caller::local_admin();
    let mut members = Vec::new();
    for number in 0..MEMBERS {
        let name = format!("user-{number}");
        identity
            .user_put(&admin, &name, LocalUserSpec::default(), None, None)
            .await?;
        members.push(name);
    }
    for number in 0..GROUPS {
        let group = LocalGroupSpec {
            members: members.clone(),
            ..LocalGroupSpec::default()
        };
        identity
            .group_put(&admin, &format!("group-{number}"), group, None)
            .await?;
    }
    let spec = ServiceAccountSpec::default();
    identity
        .account_put(&admin, "group-0", "ci", spec, None)
        .await?;
    let key = identity.account_rotate(&admin, "group-0", "ci").await?;
    let credentials = ClientCredentials {
        id: key.client_id,
        secret: Some(Secret::from(key.client_secret)),
    };
    let answer = identity
        .client_credentials(&credentials, "127.0.0.1")
        .await?;

    let verifier = identity.verifier();
    let token = answer.access_token;
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let start = Instant::now();
        let verified = verifier.verify(&token).await?;
        samples.push(start.elapsed());
        assert_eq!(verified.caller.teams, ["group-0"]);
    }
    samples.sort_unstable();
    let at = |share: usize| micros(samples[SAMPLES * share / 100]);
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "verify an access token: median {:.1} µs, p99 {:.1} µs ({SAMPLES} in a row)",
        at(50),
        at(99)
    )?;
    Ok(())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
