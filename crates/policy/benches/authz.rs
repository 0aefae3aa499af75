//! How long a decision over one operation takes. Run by `cargo bench -p towpath-policy --bench authz`.
#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use kernel::{Action, Authorizer as _, Caller, CallerKind, Surroundings, Target};
use towpath_policy::{Bundle, Module, RegoAuthorizer};

const ROUNDS: usize = 10_000;

fn main() {
    let built_in = RegoAuthorizer::new(&Bundle::default()).expect("the built-in rules compile");
    let rule = r#"
        package towpath.authz
        deny contains {"rule": "acme/freeze", "message": "frozen", "remedy": "wait"} if {
            input.action == "deployment.create"
            input.resource.environment.protected
        }"#;
    let own = Bundle::default().with(Module {
        name: "acme.rego".into(),
        source: rule.into(),
    });
    let tightened = RegoAuthorizer::new(&own).expect("the rule compiles");
    let mut member = Caller {
        subject: "local:ada".into(),
        kind: CallerKind::Person,
        teams: vec!["payments".into()],
        environment: None,
        admin: false,
        ..Caller::local_admin()
    };
    measure("a member, allowed", &built_in, &member, true);
    measure(
        "with one rule of an organization",
        &tightened,
        &member,
        true,
    );
    member.teams = (0..100).map(|n| format!("team-{n}")).collect();
    measure(
        "another team's member of 100, refused",
        &built_in,
        &member,
        false,
    );
}

fn measure(what: &str, authorizer: &RegoAuthorizer, caller: &Caller, allowed: bool) {
    let target = Target {
        kind: "Deployment",
        scope: "payments-dev",
        name: "d-1",
        team: "payments",
        environment: Some(Surroundings {
            name: "payments-dev",
            role: "dev",
            protected: false,
        }),
    };
    let action = Action::act("deployment.create");
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let ruling = authorizer.decide(caller, action, &target);
            let took = start.elapsed();
            assert_eq!(ruling.allowed, allowed, "{ruling:?}");
            took
        })
        .collect();
    times.sort_unstable();
    let at = |percent: usize| times[(ROUNDS * percent / 100).min(ROUNDS - 1)];
    println!(
        "{what}: p50 {:?}  p99 {:?}  (promised: p50 under 200 µs)",
        at(50),
        at(99)
    );
}
