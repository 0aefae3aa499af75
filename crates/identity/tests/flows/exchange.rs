//! Workload identity: a CI system's token for one of ours.

use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use kernel::{EventFilter, Means};
use serde_json::{Value, json};

use crate::{
    accounts::account,
    servers::{Ci, Signer},
    support::{Answer, ISSUER, Site, settings, text},
};

const TRUSTS: &str = "/v1/identity/teams/payments/workload-trusts";

pub(crate) struct Setup {
    pub(crate) site: Site,
    pub(crate) ci: Ci,
    pub(crate) signer: Signer,
}

pub(crate) async fn setup() -> Setup {
    let mut settings = settings();
    settings.allow_private_upstreams = true;
    let site = Site::with(settings).await;
    let signer = Signer::new("one");
    let ci = Ci::start(&signer).await;
    account(&site, "ci", json!({})).await;
    let trust = json!({
        "issuer": ci.url,
        "claims": { "repository": "acme/payments", "ref": "refs/heads/*" },
        "serviceAccount": "ci",
    });
    site.admin("PUT", &format!("{TRUSTS}/github"), trust)
        .await
        .ok();
    Setup { site, ci, signer }
}

impl Setup {
    pub(crate) fn claims(&self) -> Value {
        let now = self.site.clock.now().as_second();
        json!({
            "iss": self.ci.url, "aud": ISSUER, "sub": "repo:acme/payments:ref:refs/heads/main",
            "repository": "acme/payments", "ref": "refs/heads/main",
            "iat": now, "nbf": now, "exp": now + 300, "jti": "x",
        })
    }

    pub(crate) async fn exchange(&self, token: &str) -> Answer {
        self.exchange_as("payments/ci", token).await
    }

    async fn exchange_as(&self, account: &str, token: &str) -> Answer {
        let fields = [
            (
                "grant_type",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            ),
            ("client_id", account),
            ("subject_token", token),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ];
        self.site.post("/oauth/token", &fields).await
    }

    /// By which means those came who caused the events of a type.
    async fn means(&self, kind: &str) -> Vec<String> {
        let filter = EventFilter {
            type_prefix: Some(kind.into()),
            ..EventFilter::default()
        };
        let events = self.site.store.events(&filter, 0, 100).await.unwrap();
        assert!(!events.is_empty(), "{kind}");
        events.into_iter().filter_map(|event| event.means).collect()
    }

    async fn with(&self, name: &str, value: Value) -> Answer {
        let mut claims = self.claims();
        claims[name] = value;
        self.exchange(&self.signer.sign(&claims)).await
    }
}

#[tokio::test]
async fn a_job_is_its_teams_service_account() {
    let setup = setup().await;
    let answer = setup
        .exchange(&setup.signer.sign(&setup.claims()))
        .await
        .ok()
        .json();
    assert_eq!(
        answer["issued_token_type"],
        "urn:ietf:params:oauth:token-type:access_token"
    );
    // No longer than the job's own token, and a minute.
    assert_eq!(answer["expires_in"], 360);
    let who = setup
        .site
        .whoami(text(&answer, "access_token"))
        .await
        .ok()
        .json();
    assert_eq!(who["subject"], "account:payments/ci");
    assert_eq!(who["teams"], json!(["payments"]));
    assert_eq!(setup.ci.asked.load(Ordering::SeqCst), 1);
    setup
        .exchange(&setup.signer.sign(&setup.claims()))
        .await
        .ok();
    assert_eq!(setup.ci.asked.load(Ordering::SeqCst), 1, "keys are kept");
    let list = json!(["another", ISSUER]);
    setup.with("aud", list).await.ok();
    let by = setup.means("dev.towpath.workload.logged-in").await;
    assert!(by.iter().all(|means| means == "trust:github"), "{by:?}");
    let verifier = setup.site.identity.verifier();
    let verified = verifier
        .verify(text(&answer, "access_token"))
        .await
        .unwrap();
    assert_eq!(verified.caller.means, Means::Trust("github".into()));
}

