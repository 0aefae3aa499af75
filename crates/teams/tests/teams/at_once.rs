//! Many who do something with one team at the same moment: none is refused.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::Site;

on_both!(
    thirty_namespaces_of_one_team_are_all_made,
    twenty_who_say_something_of_one_team_are_all_heard,
);

const TEAMS: &str = "/v1/platforms/teams";

/// What so many are answered who ask these at once, on two replicas.
async fn answers(site: &Site, method: &str, asked: Vec<(String, Value)>) -> Vec<(u16, Value)> {
    let replica = site.replica().await;
    let all = asked.into_iter().enumerate().map(|(number, (path, body))| {
        let site = if number % 2 == 0 { site } else { &replica };
        async move { site.ask("admin", method, &path, body).await }
    });
    join_all(all).await
}

async fn onboard(site: &Site) {
    let amounts = json!({ "cpu": "1000", "memory": "1000Gi" });
    let quota = json!({ "requests": amounts, "limits": amounts });
    let allowance = json!({ "namespaces": 30, "quota": quota, "environments": quota });
    let body = json!({ "name": "payments", "environments": [], "allowance": allowance });
    let (status, answer) = site.ask("admin", "POST", TEAMS, body).await;
    assert_eq!(status, 202, "{answer}");
}

async fn thirty_namespaces_of_one_team_are_all_made(site: Site) {
    onboard(&site).await;
    let path = "/v1/teams/payments/namespaces";
    let asked = (0..30).map(|number| {
        let body = json!({ "name": format!("payments-{number}") });
        (path.to_owned(), body)
    });
    for (status, answer) in answers(&site, "POST", asked.collect()).await {
        assert_eq!(status, 202, "{answer}");
    }
}

async fn twenty_who_say_something_of_one_team_are_all_heard(site: Site) {
    onboard(&site).await;
    let asked = (0..20).map(|number| {
        let body = json!({ "description": format!("it is {number}") });
        (format!("{TEAMS}/payments"), body)
    });
    for (status, answer) in answers(&site, "PATCH", asked.collect()).await {
        assert_eq!(status, 200, "{answer}");
    }
}
