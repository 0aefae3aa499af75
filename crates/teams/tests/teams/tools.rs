//! The register of tools: who may say what, what is found, and who is reminded of what, once.

use std::{sync::Arc, time::Duration};

use kernel::{
    Caller, CallerKind, Change, Driver, DriverHandle, EventFilter, Key, Resource, Result,
};
use serde_json::{Value, json};
use teams::{
    model::{
        Integration, IntegrationSpec, IntegrationState, IntegrationStatus, Offboarding, Step, Team,
        TeamSelector, TeamSpec, Tool,
    },
    reconcile::ToolCredentials,
};
use testkit::eventually;

use crate::{reconciled::LONG, support::Site};

on_both!(
    who_answers_for_a_tool_says_what_it_is_and_everybody_reads_it,
    what_is_found_follows_from_what_is_so_now,
    who_answers_for_a_credential_is_reminded_once_whatever_is_killed,
    a_team_that_a_credential_is_handed_to_is_reminded_itself,
    what_cannot_be_is_refused_at_its_place_and_nothing_is_written,
);

const DAY: Duration = Duration::from_hours(24);

/// A person in these teams.
fn person(name: &str, teams: &[&str]) -> Caller {
    Caller {
        subject: format!("local:{name}"),
        kind: CallerKind::Person,
        teams: teams.iter().map(|team| (*team).to_owned()).collect(),
        admin: false,
        ..Caller::local_admin()
    }
}

fn document(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "towpath.dev/v1", "kind": "Tool", "metadata": { "name": name }, "spec": spec,
    })
}

/// The pipelines, which security administers: all of it goes by itself.
fn pipelines() -> Value {
    json!({
        "title": "Pipelines", "url": "https://ci.example.com", "owner": { "team": "security" },
        "authentication": "oidc", "authorization": "claims", "api": true,
    })
}

/// The same with these credentials.
pub(crate) fn with(credentials: Value) -> Value {
    let mut spec = pipelines();
    spec["credentials"] = credentials;
    spec
}

impl Site {
    async fn apply(&self, caller: &Caller, documents: &[Value]) -> Result<String> {
        assert!(documents.iter().all(teams::Teams::takes));
        let placed = documents.iter().enumerate();
        let placed: Vec<_> = placed
            .map(|(index, one)| (format!("documents[{index}]"), one.clone()))
            .collect();
        let mut change = Change::new().by(caller);
        let applied = self.teams.apply(caller, &placed, &mut change).await?;
        self.store.commit(change).await?;
        Ok(format!("{:?}", applied[0].outcome))
    }

    /// Registers a tool, as whoever operates the platform.
    pub(crate) async fn register(&self, spec: &Value) {
        let admin = Caller::local_admin();
        self.apply(&admin, &[document("pipelines", spec)])
            .await
            .unwrap();
    }

    async fn found(&self) -> Vec<String> {
        let (status, tool) = self.get("local:bob", "/v1/platforms/tools/pipelines").await;
        assert_eq!(status, 200, "{tool}");
        let findings = tool["status"]["findings"].as_array().cloned();
        let rule = |one: &Value| one["rule"].as_str().unwrap().to_owned();
        findings.unwrap_or_default().iter().map(rule).collect()
    }

    /// What was told of tools, in order, as `TYPE CREDENTIAL TEAM`.
    async fn told_of_tools(&self) -> Vec<String> {
        let filter = EventFilter {
            type_prefix: Some("dev.towpath.tool.credential-".into()),
            ..EventFilter::default()
        };
        let events = self.store.events(&filter, 0, 1000).await.unwrap();
        let word = |event: kernel::Event| {
            let kind = &event.kind["dev.towpath.tool.credential-".len()..];
            let credential = event.data["credential"].as_str().unwrap();
            format!("{kind} {credential} {}", event.team)
        };
        events.into_iter().map(word).collect()
    }

    pub(crate) async fn add_team(&self, name: &str) {
        let spec = TeamSpec {
            group: name.into(),
            ..TeamSpec::default()
        };
        let mut change = Change::new();
        change
            .create(&Resource::<Team>::new("", name, spec))
            .unwrap();
        self.store.commit(change).await.unwrap();
    }
}