#[tokio::test]
async fn a_removed_trust_ends_its_tokens_at_the_next_call() {
    let setup = setup().await;
    let site = &setup.site;
    let got = async || {
        let token = setup.signer.sign(&setup.claims());
        let answer = setup.exchange(&token).await.ok().json();
        text(&answer, "access_token").to_owned()
    };
    let trust = format!("{TRUSTS}/github");
    let spec = json!({
        "issuer": setup.ci.url, "claims": { "repository": "acme/payments" }, "serviceAccount": "ci",
    });
    let token = got().await;
    // What it asks for may change; for whom it stands is another matter.
    site.admin("PUT", &trust, spec.clone()).await.ok();
    site.whoami(&token).await.ok();
    account(site, "other", json!({})).await;
    let mut other = spec.clone();
    other["serviceAccount"] = json!("other");
    site.admin("PUT", &trust, other).await.ok();
    assert_eq!(site.whoami(&token).await.status, 401);
    site.admin("PUT", &trust, spec.clone()).await.ok();

    let token = got().await;
    site.whoami(&token).await.ok();
    site.admin("DELETE", &trust, Value::Null).await.ok();
    let refused = site.whoami(&token).await;
    assert_eq!(refused.status, 401);
    assert!(refused.body.contains("the trust"), "{}", refused.body);
    // Made again under its name it is another.
    site.admin("PUT", &trust, spec).await.ok();
    assert_eq!(site.whoami(&token).await.status, 401);
    site.whoami(&got().await).await.ok();
    // A replica that starts knows them all.
    let replica = Site::on(site.store.clone(), settings(), site.clock.clone()).await;
    assert_eq!(replica.whoami(&token).await.status, 401);
    replica.whoami(&got().await).await.ok();
}

#[tokio::test]
async fn a_job_gives_up_its_token_and_no_other() {
    let setup = setup().await;
    let site = &setup.site;
    let token = setup.signer.sign(&setup.claims());
    let answers = [setup.exchange(&token).await, setup.exchange(&token).await];
    let tokens = answers.map(|answer| text(&answer.ok().json(), "access_token").to_owned());
    let revoke = async |client: &str, token: &str| {
        let fields = [("client_id", client), ("token", token)];
        site.post("/oauth/revoke", &fields).await.ok();
    };
    // Another's is passed over, as RFC 7009 wants it.
    account(site, "other", json!({})).await;
    revoke("payments/other", &tokens[0]).await;
    site.whoami(&tokens[0]).await.ok();
    for _ in 0..2 {
        revoke("payments/ci", &tokens[0]).await;
        assert_eq!(site.whoami(&tokens[0]).await.status, 401);
    }
    site.whoami(&tokens[1]).await.ok();
    setup.exchange(&token).await.ok();
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let setup = setup().await;
    for (name, value) in [
        ("repository", json!("acme/payments-evil")),
        ("repository", json!("evil/payments")),
        ("repository", Value::Null),
        ("ref", json!("refs/heads/a/b")),
        ("ref", json!("refs/tags/v1")),
        ("aud", json!("https://another.example.com")),
        ("aud", Value::Null),
        ("exp", Value::Null),
        ("iss", json!("https://token.actions.githubusercontent.com")),
    ] {
        let answer = setup.with(name, value.clone()).await;
        assert_eq!(answer.error(), "invalid_grant", "{name}: {value}");
        // Whoever shows it is not told what would be taken.
        let said = answer.json()["error_description"].to_string();
        assert!(said.contains("`payments/ci` takes no such token"), "{said}");
        setup.site.advance(10);
    }
    for (name, offset) in [("exp", -61), ("nbf", 61), ("iat", 61)] {
        let time = json!(setup.site.clock.now().as_second() + offset);
        assert_eq!(
            setup.with(name, time).await.error(),
            "invalid_grant",
            "{name}"
        );
        setup.site.advance(60);
    }
    // A time may have decimals, and is none the less over.
    let now = setup.site.clock.now().as_second() as f64;
    for (name, time) in [
        ("exp", now - 61.5),
        ("nbf", now + 61.5),
        ("iat", now + 61.5),
    ] {
        let answer = setup.with(name, json!(time)).await;
        assert_eq!(answer.error(), "invalid_grant", "{name}");
    }
    for (name, time) in [("exp", now + 299.5), ("nbf", now - 0.5), ("iat", now - 0.5)] {
        setup.with(name, json!(time)).await.ok();
    }
    // Skew of a minute is nobody's fault.
    setup
        .with("exp", json!(setup.site.clock.now().as_second() - 59))
        .await
        .ok();

    for token in ["", "x", "a.b.c"] {
        let answer = setup.exchange(token).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{token}");
        setup.site.advance(60);
    }
    let token = setup.signer.sign(&setup.claims());
    for account in ["payments/other", "web/ci", "ci", "/"] {
        let answer = setup.exchange_as(account, &token).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{account}");
    }
    setup.exchange(&token).await.ok();
    let refused = EventFilter {
        type_prefix: Some("dev.towpath.workload.refused".into()),
        ..EventFilter::default()
    };
    let told = setup.site.store.events(&refused, 0, 100).await.unwrap();
    let reasons: Vec<_> = told
        .iter()
        .map(|event| event.data["reason"].to_string())
        .collect();
    assert!(reasons[0].contains("`repository`"), "{reasons:?}");
    assert!(
        reasons.iter().any(|why| why.contains("audience")),
        "{reasons:?}"
    );
    assert!(
        told.iter()
            .all(|event| event.team == "payments" && event.means.as_deref() == Some("nothing")),
        "{told:?}"
    );
}

