//! Who may do what, by the built-in rules and by an organization's.

use std::time::Duration;

use kernel::{Action, Authorizer as _, Caller, CallerKind, Ruling, Surroundings, Target};
use towpath_policy::{Bundle, Module, RegoAuthorizer};

const READ: Action = Action::see("workload.read");
const DEPLOY: Action = Action::act("deployment.create");
const DELETE: Action = Action::act("workload.delete");
const REVEAL: Action = Action::act("resource.reveal");
const PLAN: Action = Action::act("deployment.plan");
const DEFINE: Action = Action::act("resource-definition.change");

fn caller(kind: CallerKind, teams: &[&str]) -> Caller {
    Caller {
        subject: "somebody".into(),
        kind,
        teams: teams.iter().map(|team| (*team).to_owned()).collect(),
        environment: (kind == CallerKind::DeployCredential).then(|| "dev".into()),
        admin: false,
        ..Caller::local_admin()
    }
}

/// A workload of team `payments` in this environment.
fn workload(environment: &str) -> Target<'_> {
    Target {
        kind: "Workload",
        scope: environment,
        name: "hello",
        team: "payments",
        environment: Some(Surroundings {
            name: environment,
            role: environment,
            protected: environment == "prod",
        }),
    }
}

fn built_in() -> RegoAuthorizer {
    RegoAuthorizer::new(&Bundle::default()).unwrap()
}

fn tightened(source: &str) -> kernel::Result<RegoAuthorizer> {
    RegoAuthorizer::new(&Bundle::default().with(Module {
        name: "acme.rego".into(),
        source: source.into(),
    }))
}

fn rules(ruling: &Ruling) -> Vec<&str> {
    ruling.reasons.iter().map(|why| why.rule.as_str()).collect()
}

#[test]
fn the_team_is_the_boundary() {
    let policy = built_in();
    for kind in [CallerKind::Person, CallerKind::ServiceAccount] {
        for action in [READ, PLAN, DEPLOY, DELETE, REVEAL] {
            let member = caller(kind, &["shop", "payments"]);
            assert!(policy.decide(&member, action, &workload("dev")).allowed);
            for teams in [&[][..], &["shop"], &[""]] {
                let stranger = caller(kind, teams);
                let ruling = policy.decide(&stranger, action, &workload("dev"));
                assert_eq!(rules(&ruling), ["authz/team"], "{action:?} {teams:?}");
                assert!(ruling.reasons[0].remedy.is_some());
            }
        }
    }
}

#[test]
fn managers_are_those_of_the_source_that_is_meant() {
    let onboard = Action::act("team.create");
    let of = |source: &str, group: &str| Caller {
        subject: format!("{source}:ada"),
        groups: vec![group.into()],
        ..caller(CallerKind::Person, &[])
    };
    for (managers, may, may_not) in [
        ("managers", ("local", "managers"), ("github", "managers")),
        ("github:acme/m", ("github", "acme/m"), ("local", "acme/m")),
        ("corp:m", ("corp", "m"), ("corp2", "m")),
    ] {
        let policy = RegoAuthorizer::with_overseers(&Bundle::default(), managers, &[]).unwrap();
        let decide =
            |(source, group)| policy.decide(&of(source, group), onboard, &Target::default());
        assert!(decide(may).allowed, "{managers}");
        let refused = decide(may_not);
        assert_eq!(rules(&refused), ["authz/manager"], "{managers}");
        assert!(refused.reasons[0].message.contains(may.0), "{refused:?}");
    }
}

#[test]
fn keepers_are_service_accounts_and_see_teams_alone() {
    let keepers = ["watch".to_owned()];
    let policy = RegoAuthorizer::with_overseers(&Bundle::default(), "managers", &keepers).unwrap();
    let all = Target {
        kind: "Team",
        name: "payments",
        ..Target::default()
    };
    let oversee = Action::see("team.oversee");
    for (kind, team, may) in [
        (CallerKind::ServiceAccount, "watch", true),
        (CallerKind::ServiceAccount, "shop", false),
        (CallerKind::Person, "watch", false),
        (CallerKind::Agent, "watch", false),
        (CallerKind::DeployCredential, "watch", false),
    ] {
        let one = caller(kind, &[team]);
        assert_eq!(policy.decide(&one, oversee, &all).allowed, may, "{kind:?}");
        for action in ["team.create", "team.govern", "integration.read"] {
            let ruling = policy.decide(&one, Action::act(action), &all);
            assert!(!ruling.allowed, "{kind:?} {team} {action}");
        }
    }
}

