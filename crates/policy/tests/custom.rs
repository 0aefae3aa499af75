//! Policies of a company's own: what they add, and that what is wrong with them is a refusal.

use std::time::Duration;

use delivery::Verifier as _;
use serde_json::{Value, json};
use towpath_policy::{Bundle, Module, RegoVerifier};

fn module(body: &str) -> Module {
    Module {
        name: "own.rego".into(),
        source: format!("package towpath.deploy\n\n{body}\n"),
    }
}

fn input() -> Value {
    json!({
        "caller": { "subject": "ada", "teams": ["notes"], "admin": false },
        "environment": {
            "name": "main", "role": "dev", "team": "notes", "protected": false, "labels": {},
            "engine": "process",
        },
        "workloads": {},
        "plan": { "resources": {}, "workloads": {}, "held": [] },
    })
}

#[tokio::test]
async fn a_policy_from_a_directory_decides_with_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let friday = module(
        r#"deny contains {"rule": "freeze", "message": "no deployments now", "remedy": "wait"} if {
            input.environment.name == "main"
        }"#,
    );
    std::fs::write(directory.path().join("freeze.rego"), &friday.source).unwrap();
    std::fs::write(directory.path().join("notes.txt"), "not a policy").unwrap();

    let bundle = Bundle::built_in().with_directory(directory.path()).unwrap();
    let verifier = RegoVerifier::new(bundle).unwrap();
    let decision = verifier.verify(&input()).await.unwrap();
    assert!(!decision.allowed);
    assert_eq!(decision.denials[0].rule, "freeze");
    assert!(verifier.sources().contains(&(
        directory.path().join("freeze.rego").display().to_string(),
        friday.source
    )));
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let error = Bundle::built_in()
        .with_directory("/nonexistent/policies".as_ref())
        .unwrap_err();
    assert!(error.message.contains("/nonexistent/policies"), "{error}");
}

#[test]
fn a_policy_that_does_not_compile_is_named() {
    for body in [
        "deny contains if {",
        "deny contains x if { x := unknown_name }",
    ] {
        let error = RegoVerifier::new(Bundle::built_in().with(module(body))).unwrap_err();
        assert!(error.message.contains("own.rego"), "{error}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_refuses() {
    let cases = [
        // Only where the environment is `main`, so that it is not seen when the policy is loaded.
        (
            r#"deny contains "no" if input.environment.name == "main""#,
            "{rule, message, remedy}",
        ),
        (
            r#"deny contains {"rule": "a", "message": 1} if input.environment.name == "main""#,
            "{rule, message, remedy}",
        ),
        (
            r#"warn contains {"rule": "a", "message": "b", "level": "c"} if input.environment.name == "main""#,
            "level",
        ),
        (
            r#"deny contains {"rule": "a", "message": m} if {
                input.environment.name == "main"
                m := to_number(input.environment.name)
            }"#,
            "own.rego",
        ),
    ];
    for (body, reason) in cases {
        let verifier = RegoVerifier::new(Bundle::built_in().with(module(body))).unwrap();
        let decision = verifier.verify(&input()).await.unwrap();
        assert!(!decision.allowed, "{body}");
        assert_eq!(decision.denials[0].rule, "policy/undecided");
        assert!(
            decision.denials[0].message.contains(reason),
            "{}",
            decision.denials[0].message
        );
    }
}

#[tokio::test]
async fn what_takes_too_long_refuses() {
    let endless = module(
        r#"deny contains {"rule": "a", "message": "b"} if {
            input.environment.name == "main"
            some i in numbers.range(1, 3000)
            some j in numbers.range(1, 3000)
            i * j == 0
        }"#,
    );
    let bundle = Bundle::built_in().with(endless);
    let verifier = RegoVerifier::with_time_limit(bundle, Duration::from_millis(300)).unwrap();
    let decision = verifier.verify(&input()).await.unwrap();
    assert!(!decision.allowed);
    assert_eq!(decision.denials[0].rule, "policy/undecided");
}

#[test]
fn no_policies_at_all_is_an_error() {
    assert!(RegoVerifier::new(Bundle::default()).is_err());
}