/// A trust, what a job's token says as its CI system documents it, and what another's says.
struct System {
    name: &'static str,
    audience: Option<&'static str>,
    rules: Value,
    job: Value,
    others: Value,
}

/// GitHub: docs.github.com/actions/reference/openid-connect-reference; GitLab:
/// docs.gitlab.com/ci/secrets/id_token_authentication; CircleCI:
/// circleci.com/docs/openid-connect-tokens (the audience is the organization, unless the job asks for another).
fn systems() -> [System; 3] {
    const ORG: &str = "6ae3cfbe-0f09-4f3a-8d0a-6c9c0c6a0e11";
    const PROJECT: &str = "oidc.circleci.com/project-id";
    let circle = |project: &str| {
        json!({
            "aud": ORG, "sub": format!("org/{ORG}/project/{project}/user/77"), PROJECT: project,
            "oidc.circleci.com/context-ids": ["b0c1"], "oidc.circleci.com/vcs-ref": "refs/heads/main",
            "oidc.circleci.com/vcs-origin": "github.com/acme/payments",
        })
    };
    let gitlab = |path: &str, branch: &str, protected: &str| {
        json!({
            "aud": ISSUER, "sub": format!("project_path:{path}:ref_type:branch:ref:{branch}"),
            "namespace_id": "72", "namespace_path": "acme", "project_id": "20", "project_path": path,
            "user_id": "1", "user_login": "ada", "pipeline_id": "574", "pipeline_source": "push",
            "job_id": "302", "ref": branch, "ref_type": "branch", "ref_path": format!("refs/heads/{branch}"),
            "ref_protected": protected, "runner_environment": "gitlab-hosted", "sha": "714a629c",
        })
    };
    let github = |repository: &str| {
        json!({
            "aud": ISSUER, "sub": format!("repo:{repository}:environment:prod"), "environment": "prod",
            "repository": repository, "repository_id": "74", "repository_owner": "acme",
            "repository_owner_id": "65", "repository_visibility": "private", "actor": "ada",
            "actor_id": "12", "ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true",
            "run_id": "1", "run_attempt": "2", "event_name": "workflow_dispatch", "workflow": "deploy",
            "job_workflow_ref": format!("{repository}/.github/workflows/deploy.yml@refs/heads/main"),
            "runner_environment": "github-hosted", "sha": "714a629c",
        })
    };
    [
        System {
            name: "github",
            audience: None,
            rules: json!({ "repository": "acme/payments", "environment": "prod", "ref_protected": "true" }),
            job: github("acme/payments"),
            others: github("acme/web"),
        },
        System {
            name: "gitlab",
            audience: None,
            rules: json!({ "project_path": "acme/payments", "ref_path": "refs/heads/*", "ref_protected": "true" }),
            job: gitlab("acme/payments", "main", "true"),
            others: gitlab("acme/payments", "evil", "false"),
        },
        System {
            name: "circleci",
            audience: Some(ORG),
            rules: json!({ PROJECT: "f7b1", "oidc.circleci.com/context-ids": "b0c1" }),
            job: circle("f7b1"),
            others: circle("0000"),
        },
    ]
}

