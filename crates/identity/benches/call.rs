//! What a call costs before it does anything: who calls (signature, claims, session, memberships, the
//! registry of teams), and whether they may (the rules in Rego, as the guard asks them). Beside it, in the same
//! run, the check of the signature alone: nothing can be had for less.
//!
//! `cargo bench -p towpath-identity --bench call`

#![allow(clippy::unwrap_used, reason = "a bench fails by a panic")]

#[allow(dead_code, reason = "what logs somebody in is a part of it")]
#[path = "../tests/flows/support.rs"]
mod support;

use std::{
    hint::black_box,
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use identity::{Either, model::PublishedKey};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use kernel::{
    Action, Authorizer as _, Caller, Change, Clock, Guard, Resource, Sealer, Secret, Store,
    Surroundings, Target,
    http::{AdminToken, Authenticator},
};
use policy::{Bundle, Module, RegoAuthorizer};
use serde_json::Value;
use support::{ADMIN, Site, settings, text};
use teams::{
    Registered, Registry,
    model::{Team, TeamSpec},
};
use testkit::servers::postgres_database;

/// Teams, each with as many members: what is asked is no empty platform.
const TEAMS: usize = 100;
const MEMBERS: usize = 20;
/// The teams of whoever calls.
const THEIRS: usize = 3;
/// Samples of each median.
const SAMPLES: usize = 20_000;
/// What is wanted of both together.
const WANTED: Duration = Duration::from_micros(200);

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        run("sqlite", Site::new().await).await?;
        let Some(database) = postgres_database().await else {
            return Ok(());
        };
        let store = Store::open(&database.url, Sealer::generate()?).await?;
        // Ahead of the store's own clock, which dates resources.
        let clock = Clock::manual(Timestamp::now() + Duration::from_mins(1));
        run("postgres", Site::on(store, settings(), clock).await).await
    })
}

/// On Postgres other replicas write, too: each call asks how far the log goes.
async fn run(on: &str, site: Site) -> Result<(), Failure> {
    furnish(&site).await?;
    let (store, identity) = (site.store.clone(), site.identity.clone());
    let token = Secret::from(text(&site.login("user-0").await, "access_token"));
    let callers = Either::new(AdminToken::new(Secret::from(ADMIN)), identity.verifier());
    let callers = Registered::new(callers, Registry::load(store.clone(), vec![]).await?);
    let keys = identity.keys(&Caller::local_admin()).await?;

    let signature = of_signature(&keys, token.text()?)?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{on}: {SAMPLES} each; wanted of a call: median under {} µs",
        WANTED.as_micros()
    )?;
    let base = told(&mut out, "the signature alone", signature, None)?;
    let freeze = r#"
        package towpath.authz
        deny contains {"rule": "acme/freeze", "message": "frozen", "remedy": "wait"} if {
            input.action == "deployment.create"
            input.resource.environment.protected
        }"#;
    let organization = Bundle::default().with(Module {
        name: "acme.rego".into(),
        source: freeze.into(),
    });
    for (what, rules) in [
        ("a call", Bundle::default()),
        ("a call, with a rule of an organization", organization),
    ] {
        let authorizer = Arc::new(RegoAuthorizer::new(&rules)?);
        let guard = Guard::new(store.clone(), authorizer.clone());
        let times = of_call(&callers, &guard, &token).await?;
        told(&mut out, what, times, Some(base))?;
        if rules == Bundle::default() {
            let caller = callers.authenticate(&token).await?;
            let who = of_caller(&callers, &token).await?;
            told(&mut out, "  of that, who calls", who, Some(base))?;
            let times = sampled(|| authorizer.decide(&caller, DEPLOY, &DEPLOYMENT).allowed);
            told(&mut out, "  of that, whether they may", times, Some(base))?;
        }
    }
    Ok(())
}

const DEPLOY: Action = Action::act("deployment.create");
const DEPLOYMENT: Target<'static> = Target {
    kind: "Deployment",
    scope: "team-0-dev",
    name: "d-1",
    team: "team-0",
    environment: Some(Surroundings {
        name: "team-0-dev",
        role: "dev",
        protected: false,
    }),
};

/// Makes the teams, each with its group.
async fn furnish(site: &Site) -> Result<(), Failure> {
    let members: Vec<_> = (0..MEMBERS)
        .map(|number| format!("user-{number}"))
        .collect();
    let members: Vec<_> = members.iter().map(String::as_str).collect();
    for name in &members {
        site.user(name).await;
    }
    for number in 0..TEAMS {
        let name = format!("team-{number}");
        // Whoever calls is in some of the teams.
        let of = if number < THEIRS {
            0..MEMBERS
        } else {
            1..MEMBERS
        };
        site.group(&name, &members[of]).await;
        let spec = TeamSpec {
            group: name.clone(),
            ..TeamSpec::default()
        };
        let mut change = Change::new().by(&Caller::local_admin());
        change.create(&Resource::<Team>::new("", &name, spec))?;
        site.store.commit(change).await?;
    }
    Ok(())
}

fn of_signature(keys: &[PublishedKey], token: &str) -> Result<Vec<Duration>, Failure> {
    let kid = jsonwebtoken::decode_header(token)?.kid;
    let key = keys.iter().find(|key| Some(&key.kid) == kid.as_ref());
    let key = key.ok_or("the token's key is not published")?;
    let key = DecodingKey::from_rsa_components(&key.n, &key.e)?;
    let mut nothing_else = Validation::new(Algorithm::RS256);
    nothing_else.validate_exp = false;
    nothing_else.validate_aud = false;
    nothing_else.set_required_spec_claims::<&str>(&[]);
    Ok(sampled(|| {
        jsonwebtoken::decode::<Value>(token, &key, &nothing_else).is_ok()
    }))
}

async fn of_caller(callers: &impl Authenticator, token: &Secret) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let start = Instant::now();
        black_box(callers.authenticate(token).await?);
        times.push(start.elapsed());
    }
    Ok(times)
}

async fn of_call(
    callers: &impl Authenticator,
    guard: &Guard,
    token: &Secret,
) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let start = Instant::now();
        let caller = callers.authenticate(token).await?;
        guard.require(&caller, DEPLOY, &DEPLOYMENT).await?;
        times.push(start.elapsed());
    }
    Ok(times)
}

fn sampled(is_good: impl Fn() -> bool) -> Vec<Duration> {
    let sample = |_| {
        let start = Instant::now();
        assert!(black_box(is_good()), "what is measured does not work");
        start.elapsed()
    };
    (0..SAMPLES).map(sample).collect()
}

/// Prints the median, the 99th percentile, and how many times `base` that is; gives the median.
fn told(
    out: &mut impl std::io::Write,
    what: &str,
    mut times: Vec<Duration>,
    base: Option<Duration>,
) -> Result<Duration, Failure> {
    times.sort_unstable();
    let (median, p99) = (times[SAMPLES / 2], times[SAMPLES * 99 / 100]);
    let ratio = base.map_or(1.0, |base| median.as_secs_f64() / base.as_secs_f64());
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    writeln!(
        out,
        "{what:<40} median {:>6.1} µs  p99 {:>6.1} µs  x{ratio:.2}",
        micros(median),
        micros(p99)
    )?;
    Ok(median)
}