#[test]
fn operators_are_people() {
    let policy = built_in();
    for kind in [
        CallerKind::Person,
        CallerKind::ServiceAccount,
        CallerKind::DeployCredential,
        CallerKind::Agent,
        CallerKind::LocalAdmin,
    ] {
        let mut caller = caller(kind, &[]);
        assert!(!policy.decide(&caller, DEFINE, &Target::default()).allowed);
        caller.admin = true;
        let human = matches!(kind, CallerKind::Person | CallerKind::LocalAdmin);
        for (action, target) in [(DEFINE, Target::default()), (DELETE, workload("prod"))] {
            let ruling = policy.decide(&caller, action, &target);
            assert_eq!(ruling.allowed, human, "{kind:?} {ruling:?}");
        }
    }
}

#[test]
fn a_deploy_credential_keeps_to_its_environment() {
    let policy = built_in();
    let credential = caller(CallerKind::DeployCredential, &["payments"]);
    for action in [READ, PLAN, DEPLOY] {
        assert!(policy.decide(&credential, action, &workload("dev")).allowed);
        let ruling = policy.decide(&credential, action, &workload("prod"));
        assert_eq!(rules(&ruling), ["authz/deploy-credential"]);
    }
    for action in [DELETE, REVEAL, Action::act("environment.create")] {
        assert!(!policy.decide(&credential, action, &workload("dev")).allowed);
    }
    let unbound = Caller {
        environment: None,
        ..credential
    };
    assert!(!policy.decide(&unbound, READ, &workload("dev")).allowed);
    // Nor where a resource is in no environment, and neither says one.
    let nowhere = Target {
        environment: None,
        kind: "Route",
        ..workload("dev")
    };
    assert!(!policy.decide(&unbound, READ, &nowhere).allowed);
}

#[test]
fn an_agent_reads_and_plans() {
    let policy = built_in();
    let agent = caller(CallerKind::Agent, &["payments"]);
    for action in [READ, PLAN] {
        assert!(policy.decide(&agent, action, &workload("prod")).allowed);
    }
    for action in [DEPLOY, DELETE, REVEAL] {
        let ruling = policy.decide(&agent, action, &workload("dev"));
        assert_eq!(rules(&ruling), ["authz/agent"], "{action:?}");
    }
}

#[test]
fn what_nobody_has_a_rule_for_is_refused() {
    let policy = built_in();
    let member = caller(CallerKind::Person, &["payments"]);
    let unheard = Action::act("workload.frobnicate");
    assert!(!policy.decide(&member, unheard, &workload("dev")).allowed);
    // What belongs to nobody is nobody's, be the list of teams as odd as it likes.
    let of_nobody = Target {
        team: "",
        ..workload("dev")
    };
    let odd = caller(CallerKind::Person, &["", "payments"]);
    assert!(!policy.decide(&odd, READ, &of_nobody).allowed);
}

#[test]
fn an_organization_takes_away_and_does_not_give() {
    let policy = tightened(
        r#"package towpath.authz
        allow if input.caller.subject == "somebody"
        deny contains {"rule": "acme/freeze", "message": "production is frozen", "remedy": "wait"} if {
            input.action == "deployment.create"
            input.resource.environment.protected
        }"#,
    )
    .unwrap();
    let stranger = caller(CallerKind::Person, &["shop"]);
    assert!(!policy.decide(&stranger, READ, &workload("dev")).allowed);
    let member = caller(CallerKind::Person, &["payments"]);
    assert!(policy.decide(&member, DEPLOY, &workload("dev")).allowed);
    let mut admin = Caller::local_admin();
    for caller in [&member, &admin] {
        let ruling = policy.decide(caller, DEPLOY, &workload("prod"));
        assert_eq!(rules(&ruling), ["acme/freeze"]);
    }
    admin.admin = false;
    assert_eq!(policy.sources().len(), 2);
}

