//! What a team waits for until it is onboarded is said by name, condition by condition.

use std::sync::Arc;

use kernel::{Change, Driver, Resource};
use serde_json::json;
use teams::{
    model::{
        Integration, IntegrationSpec, IntegrationState, IntegrationStatus, Namespace,
        NamespaceStatus, Step, TeamSelector, Truth,
    },
    reconcile::Onboarding,
};
use testkit::eventually;

use crate::{
    reconciled::{LONG, back, driver, team},
    support::Site,
};

on_both!(
    a_namespace_that_cannot_be_made_says_why,
    a_namespace_without_a_host_is_named,
    a_tool_that_is_not_in_step_is_named_with_its_reason,
    a_group_that_is_reserved_gives_no_rights_and_says_so,
    a_group_that_no_source_has_is_made_with_a_lead,
    a_credential_that_cannot_be_asked_for_is_unknown,
);

/// What the condition says once it is `status`, and the team's phase then.
async fn says(site: &Site, kind: &str, status: Truth) -> (String, String) {
    let what = format!("{kind} is {status:?}");
    eventually(&what, LONG, || async {
        let found = team(&site.store, "payments").await?;
        let condition = found.status.condition(kind)?;
        (condition.status == status)
            .then(|| (condition.message.clone(), found.status.phase.clone()))
    })
    .await
}

/// The same once it says this.
async fn waits(site: &Site, kind: &str, status: Truth, why: &str) {
    let what = format!("{kind}: {why}");
    let phase = eventually(&what, LONG, || async {
        let found = team(&site.store, "payments").await?;
        let condition = found.status.condition(kind)?;
        (condition.status == status && condition.message == why).then_some(found.status.phase)
    })
    .await;
    assert_eq!(phase, "onboarding");
}

/// Says of `payments-dev` what whoever backs it would.
async fn namespace_is(site: &Site, status: NamespaceStatus) {
    let found = eventually("the namespace is asked for", LONG, || async {
        let found = site
            .store
            .get::<Namespace>("payments", "payments-dev")
            .await;
        found.unwrap()
    })
    .await;
    kernel::anew(|| async {
        let found: Resource<Namespace> = site.store.expect("payments", &found.meta.name).await?;
        let mut change = Change::new();
        change.status(&Resource::<Namespace> {
            status: status.clone(),
            ..found
        })?;
        site.store.commit(change).await
    })
    .await
    .unwrap();
}

async fn onboard(site: &Site) {
    site.outside.group("payments", &["ada"]);
    site.onboard(json!({ "name": "payments", "environments": ["dev"] }))
        .await;
}

async fn a_namespace_that_cannot_be_made_says_why(site: Site) {
    let driver = driver(&site);
    onboard(&site).await;
    waits(
        &site,
        "NamespacesReady",
        Truth::False,
        "payments-dev is being made",
    )
    .await;
    let why = "there is no role `dev`";
    namespace_is(
        &site,
        NamespaceStatus {
            message: why.into(),
            ..NamespaceStatus::default()
        },
    )
    .await;
    let said = format!("payments-dev: {why}");
    waits(&site, "NamespacesReady", Truth::False, &said).await;
    back(&site.store, "payments-dev", false).await;
    let (message, phase) = says(&site, "NamespacesReady", Truth::True).await;
    assert_eq!(
        (message.as_str(), phase.as_str()),
        ("1 namespaces", "ready")
    );
    driver.shutdown().await;
}

async fn a_namespace_without_a_host_is_named(site: Site) {
    let driver = driver(&site);
    onboard(&site).await;
    let ready = NamespaceStatus {
        ready: true,
        protected: Some(false),
        ..NamespaceStatus::default()
    };
    namespace_is(&site, ready).await;
    says(&site, "NamespacesReady", Truth::True).await;
    waits(
        &site,
        "GatewaysReady",
        Truth::False,
        "payments-dev has no host yet",
    )
    .await;
    back(&site.store, "payments-dev", false).await;
    let (hosts, phase) = says(&site, "GatewaysReady", Truth::True).await;
    assert_eq!(
        (hosts.as_str(), phase.as_str()),
        ("*.payments-dev.localhost", "ready")
    );
    driver.shutdown().await;
}

