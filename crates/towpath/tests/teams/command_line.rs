//! By the command line.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;

use crate::site::world::{LONG, World};

#[tokio::test]
async fn the_command_line_knows_teams() {
    let world = World::new(&[]).await;
    let (status, made) = world
        .ask(
            Method::POST,
            "/v1/environments",
            json!({ "name": "shop-dev", "team": "shop", "role": "dev" }),
        )
        .await;
    assert_eq!(status, 201, "{made}");
    let file = world.site.data.join("teams.json");
    let teams = json!({ "teams": [
        { "name": "payments", "idp_group": "acme/payments" },
        { "name": "shop", "environments": ["dev"] },
    ]});
    std::fs::write(&file, teams.to_string()).unwrap();
    let import = ["team", "import", "-f", file.to_str().unwrap()];
    let ended = world.site.cli(&import).await;
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (0, "Team/payments created\nTeam/shop created\n")
    );
    // What is there stays as it is, whatever the file says of it now.
    let teams = json!({ "teams": [
        { "name": "payments", "idp_group": "acme/others" },
        { "name": "shop", "environments": [] },
    ]});
    std::fs::write(&file, teams.to_string()).unwrap();
    let ended = world.site.cli(&import).await;
    assert_eq!(ended.out, "Team/payments unchanged\nTeam/shop unchanged\n");
    let payments = world.get("/v1/platforms/teams/payments").await;
    assert_eq!(payments["spec"]["group"], "acme/payments");
    world.ready("shop").await;
    // What was there is the same as before.
    let after = world.get("/v1/environments/shop-dev").await;
    assert_eq!(after["metadata"]["uid"], made["metadata"]["uid"]);
    world.people("other", &["ada".into()]).await;
    for (arguments, code) in [
        (
            &[
                "team",
                "onboard",
                "search",
                "--lead",
                "local:ada",
                "--environment",
                "dev",
            ][..],
            0,
        ),
        (&["team", "member", "list", "search"], 0),
        (&["team", "member", "add", "search", "nobody-there"], 3),
        (&["team", "sync", "search"], 0),
        (&["team", "list"], 0),
        (
            &["namespace", "create", "search-load", "--team", "search"],
            0,
        ),
        (
            &[
                "namespace",
                "quota",
                "search-dev",
                "--team",
                "search",
                "--cpu",
                "30",
            ],
            3,
        ),
        (
            &[
                "namespace",
                "quota",
                "search-dev",
                "--team",
                "search",
                "--cpu",
                "4",
            ],
            0,
        ),
        (&["namespace", "list", "--team", "search"], 0),
        (
            &["namespace", "delete", "search-load", "--team", "search"],
            3,
        ),
        (
            &[
                "namespace",
                "delete",
                "search-load",
                "--team",
                "search",
                "--confirm",
                "search-load",
            ],
            0,
        ),
        (&["team", "offboard", "search"], 3),
        (&["team", "offboard", "search", "--confirm", "search"], 0),
    ] {
        let ended = world.site.cli(arguments).await;
        assert_eq!(ended.code, code, "{arguments:?}: {ended:?}");
    }
}