#[test]
fn a_rule_that_cannot_be_understood_allows_nothing_and_says_so() {
    assert!(tightened("package towpath.authz\ndeny contains {").is_err());
    let odd = tightened(
        r#"package towpath.authz
        deny contains "no" if input.action == "workload.read""#,
    )
    .unwrap();
    let admin = Caller::local_admin();
    let ruling = odd.decide(&admin, READ, &workload("dev"));
    assert_eq!(rules(&ruling), ["authz/undecided"]);
    assert!(ruling.undecided && !ruling.allowed);
    assert!(odd.decide(&admin, DEPLOY, &workload("dev")).allowed);
}

#[test]
fn a_rule_without_end_is_undecided_and_the_built_in_rules_are_not_bound_by_its_limit() {
    let endless = tightened(
        r#"package towpath.authz
        deny contains {"rule": "acme/slow", "message": "m", "remedy": "r"} if {
            input.action == "workload.read"
            some a in numbers.range(1, 3000)
            some b in numbers.range(1, 3000)
            a * b == -1
        }"#,
    )
    .unwrap()
    .with_deny_limit(Duration::ZERO);
    let ruling = endless.decide(&Caller::local_admin(), READ, &workload("dev"));
    assert_eq!(rules(&ruling), ["authz/undecided"]);
    assert!(ruling.undecided && !ruling.allowed);
    // What these refuse is refused, however little time the organization's have.
    let stranger = caller(CallerKind::Person, &["shop"]);
    let ruling = endless.decide(&stranger, READ, &workload("dev"));
    assert_eq!(rules(&ruling), ["authz/team"]);
    assert!(!ruling.undecided);
}

#[test]
fn a_deploy_credential_is_told_no_values() {
    let policy = built_in();
    let credential = caller(CallerKind::DeployCredential, &["payments"]);
    let secret = |name: &'static str| Target {
        kind: "TeamSecret",
        scope: "payments",
        name,
        team: "payments",
        environment: None,
    };
    let read = Action::act("secret.read");
    let seen = |name| policy.decide(&credential, read, &secret(name)).allowed;
    assert!(seen("stripe/api-key") && seen("deploy-credentials/dev/ci"));
    assert!(!seen("deploy-credentials/prod/ci") && !seen("deploy-credentials/dev-2/ci"));
    let reveal = Action::act("secret.reveal");
    // Its own next key neither: it would outlive its rotation.
    for name in ["stripe/api-key", "deploy-credentials/dev/ci"] {
        let ruling = policy.decide(&credential, reveal, &secret(name));
        assert_eq!(rules(&ruling), ["authz/deploy-credential"], "{name}");
    }
    let write = Action::act("secret.write");
    assert!(!policy.decide(&credential, write, &secret("a")).allowed);
    let agent = caller(CallerKind::Agent, &["payments"]);
    assert!(!policy.decide(&agent, reveal, &secret("a")).allowed);
    let pipeline = caller(CallerKind::ServiceAccount, &["payments"]);
    assert!(policy.decide(&pipeline, reveal, &secret("a")).allowed);
}

#[test]
fn who_automates_for_a_team_says_what_has_happened() {
    const PUBLISH: Action = Action::act("event.publish");
    let policy = built_in();
    let may = |kind, team: &str, place: &str| {
        let target = kernel::Publication::target(team, place);
        let ruling = policy.decide(&caller(kind, &["payments"]), PUBLISH, &target);
        ruling.allowed
    };
    for kind in [CallerKind::Person, CallerKind::ServiceAccount] {
        assert!(may(kind, "payments", "") && may(kind, "payments", "prod"));
        assert!(!may(kind, "shop", "") && !may(kind, "", ""));
    }
    // Of its own environment alone, and an agent of nothing.
    let credential = CallerKind::DeployCredential;
    assert!(may(credential, "payments", "dev") && !may(credential, "payments", "prod"));
    assert!(!may(credential, "payments", "") && !may(credential, "shop", "dev"));
    assert!(!may(CallerKind::Agent, "payments", "dev"));
}