async fn who_answers_for_a_tool_says_what_it_is_and_everybody_reads_it(site: Site) {
    for team in ["security", "payments"] {
        site.add_team(team).await;
    }
    let (sam, ada) = (person("sam", &["security"]), person("ada", &["payments"]));
    let put = async |caller: &Caller, spec: Value| {
        let applied = site.apply(caller, &[document("pipelines", &spec)]).await;
        applied.unwrap_or_else(|error| format!("{:?}", error.kind))
    };
    // Which tools there are is for those who operate the platform to say.
    assert_eq!(put(&sam, pipelines()).await, "Forbidden");
    let admin = Caller::local_admin();
    assert_eq!(put(&admin, pipelines()).await, "Created");
    // As it is, anybody may say.
    assert_eq!(put(&ada, pipelines()).await, "Unchanged");
    // What it is, the team that administers it, and nobody else.
    let titled = |title: &str| {
        let mut spec = pipelines();
        spec["title"] = title.into();
        spec
    };
    assert_eq!(put(&ada, titled("Ours")).await, "Forbidden");
    assert_eq!(put(&sam, titled("Build")).await, "Changed");
    let agent = Caller {
        kind: CallerKind::Agent,
        ..sam.clone()
    };
    assert_eq!(put(&agent, titled("Ours")).await, "Forbidden");
    // Each team its own credentials; nobody another's, nor the tool's other fields with them.
    let of = |team: &str, scope: &str| json!({ "kind": "team", "owner": team, "scope": scope });
    let mut spec = titled("Build");
    spec["credentials"] = json!({ "own": of("security", "all") });
    assert_eq!(put(&ada, spec.clone()).await, "Forbidden");
    assert_eq!(put(&sam, spec.clone()).await, "Changed");
    spec["credentials"]["pay"] = of("payments", "one");
    assert_eq!(put(&sam, spec.clone()).await, "Forbidden");
    assert_eq!(put(&ada, spec.clone()).await, "Changed");
    spec["credentials"]["pay"] = of("security", "one");
    assert_eq!(put(&ada, spec.clone()).await, "Forbidden");
    assert_eq!(put(&sam, spec.clone()).await, "Forbidden");
    spec["credentials"]["pay"] = of("payments", "one");
    // To hand it over is to say who administers it.
    spec["owner"] = json!({ "group": "it-operations" });
    assert_eq!(put(&sam, spec.clone()).await, "Forbidden");
    assert_eq!(put(&admin, spec.clone()).await, "Changed");
    spec["title"] = "Build again".into();
    assert_eq!(put(&sam, spec).await, "Forbidden");
    // Everybody needs to know which there are.
    for who in ["local:bob", "pipeline shop", "agent shop", "admin"] {
        let (status, all) = site.get(who, "/v1/platforms/tools").await;
        assert_eq!(status, 200, "{who}: {all}");
        assert_eq!(all["items"][0]["metadata"]["name"], "pipelines", "{who}");
    }
    let path = "/v1/platforms/tools/pipelines";
    for (who, expected) in [("local:bob", 403), ("admin", 204), ("admin", 404)] {
        assert_eq!(
            site.ask(who, "DELETE", path, Value::Null).await.0,
            expected,
            "{who}"
        );
    }
    assert_eq!(site.get("local:bob", path).await.0, 404);
}

async fn what_is_found_follows_from_what_is_so_now(site: Site) {
    site.add_team("security").await;
    let mut spec = with(json!({
        "ada": {
            "kind": "personal", "person": "local:ada", "owner": "security",
            "kept": { "integration": "ci" },
        },
    }));
    spec["authorization"] = json!({ "integration": "ci" });
    site.register(&spec).await;
    let missing = [
        "integration-missing",
        "personal-credential",
        "integration-missing",
    ];
    assert_eq!(site.found().await, missing);
    let personal =
        async |of: Option<&'static str>| site.teams.personal_credentials(of).await.unwrap();
    let theirs = personal(Some("local:ada")).await;
    assert_eq!(
        (theirs[0].tool.as_str(), theirs[0].team.as_str()),
        ("pipelines", "security")
    );
    assert_eq!(personal(None).await, theirs);
    for nobody in ["local:ad", ""] {
        assert_eq!(personal(Some(nobody)).await, []);
    }
    // There it is, and fails for one team.
    let integration = IntegrationSpec {
        description: String::new(),
        tool: "http".into(),
        config: json!({}),
        teams: TeamSelector::default(),
        enabled: true,
    };
    let mut change = Change::new();
    change
        .create(&Resource::<Integration>::new("", "ci", integration))
        .unwrap();
    for (team, step) in [
        ("payments", Step::InStep),
        ("shop", Step::Unknown),
        ("gone", Step::Resting),
    ] {
        let mut state = Resource::<IntegrationState>::new(team, "ci", ());
        let label = IntegrationState::INTEGRATION.to_owned();
        state.meta.labels.insert(label, "ci".into());
        state.status = IntegrationStatus {
            step,
            ..IntegrationStatus::default()
        };
        IntegrationState::mark(&mut state);
        change.create(&state).unwrap();
    }
    site.store.commit(change).await.unwrap();
    assert_eq!(
        site.found().await,
        ["integration-failing", "personal-credential"]
    );
    let (_, tool) = site.get("local:bob", "/v1/platforms/tools/pipelines").await;
    let message = tool["status"]["findings"][0]["message"].as_str().unwrap();
    assert_eq!(message, "integration `ci` is not in step with 1 team");
    // Who answers for it leaves.
    let mut team = site.store.expect::<Team>("", "security").await.unwrap();
    team.spec.offboarding = Some(Offboarding {
        since: team.meta.created,
        by: "local:max".into(),
        include_protected: false,
    });
    let mut change = Change::new();
    change.spec(&team).unwrap();
    site.store.commit(change).await.unwrap();
    let expected = [
        "owner-gone",
        "integration-failing",
        "personal-credential",
        "credential-owner-gone",
    ];
    assert_eq!(site.found().await, expected);
    // Nothing of it is kept.
    let kept = site.store.expect::<Tool>("", "pipelines").await.unwrap();
    assert_eq!(kept.document().unwrap().status, json!({}));
    spec["authorization"] = "manual".into();
    spec["api"] = false.into();
    spec["credentials"] = json!({});
    site.register(&spec).await;
    assert_eq!(site.found().await, ["manual-only", "owner-gone"]);
}

