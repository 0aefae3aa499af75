//! Logins that are looked at and ended by command: a whole platform, and a person on two machines.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod browser;
mod person;
mod site;

use std::time::Duration;

use jiff::Timestamp;
use person::{Person, claims};
use serde_json::Value;
use site::Site;
use testkit::eventually;

#[tokio::test]
async fn logins_are_listed_and_ended_from_elsewhere() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let _running = site.start().await;
    person::ada_of_payments(&site).await;
    let (laptop, desk) = (Person::new(), Person::new());
    for one in [&laptop, &desk] {
        assert_eq!(one.login(&site.server(), "ada", &[]).await.code, 0);
    }
    let list = laptop.run(&["session", "list", "-o", "json"]).await;
    let list: Value = serde_json::from_str(&list.out).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 2, "{list}");
    let newest = list["items"][1]["id"].as_str().unwrap();
    let ended = laptop.run(&["session", "end", newest]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(desk.run(&["whoami"]).await.code, 5);
    assert_eq!(laptop.run(&["whoami"]).await.code, 0);
    assert_eq!(laptop.run(&["session", "end"]).await.code, 2);

    let ended = site
        .cli(&["session", "end", "--subject", "local:ada"])
        .await;
    assert!(ended.out.contains("one login of local:ada"), "{ended:?}");
    assert_eq!(laptop.run(&["whoami"]).await.code, 5);
    let none = site.cli(&["session", "list"]).await;
    assert!(none.out.contains("Nobody is logged in."), "{none:?}");
    // One that is misspelt has none either.
    let ended = site
        .cli(&["session", "end", "--subject", "local:adda"])
        .await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("check the subject"), "{ended:?}");
}

/// A platform with these options, and ada, who has logged in.
async fn logged_in(data: &tempfile::TempDir, options: &[&str]) -> (Site, site::Running, Person) {
    let mut site = Site::new(data.path());
    site.options = options.iter().map(ToString::to_string).collect();
    let running = site.start().await;
    person::ada_of_payments(&site).await;
    let ada = Person::new();
    let ended = ada.login(&site.server(), "ada", &[]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    (site, running, ada)
}

/// Seconds from when the only session began, and was renewed, until it ends.
async fn lasts(ada: &Person) -> (i64, i64) {
    let list = ada.run(&["session", "list", "-o", "json"]).await;
    let list: Value = serde_json::from_str(&list.out).unwrap();
    let at = |name: &str| -> Timestamp {
        let text = list["items"][0][name].as_str();
        text.unwrap_or_else(|| panic!("{list}")).parse().unwrap()
    };
    let until = |from: &str| at("ends").duration_since(at(from)).as_secs();
    (until("began"), until("renewed"))
}

/// What is kept is rounded to the second.
#[track_caller]
fn assert_about(seconds: i64, expected: i64) {
    assert!((expected - 1..=expected).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn logins_last_as_long_as_the_platform_was_told() {
    let data = tempfile::tempdir().unwrap();
    let (site, running, ada) = logged_in(
        &data,
        &[
            "--access-token-lifetime",
            "7m",
            "--id-token-lifetime",
            "11m",
            "--session-lifetime",
            "3h",
            "--session-idle",
            "13m",
            "--device-code-lifetime",
            "90s",
        ],
    )
    .await;
    let tokens = ada.tokens(0);
    let lives = |token: &Value| {
        let claims = claims(token.as_str().unwrap());
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap()
    };
    assert_eq!(lives(&tokens["access"]), 7 * 60);
    assert_eq!(lives(&tokens["id"]["token"]), 11 * 60);
    // Nobody uses it: long before its whole life is over.
    assert_about(lasts(&ada).await.1, 13 * 60);
    let device = reqwest::Client::builder().no_proxy().build().unwrap();
    let device = device
        .post(format!("{}/oauth/device/code", site.server()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("client_id=towpath-cli&scope=openid");
    let code: Value = device.send().await.unwrap().json().await.unwrap();
    assert_eq!(code["expires_in"], 90, "{code}");
    drop(running);

    let data = tempfile::tempdir().unwrap();
    let all = "20m";
    let options = [
        "--access-token-lifetime",
        "--id-token-lifetime",
        "--session-idle",
    ];
    let options: Vec<&str> = options.iter().flat_map(|one| [*one, all]).collect();
    let options = [&options[..], &["--session-lifetime", all]].concat();
    let (_site, _running, ada) = logged_in(&data, &options).await;
    assert_about(lasts(&ada).await.0, 20 * 60);
}

#[tokio::test]
async fn a_login_is_over_when_its_time_is() {
    let data = tempfile::tempdir().unwrap();
    let options = ["--access-token-lifetime", "--id-token-lifetime"];
    let options: Vec<&str> = options.iter().flat_map(|one| [*one, "5s"]).collect();
    let whole = ["--session-idle", "15s", "--session-lifetime", "15s"];
    let options = [&options[..], &whole].concat();
    let (_site, _running, ada) = logged_in(&data, &options).await;
    let (ada, first, mut renewed) = (&ada, ada.tokens(0), false);
    let ended = eventually("the login is over", Duration::from_mins(2), || {
        renewed |= ada.tokens(0)["access"] != first["access"];
        async move {
            let who = ada.run(&["whoami"]).await;
            (who.code != 0).then_some(who)
        }
    })
    .await;
    assert!(renewed, "it went on beyond its first tokens");
    assert!(ended.err.contains("towpath login"), "{ended:?}");
}