#[tokio::test]
async fn the_tokens_of_each_ci_system_are_taken_as_it_documents_them() {
    let setup = setup().await;
    for system in systems() {
        let System { name, audience, .. } = system;
        account(&setup.site, name, json!({})).await;
        let mut trust = json!({
            "issuer": setup.ci.url, "claims": system.rules, "serviceAccount": name,
        });
        if let Some(audience) = audience {
            trust["audience"] = json!(audience);
        }
        let path = format!("{TRUSTS}/of-{name}");
        setup.site.admin("PUT", &path, trust).await.ok();
        let exchange = async |claims: &Value| {
            let mut all = claims.clone();
            let now = setup.site.clock.now().as_second();
            for (claim, value) in [("iat", now), ("nbf", now), ("exp", now + 300)] {
                all[claim] = json!(value);
            }
            all["iss"] = json!(setup.ci.url);
            let token = setup.signer.sign(&all);
            setup.exchange_as(&format!("payments/{name}"), &token).await
        };
        let answer = exchange(&system.job).await.ok().json();
        let who = setup.site.whoami(text(&answer, "access_token")).await;
        let subject = who.ok().json()["subject"].clone();
        assert_eq!(subject, format!("account:payments/{name}"));
        assert_eq!(
            exchange(&system.others).await.error(),
            "invalid_grant",
            "{name}"
        );
        setup.site.advance(60);
    }
}

#[tokio::test]
async fn a_trust_must_narrow_its_issuer_down() {
    let setup = setup().await;
    let trust = |over: &[(&str, Value)]| {
        let mut trust = json!({
            "issuer": setup.ci.url, "claims": { "repository": "acme/web" }, "serviceAccount": "ci",
        });
        for (name, value) in over {
            trust[*name] = value.clone();
        }
        trust
    };
    for (over, status) in [
        (("claims", json!({})), 422),
        (("claims", json!({ "repository": "**" })), 422),
        (("claims", json!({ "repository": "*/*" })), 422),
        (("claims", json!({ "ref": "refs/heads/main" })), 422),
        (("claims", json!({ "iss": setup.ci.url })), 422),
        (("issuer", json!("nothing")), 422),
        (("serviceAccount", json!("nobody")), 404),
    ] {
        let answer = setup
            .site
            .admin(
                "PUT",
                &format!("{TRUSTS}/web"),
                trust(std::slice::from_ref(&over)),
            )
            .await;
        assert_eq!(answer.status, status, "{over:?}: {}", answer.body);
    }
    setup
        .site
        .admin("PUT", &format!("{TRUSTS}/web"), trust(&[]))
        .await
        .ok();
    // Who is stood for is not removed.
    let path = "/v1/identity/teams/payments/service-accounts/ci";
    let answer = setup.site.admin("DELETE", path, Value::Null).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    for name in ["web", "github"] {
        setup
            .site
            .admin("DELETE", &format!("{TRUSTS}/{name}"), Value::Null)
            .await
            .ok();
    }
    setup.site.admin("DELETE", path, Value::Null).await.ok();
    let token = setup.signer.sign(&setup.claims());
    assert_eq!(setup.exchange(&token).await.error(), "invalid_grant");

    // Where private addresses are not allowed, a team cannot have them asked.
    let public = Site::new().await;
    account(&public, "ci", json!({})).await;
    let answer = public
        .admin("PUT", &format!("{TRUSTS}/web"), trust(&[]))
        .await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn no_trust_outlives_the_account_that_it_stands_for() {
    let setup = setup().await;
    let trust = |name: &str| {
        json!({
            "issuer": setup.ci.url, "claims": { "repository": "acme/payments" },
            "serviceAccount": name,
        })
    };
    for round in 0..12 {
        let name = format!("round-{round}");
        account(&setup.site, &name, json!({})).await;
        let one = format!("/v1/identity/teams/payments/service-accounts/{name}");
        let path = format!("{TRUSTS}/{name}");
        // Both look before either has written.
        let (put, delete) = tokio::join!(
            setup.site.admin("PUT", &path, trust(&name)),
            setup.site.admin("DELETE", &one, Value::Null),
        );
        let (trusted, there) = (
            setup.site.admin("GET", &path, Value::Null).await.status,
            setup.site.admin("GET", &one, Value::Null).await.status,
        );
        assert_eq!(trusted, there, "{round}: {}, {}", put.status, delete.status);
    }
}