#[tokio::test]
async fn a_file_of_teams_brings_their_namespaces_and_adopts_what_is_there() {
    let world = World::new(&[]).await;
    let body = json!({ "name": "payments-load", "team": "payments", "role": "qa" });
    let (status, made) = world.ask(Method::POST, "/v1/environments", body).await;
    assert_eq!(status, 201, "{made}");
    let file = world.site.data.join("teams.yaml");
    let import = async |text: &str, code: i32| {
        std::fs::write(&file, text).unwrap();
        let command = ["team", "import", "-f", file.to_str().unwrap()];
        let ended = world.site.cli(&command).await;
        assert_eq!(ended.code, code, "{ended:?}");
        if code == 0 { ended.out } else { ended.err }
    };
    let teams = "teams:\n- name: payments\n  environments: [dev]\n  namespaces:\n  - payments-trial\n  \
                 - name: payments-load\n    role: qa\n    quota: { requests: { cpu: 1 } }\n";
    // A mistake in a namespace is told at its line, and leaves no team behind.
    let bad = teams.replace("cpu: 1", "gpu: 1");
    let said = import(&bad, 3).await;
    assert!(said.contains("teams.yaml:8"), "{said}");
    assert!(said.contains("unknown field `gpu`"), "{said}");
    let path = "/v1/platforms/teams/payments";
    assert_eq!(world.ask(Method::GET, path, Value::Null).await.0, 404);

    let said = import(teams, 0).await;
    assert_eq!(
        said,
        "Team/payments created\nNamespaceRequest/payments-trial created\nNamespaceRequest/payments-load created\n"
    );
    world.ready("payments").await;
    let load = eventually("the namespace is there", LONG, || async {
        let load = world.namespace("payments", "payments-load").await;
        (load["status"]["ready"] == true).then_some(load)
    })
    .await;
    let requests = json!({ "cpu": "1", "memory": "2Gi" });
    assert_eq!(load["spec"]["quota"]["requests"], requests);
    assert_eq!(load["status"]["environment"], made["metadata"]["uid"]);

    // What is there stays as it is, and what is new comes.
    let more = teams.replace("cpu: 1", "cpu: 2") + "  - payments-more\n";
    let said = import(&more, 0).await;
    assert_eq!(
        said,
        "Team/payments unchanged\nNamespaceRequest/payments-trial unchanged\nNamespaceRequest/payments-load \
         unchanged\nNamespaceRequest/payments-more created\n"
    );
    let load = world.namespace("payments", "payments-load").await;
    assert_eq!(load["spec"]["quota"]["requests"], requests);
}

/// What a command that must end with `code` answers.
pub(crate) async fn cli(world: &World, code: i32, arguments: &[&str]) -> String {
    let ended = world.site.cli(arguments).await;
    assert_eq!(
        ended.code, code,
        "{arguments:?}: {}{}",
        ended.out, ended.err
    );
    format!("{}{}", ended.out, ended.err)
}

#[tokio::test]
async fn integrations_are_made_changed_and_removed_by_the_command_line() {
    let world = World::new(&[]).await;
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = place.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let github = file(
        "github.yaml",
        "type: github\nenabled: false\nconfig:\n  org: acme\n",
    );
    let token = file("token", "canary-token\n");
    let set = ["integration", "set", "github", "-f", &github];
    let said = cli(
        &world,
        0,
        &[&set[..], &["--credential-file", &token]].concat(),
    )
    .await;
    assert!(said.contains("written, with its credential"), "{said}");
    let show = || async {
        let shown = cli(&world, 0, &["integration", "show", "github", "-o", "json"]).await;
        assert!(!shown.contains("canary"), "{shown}");
        serde_json::from_str::<Value>(&shown).unwrap()
    };
    assert_eq!(show().await["spec"]["config"]["org"], "acme");
    cli(
        &world,
        0,
        &["integration", "adopt", "github", "payments", "shop"],
    )
    .await;
    cli(&world, 0, &["integration", "adopt", "github", "payments"]).await;
    cli(&world, 0, &["integration", "enable", "github"]).await;
    let held = show().await;
    assert_eq!(held["spec"]["enabled"], true);
    assert_eq!(held["spec"]["config"]["adopt"], json!(["payments", "shop"]));
    cli(&world, 0, &["integration", "disable", "github"]).await;
    // What it shows is what it takes.
    let shown = file("shown.yaml", &show().await.to_string());
    cli(&world, 0, &["integration", "set", "github", "-f", &shown]).await;
    cli(
        &world,
        0,
        &["integration", "set", "github", "--credential-file", &token],
    )
    .await;
    let told = world.events("integration.changed").await;
    assert_eq!(told.last().unwrap()["data"]["credential"], true);

    // As a document, along with others; a credential is no part of one.
    let document = |more: &str| {
        format!(
            "apiVersion: towpath.dev/v1\nkind: Integration\nmetadata: {{ name: jira }}\nspec:\n  type: github\n  \
             enabled: false\n  config: {{ org: other }}\n{more}"
        )
    };
    let plain = file("jira.yaml", &document(""));
    let said = cli(&world, 0, &["apply", "-f", &plain]).await;
    assert!(said.contains("Integration/jira created"), "{said}");
    let said = cli(&world, 0, &["apply", "-f", &plain]).await;
    assert!(said.contains("Integration/jira unchanged"), "{said}");
    let secret = file("secret.yaml", &document("  credential: canary\n"));
    let said = cli(&world, 3, &["apply", "-f", &secret]).await;
    assert!(
        said.contains("--credential-file") && !said.contains("canary"),
        "{said}"
    );
    let said = cli(&world, 3, &["integration", "set", "jira", "-f", &secret]).await;
    assert!(said.contains("holds no credential"), "{said}");
    cli(&world, 3, &["integration", "set", "other", "-f", &plain]).await;
    let wrong = file("wrong.yaml", "type: magic\nconfig: {}\n");
    let said = cli(&world, 3, &["integration", "set", "magic", "-f", &wrong]).await;
    assert!(said.contains("choose one of"), "{said}");

    let delete = ["integration", "delete", "jira"];
    cli(&world, 2, &delete).await;
    cli(&world, 0, &[&delete[..], &["--confirm", "jira"]].concat()).await;
    cli(&world, 4, &["integration", "show", "jira"]).await;
}