/// Says how far the tool `wiki` is with the team.
async fn wiki_is(site: &Site, step: Step, message: &str) {
    kernel::anew(|| async {
        let found = site
            .store
            .get::<IntegrationState>("payments", "wiki")
            .await?;
        let is_new = found.is_none();
        let mut state =
            found.unwrap_or_else(|| Resource::<IntegrationState>::new("payments", "wiki", ()));
        state.status = IntegrationStatus {
            step: step.clone(),
            message: message.into(),
            ..IntegrationStatus::default()
        };
        let mut change = Change::new();
        if is_new {
            change.create(&state)?;
        } else {
            change.status(&state)?;
        }
        site.store.commit(change).await
    })
    .await
    .unwrap();
}

async fn a_tool_that_is_not_in_step_is_named_with_its_reason(site: Site) {
    let spec = IntegrationSpec {
        description: String::new(),
        tool: "http".into(),
        config: json!({}),
        teams: TeamSelector::default(),
        enabled: true,
    };
    let mut change = Change::new();
    change
        .create(&Resource::<Integration>::new("", "wiki", spec))
        .unwrap();
    site.store.commit(change).await.unwrap();
    let driver = driver(&site);
    onboard(&site).await;
    back(&site.store, "payments-dev", false).await;
    let kind = "IntegrationsReady";
    waits(&site, kind, Truth::False, "wiki is yet to be looked at").await;
    wiki_is(&site, Step::OutOfStep, "it has no space `payments`").await;
    waits(
        &site,
        kind,
        Truth::False,
        "wiki: it has no space `payments`",
    )
    .await;
    wiki_is(&site, Step::Resting, "").await;
    waits(
        &site,
        kind,
        Truth::False,
        "wiki is yet to be looked at again",
    )
    .await;
    // Whoever does not answer has not said no.
    wiki_is(&site, Step::Unknown, "it does not answer").await;
    waits(&site, kind, Truth::Unknown, "wiki: it does not answer").await;
    wiki_is(&site, Step::InStep, "").await;
    let (done, phase) = says(&site, kind, Truth::True).await;
    assert_eq!((done.as_str(), phase.as_str()), ("in step: wiki", "ready"));
    driver.shutdown().await;
}

async fn a_group_that_is_reserved_gives_no_rights_and_says_so(site: Site) {
    onboard(&site).await;
    // The platform is started anew, and the group is that of its operators.
    let site = site.reserving(&["payments"]).await;
    let driver = Driver::new(site.store.clone(), "test".into())
        .with(Arc::new(Onboarding(site.teams.clone())))
        .start();
    back(&site.store, "payments-dev", false).await;
    let (why, phase) = says(&site, "RoleBindingsReady", Truth::False).await;
    assert!(why.contains("the group `payments` is reserved"), "{why}");
    assert!(
        why.contains("towpath team change payments --group"),
        "{why}"
    );
    assert_eq!(phase, "onboarding");
    site.outside.group("pay", &["ada"]);
    let path = "/v1/platforms/teams/payments";
    let (status, answer) = site
        .ask("admin", "PATCH", path, json!({ "group": "pay" }))
        .await;
    assert_eq!(status, 200, "{answer}");
    let (done, phase) = says(&site, "RoleBindingsReady", Truth::True).await;
    assert_eq!(
        done,
        "the members of `pay` have the team's rights, as asked at each call"
    );
    assert_eq!(phase, "ready");
    driver.shutdown().await;
}

async fn a_group_that_no_source_has_is_made_with_a_lead(site: Site) {
    *site.outside.alone.lock().unwrap() = true;
    let driver = driver(&site);
    let team = json!({ "name": "payments", "environments": [] });
    site.onboard(team).await;
    let (why, _) = says(&site, "GroupFound", Truth::False).await;
    assert!(why.contains("no source has the group `payments`"), "{why}");
    assert!(why.contains("towpath team change payments --lead"), "{why}");
    let path = "/v1/platforms/teams/payments";
    let lead = json!({ "leads": ["local:ada"] });
    let (status, answer) = site.ask("admin", "PATCH", path, lead).await;
    assert_eq!(status, 200, "{answer}");
    says(&site, "GroupFound", Truth::True).await;
    driver.shutdown().await;
}

async fn a_credential_that_cannot_be_asked_for_is_unknown(site: Site) {
    *site.outside.no_keys_known.lock().unwrap() = true;
    let driver = driver(&site);
    onboard(&site).await;
    back(&site.store, "payments-dev", false).await;
    let said = "payments-dev: where keys are kept does not answer";
    waits(&site, "CredentialsReady", Truth::Unknown, said).await;
    *site.outside.no_keys_known.lock().unwrap() = false;
    let (_, phase) = says(&site, "CredentialsReady", Truth::True).await;
    assert_eq!(phase, "ready");
    driver.shutdown().await;
}