fn reminding(site: &Site) -> DriverHandle {
    Driver::new(site.store.clone(), "test".into())
        .with(Arc::new(ToolCredentials(site.teams.clone())))
        .start()
}

/// Has the tool looked at; comes back when somebody has.
async fn look(driver: &DriverHandle) {
    let runs = |driver: &DriverHandle| driver.stats()[0].runs;
    let before = runs(driver);
    eventually("somebody looks", LONG, async || {
        driver.nudger().nudge(Key::of::<Tool>("", "pipelines"));
        // Two more: the first may have begun before.
        (runs(driver) >= before + 2).then_some(())
    })
    .await;
}

async fn who_answers_for_a_credential_is_reminded_once_whatever_is_killed(site: Site) {
    for team in ["security", "payments"] {
        site.add_team(team).await;
    }
    let end = site.clock.now() + 60 * DAY;
    let machine = |end: jiff::Timestamp| {
        json!({
            "kind": "service_account", "owner": "payments", "expires": end.to_string(), "remindDays": 10,
            "kept": { "secret": "github/machine" },
        })
    };
    let trust = json!({ "kind": "oidc", "owner": "payments" });
    site.register(&with(
        json!({ "machine": machine(end), "trust": trust.clone() }),
    ))
    .await;
    let driver = reminding(&site);
    look(&driver).await;
    assert_eq!(site.told_of_tools().await, [""; 0]);
    site.clock.advance(49 * DAY);
    look(&driver).await;
    assert_eq!(site.told_of_tools().await, [""; 0]);
    assert!(
        !site
            .found()
            .await
            .contains(&"credential-expiring".to_owned())
    );
    site.clock.advance(DAY);
    look(&driver).await;
    let once = ["expiring machine payments"];
    assert_eq!(site.told_of_tools().await, once);
    assert!(
        site.found()
            .await
            .contains(&"credential-expiring".to_owned())
    );
    look(&driver).await;
    assert_eq!(site.told_of_tools().await, once);
    // Killed, and begun anew: a reminder is none twice, whatever else is said of the tool meanwhile.
    drop(driver);
    let mut titled = with(json!({ "machine": machine(end), "trust": trust }));
    titled["title"] = "Build".into();
    site.register(&titled).await;
    let driver = reminding(&site);
    look(&driver).await;
    assert_eq!(site.told_of_tools().await, once);
    site.clock.advance(10 * DAY);
    look(&driver).await;
    let both = ["expiring machine payments", "expired machine payments"];
    assert_eq!(site.told_of_tools().await, both);
    let found = site.found().await;
    assert!(
        found.contains(&"credential-expired".to_owned()),
        "{found:?}"
    );
    // Another is drawn: it is told of in its own time, and what expired while nobody looked by its end alone.
    let next = site.clock.now() + 60 * DAY;
    site.register(&with(json!({ "machine": machine(next) })))
        .await;
    look(&driver).await;
    assert_eq!(site.told_of_tools().await, both);
    assert_eq!(site.found().await, [""; 0]);
    driver.shutdown().await;
    site.clock.advance(90 * DAY);
    let driver = reminding(&site);
    look(&driver).await;
    assert_eq!(
        site.told_of_tools().await,
        [both[0], both[1], "expired machine payments"]
    );
    driver.shutdown().await;
}

