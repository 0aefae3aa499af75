//! A team's own identities, made, used and ended by commands: no person and no curl in between.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod browser;
mod person;
mod site;

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use person::Person;
use serde_json::{Value, json};
use site::{Site, work};
use work::Ended;

/// A platform with `ada` in the team `payments`, who is logged in.
async fn platform(data: &tempfile::TempDir, options: &[&str]) -> (Site, site::Running, Person) {
    let mut site = Site::new(data.path());
    site.options = options.iter().map(ToString::to_string).collect();
    let running = site.start().await;
    person::ada_of_payments(&site).await;
    let ada = Person::new();
    let ended = ada.login(&site.server(), "ada", &[]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    (site, running, ada)
}

/// What a command answers in JSON.
#[track_caller]
fn json_of(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{ended:?}");
    serde_json::from_str(&ended.out).unwrap()
}

#[track_caller]
fn done(ended: &Ended) {
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[track_caller]
fn refused(ended: &Ended, with: &str) {
    assert_eq!(ended.code, 5, "{ended:?}");
    assert!(ended.err.contains(with), "{ended:?}");
}

/// Writes the test workload into somebody's home.
fn workload(of: &Person) -> String {
    let path = of.home().join("score.yaml");
    let score = work::score("hello", &json!({}), &json!({}));
    fs::write(&path, score.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn in_home(of: &Person, name: &str) -> (PathBuf, String) {
    let path = of.home().join(name);
    let text = path.to_str().unwrap().to_owned();
    (path, text)
}

#[tokio::test]
async fn a_pipeline_deploys_by_a_key_that_its_team_drew_rotates_and_revokes() {
    let data = tempfile::tempdir().unwrap();
    let (site, _running, ada) = platform(&data, &[]).await;
    let server = site.server();
    let account = async |arguments: &[&str]| {
        let team = ["--team", "payments"];
        let words = [&["service-account"][..], arguments, &team].concat();
        ada.run(&words).await
    };
    done(&account(&["create", "ci", "--description", "Builds and deploys"]).await);
    let none = account(&["key", "list", "ci"]).await;
    assert!(none.out.contains("no keys"), "{none:?}");

    // Shown once, or written to a file of one's own.
    let shown = account(&["key", "create", "ci"]).await;
    done(&shown);
    assert!(shown.out.starts_with("twk_"), "{shown:?}");
    assert_eq!(shown.out.lines().count(), 1, "nothing else: {shown:?}");
    let ci = Person::new();
    let (file, key) = in_home(&ci, "ci.key");
    let written = account(&["key", "create", "ci", "--out", &key]).await;
    done(&written);
    let secret = fs::read_to_string(&file).unwrap();
    assert!(secret.starts_with("twk_"), "{secret}");
    assert!(!written.out.contains(&secret) && !written.err.contains(&secret));
    let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);

    // In the variables of a pipeline.
    let variables = [
        ("TOWPATH_SERVER", server.as_str()),
        ("TOWPATH_SERVICE_ACCOUNT", "payments/ci"),
        ("TOWPATH_KEY_FILE", key.as_str()),
        ("CI", "true"),
    ];
    let login = ci.run_with(&["login"], &variables).await;
    done(&login);
    assert!(login.out.contains("account:payments/ci"), "{login:?}");
    let kept = fs::read_to_string(ci.file()).unwrap();
    assert!(!kept.contains(&secret), "the key stays in its file");
    let who = json_of(&ci.run(&["whoami", "-o", "json"]).await);
    assert_eq!(who["subject"], "account:payments/ci");
    assert_eq!(who["kind"], "service-account");

    done(
        &ci.run(&["env", "create", "payments-dev", "--team", "payments"])
            .await,
    );
    let score = workload(&ci);
    done(&ci.run(&["deploy", &score, "--env", "payments-dev"]).await);
    let (status, _) = site.get("hello.payments-dev.localhost").await.unwrap();
    assert_eq!(status, 200);

    // It makes no credentials.
    let own = [
        "service-account",
        "key",
        "create",
        "ci",
        "--team",
        "payments",
    ];
    refused(
        &ci.run(&own).await,
        "no automation makes or changes credentials",
    );

    // Renewed by the key when its time has come, and when the token is refused.
    let renewals: [fn(&mut Value); 2] = [
        |tokens| tokens["renewAt"] = json!("2001-01-01T00:00:00Z"),
        |tokens| tokens["access"] = json!("not.one.ofours"),
    ];
    for renewal in renewals {
        let before = ci.tokens(0);
        ci.change(0, renewal);
        done(&ci.run(&["whoami"]).await);
        assert_ne!(ci.tokens(0)["access"], before["access"]);
    }

    // Rotated twice: the file's key has ended, and its token; with the next key in the file it goes on.
    let (_, next) = in_home(&ci, "next.key");
    done(&account(&["key", "rotate", "ci"]).await);
    let last = account(&["key", "create", "ci", "--out", &next]).await;
    assert!(last.err.contains("has ended"), "{last:?}");
    let ended = ci.run(&["whoami"]).await;
    refused(
        &ended,
        "towpath service-account key list ci --team payments",
    );
    fs::rename(&next, &file).unwrap();
    done(&ci.run(&["whoami"]).await);

    // One key is revoked by its name.
    let keys = json_of(&account(&["key", "list", "ci", "-o", "json"]).await);
    let keys = keys["items"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    let newest = keys[0]["id"].as_str().unwrap();
    done(&account(&["key", "revoke", "ci", newest]).await);
    refused(&ci.run(&["whoami"]).await, "payments/ci is not let in");
    let again = account(&["key", "revoke", "ci", newest]).await;
    assert_eq!(again.code, 4, "{again:?}");

    // Logged out, nothing of it is left.
    done(&ci.run(&["logout"]).await);
    refused(&ci.run(&["whoami"]).await, "towpath login --context");
}

#[tokio::test]
async fn an_account_is_kept_out_let_in_and_removed() {
    let data = tempfile::tempdir().unwrap();
    let (site, _running, ada) = platform(&data, &[]).await;
    let team = [("TOWPATH_TEAM", "payments")];
    let account = async |arguments: &[&str]| {
        let words = [&["service-account"][..], arguments].concat();
        ada.run_with(&words, &team).await
    };
    done(&account(&["create", "bot", "--kind", "agent"]).await);
    done(&account(&["create", "prod", "--env", "payments-prod"]).await);
    let all = json_of(&account(&["list", "-o", "json"]).await);
    let kinds: Vec<_> = all["items"].as_array().unwrap().iter().collect();
    let kinds: Vec<_> = kinds
        .iter()
        .map(|one| {
            (
                one["metadata"]["name"].as_str().unwrap(),
                &one["spec"]["kind"],
            )
        })
        .collect();
    assert_eq!(
        kinds,
        [("bot", &json!("agent")), ("prod", &json!("deploy"))]
    );
    let table = account(&["list"]).await;
    assert!(table.out.contains("has no key"), "{table:?}");
    // What it is for stays as it was made.
    let other = account(&["create", "bot", "--kind", "service"]).await;
    assert_eq!(other.code, 6, "{other:?}");

    // A key that a variable has is kept with the login, as a person's refresh token is.
    let key = account(&["key", "create", "bot"])
        .await
        .out
        .trim()
        .to_owned();
    let bot = Person::new();
    let server = site.server();
    let variables = [("TOWPATH_KEY", key.as_str())];
    let login = [
        "login",
        "--server",
        &server,
        "--service-account",
        "payments/bot",
    ];
    done(&bot.run_with(&login, &variables).await);
    let who = bot.run(&["whoami"]).await;
    assert!(who.out.contains("agent"), "{who:?}");
    // What is not its account's key is refused, and what is none is a mistake.
    let wrong = bot.run_with(&login, &[("TOWPATH_KEY", "twk_no_key")]).await;
    refused(
        &wrong,
        "towpath service-account key list bot --team payments",
    );
    assert_eq!(bot.run(&login).await.code, 2);
    // Another secret is sent nowhere: not the platform's own key, which is said in a like way.
    let platform = fs::read_to_string(site.data.join("platform.key")).unwrap();
    let key = platform.trim().to_owned();
    let wrong = bot.run_with(&login, &[("TOWPATH_KEY", key.as_str())]).await;
    assert_eq!(wrong.code, 3, "{wrong:?}");
    assert!(wrong.err.contains("was not sent"), "{wrong:?}");

    done(&account(&["disable", "bot"]).await);
    refused(&bot.run(&["whoami"]).await, "payments/bot");
    let state = account(&["show", "bot"]).await;
    assert!(state.out.contains("kept out"), "{state:?}");
    done(&account(&["enable", "bot"]).await);
    done(&bot.run(&["whoami"]).await);
    // Logged out, its token is worth nothing there either; its key is, and lets it in again.
    let access = bot.tokens(0)["access"].as_str().unwrap().to_owned();
    assert_eq!(person::whoami(&site, &access).await, 200);
    let out = bot.run(&["logout"]).await;
    done(&out);
    assert!(!out.err.contains("warning"), "{out:?}");
    assert_eq!(person::whoami(&site, &access).await, 401);
    done(&bot.run_with(&login, &variables).await);

    let unconfirmed = account(&["delete", "bot"]).await;
    assert_eq!(unconfirmed.code, 2, "{unconfirmed:?}");
    assert!(unconfirmed.err.contains("--confirm bot"), "{unconfirmed:?}");
    done(&account(&["delete", "bot", "--confirm", "bot"]).await);
    refused(&bot.run(&["whoami"]).await, "payments/bot");
    let gone = account(&["show", "bot"]).await;
    assert_eq!(gone.code, 4, "{gone:?}");
}

/// Another platform is the CI system: it signs tokens, and says where its keys are.
#[tokio::test]
async fn a_job_deploys_by_the_token_of_its_ci_system() {
    let data = tempfile::tempdir().unwrap();
    let (site, _running, ada) = platform(&data, &["--private-upstreams"]).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let ci_system = Site::new(elsewhere.path());
    let _ci_runs = ci_system.start().await;
    person::team(&ci_system, "builders").await;
    let job = Person::new();
    let (_, key) = in_home(&job, "builder.key");
    let builder = ["service-account", "create", "job", "--team", "builders"];
    done(&ci_system.cli(&builder).await);
    let draw = [
        "service-account",
        "key",
        "create",
        "job",
        "--team",
        "builders",
    ];
    done(&ci_system.cli(&[&draw[..], &["--out", &key]].concat()).await);
    let issuer = ci_system.server();
    let login = ["login", "--server", &issuer, "--context", "ci-system"];
    let by_key = ["--service-account", "builders/job", "--key-file", &key];
    done(&job.run(&[&login[..], &by_key].concat()).await);
    let (file, token) = in_home(&job, "job.jwt");
    let of_job = job.tokens_of("ci-system")["access"].clone();
    fs::write(&file, of_job.as_str().unwrap()).unwrap();

    let trust = async |arguments: &[&str]| {
        let words = [&["trust"][..], arguments, &["--team", "payments"]].concat();
        ada.run(&words).await
    };
    done(
        &ada.run(&["service-account", "create", "ci", "--team", "payments"])
            .await,
    );
    let short = trust(&["set", "ci", "--issuer", &issuer]).await;
    assert_eq!(short.code, 2, "{short:?}");
    let audience = format!("{issuer}/v1");
    let set = [
        "set",
        "ci",
        "--service-account",
        "ci",
        "--issuer",
        &issuer,
        "--audience",
        &audience,
    ];
    done(&trust(&[&set[..], &["--claim", "sub=account:builders/other"]].concat()).await);

    let server = site.server();
    let login = [
        "login",
        "--server",
        &server,
        "--service-account",
        "payments/ci",
        "--workload-token-file",
        &token,
    ];
    refused(&job.run(&login).await, "towpath trust list --team payments");
    // What is named is changed, the rest stays.
    done(&trust(&["set", "ci", "--claim", "sub=account:builders/job"]).await);
    let listed = trust(&["list"]).await;
    assert!(
        listed.out.contains("sub=account:builders/job"),
        "{listed:?}"
    );
    assert!(listed.out.contains(&issuer), "{listed:?}");
    done(&job.run(&login).await);
    let who = json_of(&job.run(&["whoami", "-o", "json"]).await);
    assert_eq!(who["subject"], "account:payments/ci");
    done(
        &job.run(&["env", "create", "payments-dev", "--team", "payments"])
            .await,
    );
    let score = workload(&job);
    done(&job.run(&["deploy", &score, "--env", "payments-dev"]).await);

    // The trust is gone: what the job has ends with it, and nothing is given in its place.
    let unconfirmed = trust(&["delete", "ci"]).await;
    assert_eq!(unconfirmed.code, 2, "{unconfirmed:?}");
    done(&trust(&["delete", "ci", "--confirm", "ci"]).await);
    refused(&job.run(&["whoami"]).await, "payments/ci is not let in");
    refused(&job.run(&login).await, "towpath trust list --team payments");
}

#[tokio::test]
async fn programs_and_upstreams_are_set_by_commands_of_operators() {
    let data = tempfile::tempdir().unwrap();
    let (site, _running, ada) = platform(&data, &[]).await;
    let uri = "https://portal.example.com/callback";
    let set = [
        "client",
        "set",
        "portal",
        "--confidential",
        "true",
        "--redirect-uri",
        uri,
    ];
    let made = site.cli(&set).await;
    done(&made);
    assert!(
        made.out.contains("towpath client secret portal"),
        "{made:?}"
    );
    let files = tempfile::tempdir().unwrap();
    let out = files.path().join("secret");
    let out_text = out.to_str().unwrap();
    let drawn = site
        .cli(&["client", "secret", "portal", "--out", out_text])
        .await;
    done(&drawn);
    let secret = fs::read_to_string(&out).unwrap();
    assert!(secret.len() > 20 && !drawn.out.contains(&secret));
    done(
        &site
            .cli(&["client", "set", "portal", "--description", "The portal"])
            .await,
    );
    let all = json_of(&site.cli(&["client", "list", "-o", "json"]).await);
    let named = |all: &Value, name: &str| {
        let items = all["items"].as_array().unwrap();
        let one = items.iter().find(|one| one["metadata"]["name"] == name);
        one.cloned().unwrap_or(Value::Null)
    };
    let portal = named(&all, "portal");
    assert_eq!(portal["spec"]["redirectUris"], json!([uri]));
    assert_eq!(portal["spec"]["description"], "The portal");
    assert_eq!(portal["status"]["hasSecret"], true);
    assert_eq!(site.cli(&["client", "delete", "portal"]).await.code, 2);
    done(
        &site
            .cli(&["client", "delete", "portal", "--confirm", "portal"])
            .await,
    );

    let short = site
        .cli(&["upstream", "set", "acme", "--client-id", "towpath"])
        .await;
    assert_eq!(short.code, 2, "{short:?}");
    let acme = [
        "upstream",
        "set",
        "acme",
        "--title",
        "Acme",
        "--client-id",
        "towpath",
        "--issuer",
        "https://login.acme.example",
        "--secret-file",
        out_text,
    ];
    done(&site.cli(&acme).await);
    done(
        &site
            .cli(&["upstream", "set", "acme", "--groups-claim", "teams"])
            .await,
    );
    let mixed = site
        .cli(&[
            "upstream",
            "set",
            "acme",
            "--github-url",
            "https://github.example",
        ])
        .await;
    assert_eq!(mixed.code, 2, "{mixed:?}");
    let all = json_of(&site.cli(&["upstream", "list", "-o", "json"]).await);
    let provider = &named(&all, "acme")["spec"]["provider"];
    assert_eq!(provider["issuer"], "https://login.acme.example");
    assert_eq!(provider["groupsClaim"], "teams");
    assert!(!all.to_string().contains(secret.trim()));
    let github = [
        "upstream",
        "set",
        "hub",
        "--client-id",
        "Ov23liAbc",
        "--github-org",
        "acme",
    ];
    done(
        &site
            .cli(&[&github[..], &["--secret-file", out_text]].concat())
            .await,
    );
    let listed = site.cli(&["upstream", "list"]).await;
    assert!(
        listed.out.contains("acme at https://github.com"),
        "{listed:?}"
    );
    done(
        &site
            .cli(&["upstream", "delete", "hub", "--confirm", "hub"])
            .await,
    );

    for arguments in [&["client", "list"][..], &["upstream", "list"], &set, &acme] {
        refused(
            &ada.run(arguments).await,
            "only those who operate the platform may",
        );
    }
}
