//! Logging in from the command line: a whole platform, the real program, and a person at a browser.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod browser;
mod person;
mod site;

use std::{fs, os::unix::fs::PermissionsExt as _, time::SystemTime};

use browser::Browser;
use person::{PASSWORD, Person};
use serde_json::{Value, json};
use site::{Site, work};

/// A platform with the user `ada` of the group `payments`.
async fn platform(data: &tempfile::TempDir, options: &[&str]) -> (Site, site::Running) {
    let mut site = Site::new(data.path());
    site.options = options.iter().map(ToString::to_string).collect();
    let running = site.start().await;
    person::ada_of_payments(&site).await;
    (site, running)
}

#[tokio::test]
async fn a_member_logs_in_works_and_logs_out() {
    let data = tempfile::tempdir().unwrap();
    let (site, _running) = platform(&data, &["--access-token-lifetime", "10m"]).await;
    let ada = Person::new();

    let before = ada.run(&["whoami"]).await;
    assert_eq!(before.code, 7, "{before:?}");
    assert!(before.err.contains("towpath login"), "{}", before.err);

    let ended = ada.login(&site.server(), "ada", &[]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("local:ada"), "{}", ended.out);
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(ada.file()), 0o600);
    assert_eq!(mode(ada.file().parent().unwrap().to_owned()), 0o700);

    // As the platform was told: ten minutes.
    let tokens = ada.tokens(0);
    let expires: jiff::Timestamp = tokens["expires"].as_str().unwrap().parse().unwrap();
    let left = expires.duration_since(jiff::Timestamp::now());
    assert!((540..=600).contains(&left.as_secs()), "{left}");

    // From now on, without a word of which platform.
    let who = ada.run(&["whoami", "-o", "json"]).await;
    let who: Value = serde_json::from_str(&who.out).unwrap();
    assert_eq!(who["subject"], "local:ada");
    assert_eq!(who["kind"], "person");
    assert_eq!(who["teams"], json!(["payments"]));

    let made = ada
        .run(&["env", "create", "payments-dev", "--team", "payments"])
        .await;
    assert_eq!(made.code, 0, "{made:?}");
    let score = ada.home().join("score.yaml");
    let workload = work::score("hello", &json!({}), &json!({}));
    fs::write(&score, workload.to_string()).unwrap();
    let deployed = ada
        .run(&["deploy", score.to_str().unwrap(), "--env", "payments-dev"])
        .await;
    assert_eq!(deployed.code, 0, "{deployed:?}");
    let (status, _) = site.get("hello.payments-dev.localhost").await.unwrap();
    assert_eq!(status, 200);
    let other = ada
        .run(&["env", "create", "shop-dev", "--team", "shop"])
        .await;
    assert_eq!(other.code, 5, "{other:?}");

    // A job that runs on her login is told to whoever operates the platform.
    let known = site.cli(&["identity", "automation"]).await;
    assert!(!known.out.contains("local:ada"), "{known:?}");
    let job = ada.run_with(&["whoami"], &[("CI", "true")]).await;
    assert_eq!(job.code, 0, "{job:?}");
    let known = site.cli(&["identity", "automation"]).await;
    assert!(known.out.contains("local:ada"), "{known:?}");
    let hangs = site.cli(&["identity", "automation", "local:ada"]).await;
    assert!(hangs.out.contains("payments-dev"), "{hangs:?}");

    // What she was told is told with it, until it is another.
    let secret = ["stripe/api-key", "--team", "payments"];
    let set = [&["secret", "set"], &secret[..], &["--generate", "32"]].concat();
    let get = [&["secret", "get"], &secret[..], &["--value"]].concat();
    let rotate = [&["secret", "rotate"], &secret[..]].concat();
    for command in [&set, &get] {
        let ended = ada.run(command).await;
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    let told = async || {
        let hangs = site
            .cli(&["identity", "automation", "local:ada", "-o", "json"])
            .await;
        let hangs: Value = serde_json::from_str(&hangs.out).unwrap();
        hangs["told"].as_array().unwrap().clone()
    };
    let known = told().await;
    assert_eq!(known.len(), 1, "{known:?}");
    assert_eq!(known[0]["name"], "stripe/api-key");
    let ended = ada.run(&rotate).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(told().await, Vec::<Value>::new());

    let out = ada.run(&["logout"]).await;
    assert_eq!(out.code, 0, "{out:?}");
    assert!(!out.err.contains("warning"), "{}", out.err);
    let after = ada.run(&["whoami"]).await;
    assert_eq!(after.code, 5, "{after:?}");
    assert!(
        after.err.contains("towpath login --context"),
        "{}",
        after.err
    );
    // There, too: not only forgotten here.
    let access = tokens["access"].as_str().unwrap();
    assert_eq!(person::whoami(&site, access).await, 401);
    let again = ada.run(&["logout"]).await;
    assert_eq!(again.code, 0, "{again:?}");
}