async fn a_team_that_a_credential_is_handed_to_is_reminded_itself(site: Site) {
    for team in ["security", "payments"] {
        site.add_team(team).await;
    }
    let end = site.clock.now() + 5 * DAY;
    let of = |team: &str| {
        with(json!({ "machine": {
            "kind": "service_account", "owner": team, "expires": end.to_string(), "remindDays": 10,
            "kept": { "secret": "github/machine" },
        } }))
    };
    let driver = reminding(&site);
    site.register(&of("payments")).await;
    look(&driver).await;
    assert_eq!(site.told_of_tools().await, ["expiring machine payments"]);
    site.register(&of("security")).await;
    look(&driver).await;
    look(&driver).await;
    let both = ["expiring machine payments", "expiring machine security"];
    assert_eq!(site.told_of_tools().await, both);
    // Of the end whoever has it then is told.
    site.clock.advance(5 * DAY);
    look(&driver).await;
    let all = [both[0], both[1], "expired machine security"];
    assert_eq!(site.told_of_tools().await, all);
    driver.shutdown().await;
}

async fn what_cannot_be_is_refused_at_its_place_and_nothing_is_written(site: Site) {
    let credential = |with: Value| {
        let mut one = json!({ "kind": "team", "owner": "payments" });
        let with = with.as_object().unwrap().clone();
        one.as_object_mut().unwrap().extend(with);
        json!({ "credentials": { "one": one } })
    };
    let long = "n".repeat(64);
    let many: serde_json::Map<String, Value> = (0..101)
        .map(|n| {
            (
                format!("c{n}"),
                json!({ "kind": "oidc", "owner": "payments" }),
            )
        })
        .collect();
    for (with, path) in [
        (json!({ "token": "canary" }), "token"),
        (json!({ "owner": { "team": "Not A Name" } }), "owner.team"),
        (json!({ "owner": { "team": long } }), "owner.team"),
        (json!({ "owner": { "team": "a", "group": "b" } }), "owner"),
        (json!({ "owner": { "group": " " } }), "owner.group"),
        (json!({ "authentication": "canary" }), "authentication"),
        (
            json!({ "authorization": { "integration": "../up" } }),
            "authorization.integration",
        ),
        (json!({ "api": "canary" }), "api"),
        (json!({ "title": "t".repeat(101) }), "title"),
        (json!({ "description": "\0" }), "description"),
        (json!({ "url": "https://ada:canary@ci.example.com" }), "url"),
        (json!({ "url": "javascript:canary" }), "url"),
        (json!({ "credentials": many }), "credentials"),
        (
            json!({ "credentials": { "Not A Name": {} } }),
            "credentials",
        ),
        (
            credential(json!({ "value": "canary" })),
            "credentials.one.value",
        ),
        (
            credential(json!({ "kind": "canary" })),
            "credentials.one.kind",
        ),
        (
            credential(json!({ "expires": "2030-01-31" })),
            "credentials.one.expires",
        ),
        (
            credential(json!({ "expires": "canary" })),
            "credentials.one.expires",
        ),
        (
            credential(json!({ "remindDays": 0 })),
            "credentials.one.remindDays",
        ),
        (
            credential(json!({ "remindDays": -1 })),
            "credentials.one.remindDays",
        ),
        (
            credential(json!({ "kind": "personal" })),
            "credentials.one.person",
        ),
        (
            credential(json!({ "person": "local:ada" })),
            "credentials.one.person",
        ),
        (
            credential(json!({ "kind": "personal", "person": "ada" })),
            "credentials.one.person",
        ),
        (
            credential(json!({ "kept": { "secret": "ghp_Canary" } })),
            "credentials.one.kept.secret",
        ),
    ] {
        let mut spec = pipelines();
        spec.as_object_mut()
            .unwrap()
            .extend(with.as_object().unwrap().clone());
        let admin = Caller::local_admin();
        let refused = site.apply(&admin, &[document("pipelines", &spec)]).await;
        let error = refused.expect_err(&format!("{with}"));
        let paths: Vec<_> = error.problems.iter().map(|one| &*one.path).collect();
        assert!(
            paths
                .iter()
                .any(|one| one.starts_with(&format!("documents[0].spec.{path}"))
                    || *one == "documents[0].spec" && path == "token"),
            "{with}: {paths:?}"
        );
        let told = format!("{} {:?}", error.message, error.problems).to_lowercase();
        assert!(!told.contains("canary"), "{told}");
    }
    let (_, all) = site.get("local:bob", "/v1/platforms/tools").await;
    assert_eq!(all["items"], json!([]));
}