#[tokio::test]
async fn a_team_is_shown_and_changed_with_its_allowance_and_how_it_works_with_others() {
    let world = World::new(&[]).await;
    for team in ["payments", "search"] {
        let environments: &[&str] = if team == "payments" { &["dev"] } else { &[] };
        world
            .onboard(json!({ "name": team, "environments": environments }))
            .await;
    }
    world.ready("payments").await;
    let (status, answer) = world.deploy("payments-dev", "hello", "1700m").await;
    assert_eq!(status, 202, "{answer}");
    let allowance = [
        "--allowance",
        "namespaces=5",
        "--allowance",
        "requests.cpu=40",
        "--allowance",
        "workloads=60",
    ];
    let change = ["team", "change", "payments", "--type", "platform"];
    cli(&world, 0, &[&change[..], &allowance[..]].concat()).await;
    cli(
        &world,
        2,
        &["team", "change", "payments", "--allowance", "cpu=1"],
    )
    .await;
    let team = world.team("payments").await;
    assert_eq!(team["spec"]["type"], "platform");
    assert_eq!(team["spec"]["allowance"]["namespaces"], 5);
    assert_eq!(team["spec"]["allowance"]["quota"]["requests"]["cpu"], "40");
    assert_eq!(
        team["spec"]["allowance"]["quota"]["limits"]["memory"],
        "200Gi"
    );

    let shown = eventually("the namespace says what is asked for", LONG, || async {
        let shown = cli(&world, 0, &["team", "show", "payments"]).await;
        shown.contains("1700m of 2").then_some(shown)
    })
    .await;
    for part in [
        "requests.cpu",
        "payments-dev",
        "80 % or more of requests.cpu is asked for",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "standard ones 0 5",
        "requests.cpu 2 40",
        "environments.limits.memory - 200Gi",
        "workloads - 60",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }

    let interaction = |rest: &[&'static str]| [&["team", "interaction"], rest].concat();
    let add = [
        "add",
        "payments",
        "--with",
        "search",
        "--mode",
        "facilitating",
        "--skill",
        "load tests",
        "--for",
        "30d",
    ];
    cli(&world, 0, &interaction(&add)).await;
    let uses = [
        "add",
        "payments",
        "--with",
        "search",
        "--mode",
        "x-as-a-service",
    ];
    cli(&world, 0, &interaction(&uses)).await;
    let again = [
        "add",
        "payments",
        "--with",
        "search",
        "--mode",
        "x-as-a-service",
        "--purpose",
        "full text",
    ];
    let listed = cli(&world, 0, &interaction(&again)).await;
    assert!(listed.contains("full text"), "{listed}");
    let all = world.team("payments").await["spec"]["interactions"].clone();
    assert_eq!(all.as_array().unwrap().len(), 2, "{all}");
    assert!(all[0]["expires"].is_string(), "{all}");
    let end = [
        "end",
        "payments",
        "--with",
        "search",
        "--mode",
        "facilitating",
    ];
    cli(&world, 0, &interaction(&end)).await;
    cli(&world, 4, &interaction(&end)).await;
    cli(
        &world,
        0,
        &interaction(&["end", "payments", "--with", "search"]),
    )
    .await;
    let left = cli(&world, 0, &interaction(&["list", "payments", "-o", "json"])).await;
    assert_eq!(
        serde_json::from_str::<Value>(&left).unwrap(),
        json!({ "items": [] })
    );
}