#[tokio::test]
async fn tokens_are_renewed_by_one_process_for_all() {
    let data = tempfile::tempdir().unwrap();
    let (site, running) = platform(&data, &[]).await;
    let ada = Person::new();
    assert_eq!(ada.login(&site.server(), "ada", &[]).await.code, 0);

    // Their time has come, for many at once.
    let first = ada.tokens(0);
    for _ in 0..3 {
        let before = ada.tokens(0);
        ada.change(0, |tokens| {
            tokens["renewAt"] = json!("2001-01-01T00:00:00Z")
        });
        let all = (0..8).map(|_| ada.run(&["whoami"]));
        for ended in futures::future::join_all(all).await {
            assert_eq!(ended.code, 0, "{ended:?}");
        }
        let after = ada.tokens(0);
        assert_ne!(after["access"], before["access"]);
        let counter = |tokens: &Value| -> u64 {
            let refresh = tokens["refresh"].as_str().unwrap();
            refresh.rsplit('.').nth(1).unwrap().parse().unwrap()
        };
        assert_eq!(counter(&after), counter(&before) + 1, "renewed once");
    }

    // Refused before its time: renewed, and the call is made again.
    ada.change(0, |tokens| tokens["access"] = first["id"]["token"].clone());
    let ended = ada.run(&["whoami"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");

    // The platform is away: what is still good is used, and what is not is no reason to log in anew.
    ada.change(0, |tokens| {
        tokens["renewAt"] = json!("2001-01-01T00:00:00Z")
    });
    running.kill();
    let ended = ada.run(&["whoami"]).await;
    assert_eq!(ended.code, 7, "{ended:?}");
    let kept = ada.tokens(0);
    let _running = site.start().await;
    let ended = ada.run(&["whoami"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_ne!(ada.tokens(0)["access"], kept["access"]);

    // A session that was ended there: a login is needed, and that is said.
    let disabled = json!({ "spec": { "disabled": true } });
    person::put(&site, "identity/users/ada", disabled).await;
    for _ in 0..2 {
        let ended = ada.run(&["status"]).await;
        assert_eq!(ended.code, 5, "{ended:?}");
        assert!(
            ended.err.contains("towpath login --context"),
            "{}",
            ended.err
        );
    }
}

#[tokio::test]
async fn one_that_hangs_with_the_logins_holds_up_nobody_whose_token_is_good() {
    let data = tempfile::tempdir().unwrap();
    let (site, _running) = platform(&data, &[]).await;
    let ada = Person::new();
    assert_eq!(ada.login(&site.server(), "ada", &[]).await.code, 0);
    let before = ada.tokens(0);
    let hangs = fs::File::open(ada.file().with_extension("yaml.lock")).unwrap();
    hangs.lock().unwrap();
    let due = json!("2001-01-01T00:00:00Z");
    ada.change(0, |tokens| tokens["renewAt"] = due.clone());
    let ended = ada.run(&["whoami"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ada.tokens(0)["access"], before["access"]);
    hangs.unlock().unwrap();
    assert_eq!(ada.run(&["whoami"]).await.code, 0);
    assert_ne!(ada.tokens(0)["access"], before["access"]);
}

#[tokio::test]
async fn what_somebody_leaves_behind_is_named_when_they_are_taken_out() {
    let data = tempfile::tempdir().unwrap();
    let (site, _running) = platform(&data, &[]).await;
    let ada = Person::new();
    assert_eq!(ada.login(&site.server(), "ada", &[]).await.code, 0);
    let url = "https://hooks.example.com/ada";
    let made = ["subscription", "create", "audit", "--team", "payments"];
    let made = [&made[..], &["--type", "deployment.*", "--url", url]].concat();
    let ended = ada.run(&made).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    // By their name, and as the list calls them.
    for who in ["ada", "local:ada"] {
        let ended = site
            .cli(&["team", "member", "remove", "payments", who])
            .await;
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.out.contains(&format!("audit -> {url}")), "{ended:?}");
        let back = site.cli(&["team", "member", "add", "payments", who]).await;
        assert_eq!(back.code, 0, "{back:?}");
    }
    let ended = site
        .cli(&["team", "member", "remove", "payments", "ada"])
        .await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let hangs = site.cli(&["identity", "automation", "local:ada"]).await;
    assert!(
        hangs.out.contains("audit") && hangs.out.contains(url),
        "{hangs:?}"
    );
    let ended = site
        .cli(&["team", "member", "remove", "payments", "bob"])
        .await;
    assert!(!ended.out.contains("audit"), "{ended:?}");
    // The group of a team is changed by one command.
    let changed = ["team", "change", "payments", "--group", "money"];
    let ended = site.cli(&changed).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let shown = site.cli(&["team", "show", "payments", "-o", "json"]).await;
    let shown: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(shown["spec"]["group"], "money");
    assert_eq!(site.cli(&["team", "change", "payments"]).await.code, 2);
}

#[tokio::test]
async fn each_platform_has_its_own_login() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, _first) = platform(&one, &[]).await;
    let (second, _second) = platform(&two, &[]).await;
    let ada = Person::new();
    let (prod, sbx) = (first.server(), second.server());
    assert_eq!(
        ada.login(&prod, "ada", &["--context", "prod"]).await.code,
        0
    );
    assert_eq!(ada.login(&sbx, "ada", &["--context", "sbx"]).await.code, 0);

    // The last login is the current one; a flag wins over a variable, a variable over the file.
    let platform_of = async |arguments: &[&str], variables: &[(&str, &str)]| {
        let ended = ada.run_with(arguments, variables).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let line = ended.out.lines().find(|line| line.starts_with("platform"));
        line.unwrap().split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(platform_of(&["whoami"], &[]).await, sbx);
    let variable = [("TOWPATH_CONTEXT", "prod")];
    assert_eq!(platform_of(&["whoami"], &variable).await, prod);
    let flag = ["whoami", "--context", "sbx"];
    assert_eq!(platform_of(&flag, &variable).await, sbx);
    let variable = [("TOWPATH_SERVER", prod.as_str())];
    assert_eq!(platform_of(&["whoami"], &variable).await, prod);
    assert_eq!(platform_of(&flag, &variable).await, sbx);
    let ended = ada.run(&["context", "use", "prod"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(platform_of(&["whoami"], &[]).await, prod);
    let both = ["whoami", "--context", "sbx", "--server", prod.as_str()];
    assert_eq!(ada.run(&both).await.code, 2);
    // The laptop's own, with its admin token.
    let variable = [("TOWPATH_DATA", one.path().to_str().unwrap())];
    let local = ada.run_with(&["whoami"], &variable).await;
    assert!(local.out.contains("local-admin"), "{local:?}");

    let listed = ada.run(&["context", "list", "-o", "json"]).await;
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    let names: Vec<_> = listed["items"].as_array().unwrap().iter().collect();
    assert_eq!(names.len(), 2);
    assert_eq!(names[0]["name"], "prod");
    assert_eq!(names[0]["current"], true);
    assert_eq!(names[0]["user"], "local:ada");

    // A token of one is nothing to the other.
    let token = ada.home().join("token");
    fs::write(&token, ada.tokens_of("prod")["access"].as_str().unwrap()).unwrap();
    for (context, code) in [("prod", 0), ("sbx", 5)] {
        let named = [
            "--context",
            context,
            "--token-file",
            token.to_str().unwrap(),
        ];
        let ended = ada.run(&[&["whoami"], &named[..]].concat()).await;
        assert_eq!(ended.code, code, "{ended:?}");
    }

    // One that a variable names goes to the platform that is named beside it, and to no other.
    let variable = |name, value| {
        [
            ("TOWPATH_TOKEN_FILE", token.to_str().unwrap()),
            (name, value),
        ]
    };
    let beside = variable("TOWPATH_SERVER", prod.as_str());
    assert_eq!(platform_of(&["whoami"], &beside).await, prod);
    let nothing = variable("TOWPATH_ENV", "dev");
    for arguments in [&["whoami"][..], &["status"]] {
        let ended = ada.run_with(arguments, &nothing).await;
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.err.contains("TOWPATH_SERVER"), "{}", ended.err);
    }
    // A flag for another platform, or for a login, passes it over: the login there is used.
    let flag = ["whoami", "--server", sbx.as_str()];
    assert_eq!(platform_of(&flag, &beside).await, sbx);
    let flag = ["whoami", "--context", "sbx"];
    assert_eq!(platform_of(&flag, &nothing).await, sbx);
    let flag = ["whoami", "--server", prod.as_str()];
    assert_eq!(platform_of(&flag, &nothing).await, prod);

    // A name is not taken from another platform.
    let taken = [
        "login",
        "--no-browser",
        "--server",
        &prod,
        "--context",
        "sbx",
    ];
    let ended = ada.run(&taken).await;
    assert_eq!(ended.code, 6, "{ended:?}");
    let ended = ada.run(&["context", "remove", "prod"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let ended = ada.run(&["whoami", "--context", "prod"]).await;
    assert_eq!(ended.code, 4, "{ended:?}");
    assert_eq!(platform_of(&["whoami", "--context", "sbx"], &[]).await, sbx);
}

#[tokio::test]
async fn what_others_may_read_is_not_used() {
    let data = tempfile::tempdir().unwrap();
    let (site, running) = platform(&data, &[]).await;
    let ada = Person::new();
    assert_eq!(ada.login(&site.server(), "ada", &[]).await.code, 0);
    let file = ada.file();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let ended = ada.run(&["whoami"]).await;
    assert_eq!(ended.code, 5, "{ended:?}");
    assert!(ended.err.contains("chmod 600"), "{}", ended.err);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(ada.run(&["whoami"]).await.code, 0);

    // Logging out where the platform is away: forgotten here, and it is said what was not done.
    running.kill();
    let ended = ada.run(&["logout"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("could not be told"), "{}", ended.err);
    assert!(!fs::read_to_string(&file).unwrap().contains("refresh"));
}

#[tokio::test]
async fn a_login_is_opened_in_the_browser_and_may_be_denied() {
    let data = tempfile::tempdir().unwrap();
    let (site, _running) = platform(&data, &[]).await;
    let ada = Person::new();
    // What the browser is told to open, and nothing of what it says.
    let opened = ada.home().join("opened");
    let script = format!(
        "#!/bin/sh\necho \"$1\" > {}\necho noise\n",
        opened.display()
    );
    let program = ada.home().join("browser");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let variables = [("BROWSER", program.to_str().unwrap())];
    let (server, page) = (site.server(), opened.clone());
    let deny = async {
        let url = testkit::eventually("the browser is opened", testkit::PATIENCE, || async {
            let text = fs::read_to_string(&page).ok()?;
            text.ends_with('\n').then(|| text.trim().to_owned())
        })
        .await;
        let browser = Browser::new();
        let page = browser.device_page(&url, "ada", PASSWORD).await;
        browser.decide(&page, "deny").await
    };
    let arguments = ["login", "--server", &server];
    let (ended, denied) = tokio::join!(ada.run_with(&arguments, &variables), deny);
    assert_eq!(denied.status, 200);
    assert_eq!(ended.code, 5, "{ended:?}");
    assert!(ended.err.contains("denied"), "{}", ended.err);
    assert!(
        ended
            .err
            .contains(fs::read_to_string(opened).unwrap().trim())
    );
    assert!(!ended.err.contains("noise") && !ended.out.contains("noise"));
    assert!(!ada.file().exists(), "nothing is kept");

    // Neither by plain http over a network, nor at what is no platform.
    let ended = ada
        .run(&["login", "--server", "http://towpath.example.com"])
        .await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("https"), "{}", ended.err);
    let gateway = format!("http://127.0.0.1:{}", site.gateway);
    let ended = ada.run(&["login", "--server", &gateway]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
}

#[tokio::test]
async fn kubectl_is_given_tokens_and_its_file_none() {
    let data = tempfile::tempdir().unwrap();
    let (site, _running) = platform(&data, &[]).await;
    let ada = Person::new();
    let cluster = [
        "kubeconfig",
        "--cluster-name",
        "prod",
        "--cluster-server",
        "https://127.0.0.1:6443",
    ];
    assert_eq!(ada.run(&cluster).await.code, 5, "nobody is logged in");
    assert_eq!(ada.login(&site.server(), "ada", &[]).await.code, 0);
    let printed = ada.run(&cluster).await;
    assert_eq!(printed.code, 0, "{printed:?}");
    let written = ada.run(&[&cluster[..], &["--write"]].concat()).await;
    assert_eq!(written.code, 0, "{written:?}");
    let file = fs::read_to_string(ada.home().join(".kube/config")).unwrap();
    assert_eq!(file.trim(), printed.out.trim());
    assert!(file.contains("client.authentication.k8s.io/v1"), "{file}");
    assert!(file.contains("IfAvailable"), "{file}");

    // To nobody but kubectl.
    let ended = ada.run(&["credential"]).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    let asked = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "spec": { "interactive": false },
    });
    let asked = asked.to_string();
    let variables = [("KUBERNETES_EXEC_INFO", asked.as_str())];
    // Its time is over: renewed without a word.
    ada.change(0, |tokens| {
        tokens["renewAt"] = json!("2001-01-01T00:00:00Z")
    });
    let given = ada.credential(&variables).await;
    assert_eq!(given["kind"], "ExecCredential");
    assert_eq!(given["apiVersion"], "client.authentication.k8s.io/v1");
    let kept = ada.tokens(0);
    assert_eq!(given["status"]["token"], kept["id"]["token"]);
    let ends = given["status"]["expirationTimestamp"].as_str().unwrap();
    let ends: jiff::Timestamp = ends.parse().unwrap();
    assert!(SystemTime::from(ends) > SystemTime::now());
    let claims = person::claims(given["status"]["token"].as_str().unwrap());
    assert_eq!(claims["aud"], "towpath-cli");
    assert_eq!(claims["groups"], json!(["payments"]));
    assert_eq!(claims["exp"], ends.as_second());
    let other = [(
        "KUBERNETES_EXEC_INFO",
        r#"{"apiVersion":"client.authentication.k8s.io/v9"}"#,
    )];
    let ended = ada.run_with(&["credential"], &other).await;
    assert_eq!(ended.code, 3, "{ended:?}");
}

#[tokio::test]
async fn the_teams_are_in_the_claim_that_was_configured_and_keys_are_rotated() {
    let data = tempfile::tempdir().unwrap();
    let claim = "https://acme.example/groups";
    let (site, _running) = platform(&data, &["--teams-claim", claim]).await;
    let ada = Person::new();
    assert_eq!(ada.login(&site.server(), "ada", &[]).await.code, 0);
    let tokens = ada.tokens(0);
    for token in [&tokens["access"], &tokens["id"]["token"]] {
        let says = person::claims(token.as_str().unwrap());
        assert_eq!(says[claim], json!(["payments"]));
        assert!(says["https://towpath.dev/teams"].is_null(), "{says}");
    }
    let id = person::claims(tokens["id"]["token"].as_str().unwrap());
    assert_eq!(id["source_groups"], json!(["local:payments"]));

    let keys = async |arguments: &[&str]| -> Value {
        let all = [&["identity", "keys"], arguments, &["-o", "json"]].concat();
        let ended = site.cli(&all).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        serde_json::from_str(&ended.out).unwrap()
    };
    let active = |listed: &Value| {
        let mut keys = listed["keys"].as_array().unwrap().iter();
        keys.find(|key| key["phase"] == "active").unwrap()["kid"].clone()
    };
    let before = active(&keys(&["list"]).await);
    let after = active(&keys(&["rotate"]).await);
    assert_ne!(before, after);
    assert_eq!(ada.run(&["whoami"]).await.code, 0, "its token stays good");
    let unsure = site
        .cli(&["identity", "keys", "rotate", "--compromised"])
        .await;
    assert_eq!(unsure.code, 2, "{unsure:?}");
    let lost = ["rotate", "--compromised", "--confirm", "compromised"];
    assert_ne!(active(&keys(&lost).await), after);
    let access = tokens["access"].as_str().unwrap();
    assert_eq!(person::whoami(&site, access).await, 401);

    let asked = site
        .cli(&["identity", "authentication-configuration"])
        .await;
    assert_eq!(asked.code, 0, "{asked:?}");
    assert!(
        asked.err.contains("no issuer but an https one"),
        "{}",
        asked.err
    );
    let file: Value = serde_yaml_ng::from_str(&asked.out).unwrap();
    assert_eq!(file["kind"], "AuthenticationConfiguration");
    assert_eq!(file["jwt"][0]["issuer"]["url"], site.server());
    assert_eq!(
        file["jwt"][0]["issuer"]["audiences"],
        json!(["towpath-cli"])
    );
}

#[tokio::test]
async fn nobody_logs_in_by_a_password_where_that_is_configured() {
    let data = tempfile::tempdir().unwrap();
    let (mut site, running) = platform(&data, &[]).await;
    let code = client::Provider::discover(&site.server(), "towpath-cli")
        .await
        .unwrap()
        .device_start()
        .await
        .unwrap();
    let url = code.verification_uri_complete.unwrap();
    let browser = Browser::trusting(None);
    let page = browser.go(&url).await;
    assert!(page.body.contains("type=\"password\""), "{}", page.body);
    running.kill();
    site.options = vec!["--local-login".into(), "false".into()];
    let _running = site.start().await;
    // Whoever had the page before is not let in by it.
    let (id, csrf) = (page.field("page"), page.field("csrf"));
    let filled = [("page", id.as_str()), ("csrf", &csrf)];
    let filled = [&filled[..], &[("username", "ada"), ("password", PASSWORD)]].concat();
    let answer = browser.send(&page, "/login", &filled).await;
    let refusal = "nobody logs in with a password here";
    assert!(answer.body.contains(refusal), "{}", answer.body);
    let fresh = Browser::trusting(None).go(&url).await;
    assert!(fresh.url.path().starts_with("/login"), "{}", fresh.url);
    assert!(!fresh.body.contains("password"), "{}", fresh.body);
}
